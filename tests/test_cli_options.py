import pytest

from compactcli.cli.options import parse_classes, parse_thresholds
from compactcli.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], (None, {})),
        (["0"], (0.0, {})),
        (["1e-1", "dog=1"], (0.1, {"dog": 1.0})),
        (["dog = 0.25", "can_opening=.5"], (None, {"dog": 0.25, "can_opening": 0.5})),
        (["a=b=0.5"], (None, {"a=b": 0.5})),
    ],
)
def test_thresholds(values, expected):
    assert parse_thresholds(values) == expected


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (["half"], "is 'half', expected X or CLASS=X with a number X"),
        (["dog="], "is 'dog=', expected X or CLASS=X"),
        ([""], "is '', expected X"),
        (["dog=1.01"], "is 'dog=1.01', expected a number from 0 to 1"),
        (["-0.1"], "expected a number from 0 to 1"),
        (["nan"], "expected a number from 0 to 1"),
        (["dog=0.5", "dog=0.6"], "--threshold dog=0.6 is the second for 'dog', expected one"),
        (["0.5", "0.5"], "is the second for all classes"),
    ],
)
def test_thresholds_that_are_refused(values, match):
    with pytest.raises(ConfigError, match=match) as caught:
        parse_thresholds(values)
    assert caught.value.exit_code == 2


def test_classes():
    assert parse_classes(None) is None
    assert parse_classes("dog") == ["dog"]
    assert parse_classes(" dog,,siren, ") == ["dog", "siren"]
    assert parse_classes(",") == []
