import math
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli.errors import ConfigError
from compactcli.tomlfiles import is_whole, merge_tables, read_toml, write_toml

texts = st.text(st.characters(codec="utf-8"), max_size=8)
plain = st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | texts
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@given(st.dictionaries(texts, values, max_size=4))
def test_what_is_written_is_read_again(table):
    assert tomllib.loads(write_toml(table)) == table


def test_types_survive():
    table = {"yes": True, "one": 1, "one_more": 1.0, "much": math.inf, "empty": {}, "deep": {"deeper": {"x": []}}}
    again = tomllib.loads(write_toml(table))
    assert again == table
    assert [type(value) for value in again.values()] == [type(value) for value in table.values()]


def test_text_for_people():
    table = {"mix": {"clip_s": 5.0}, "name": 'a "b"\x7f', "stages": [{"channels": 8}], "labels": {"a b": {"x": "é"}}}
    assert write_toml(table) == (
        'name = "a \\"b\\"\\u007f"\nstages = [{channels = 8}]\n\n[mix]\nclip_s = 5.0\n\n[labels."a b"]\nx = "é"\n'
    )


def test_a_file_says_how_it_differs(tmp_path):
    write(tmp_path, "base.toml", 'name = "a"\nlist = [1, 2]\n[mix]\nlow = 1\nhigh = 2\n[split.folds]\nx = ["1"]\n')
    middle = write(tmp_path, "sub/middle.toml", 'based_on = "../base.toml"\nlist = [3]\n[mix]\nhigh = 5\n')
    last = write(tmp_path, "last.toml", 'based_on = "sub/middle.toml"\nname = "c"\nmore = 1\n')
    assert read_toml(last) == {
        "name": "c",
        "list": [3],
        "mix": {"low": 1, "high": 5},
        "split": {"folds": {"x": ["1"]}},
        "more": 1,
    }
    assert [is_whole(path) for path in (tmp_path / "base.toml", middle, last)] == [True, False, False]


def test_merging_changes_neither_table():
    base, changes = {"a": {"x": 1}, "b": 1}, {"a": {"y": 2}, "b": {"z": 3}}
    assert merge_tables(base, changes) == {"a": {"x": 1, "y": 2}, "b": {"z": 3}}
    assert (base, changes) == ({"a": {"x": 1}, "b": 1}, {"a": {"y": 2}, "b": {"z": 3}})
    assert merge_tables({"a": {"x": 1}}, {"a": 2}) == {"a": 2}


def test_a_circle_is_refused(tmp_path):
    write(tmp_path, "a.toml", 'based_on = "b.toml"\n')
    path = write(tmp_path, "b.toml", 'based_on = "a.toml"\n')
    with pytest.raises(ConfigError, match=r"recipe '.*b.toml' is based on itself: b.toml > a.toml > b.toml"):
        read_toml(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", r"recipe '.*recipe.toml' cannot be read: Invalid value"),
        ("based_on = 3\n", r"recipe '.*recipe.toml' has based_on = 3, expected the path of a recipe"),
        ('based_on = "none.toml"\n', r"recipe '.*none.toml' cannot be read: .*No such file"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        read_toml(write(tmp_path, "recipe.toml", text))
