"""TOML files that say only how they differ from another one, and plain values written as TOML.

``based_on = "other.toml"`` at the top of a file names what it starts from, relative to itself: tables are merged key
by key, anything else is replaced.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compactcli.errors import ConfigError

BASED_ON = "based_on"
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def read_toml(path: Path) -> dict[str, Any]:
    """A recipe's table together with what it is based on.

    Raises:
        ConfigError: A file cannot be read or is not TOML, is based on itself, or names what is no path.
    """
    return _read(path, ())


def is_whole(path: Path) -> bool:
    """Whether a recipe is based on no other one.

    Raises:
        ConfigError: The file cannot be read or is not TOML.
    """
    return BASED_ON not in _parse(path)


def merge_tables(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """One table over another: tables are merged key by key, anything else, lists too, is replaced.

    Example:
        >>> merge_tables({"mix": {"a": 1, "b": [1, 2]}}, {"mix": {"b": [3]}})
        {'mix': {'a': 1, 'b': [3]}}
    """
    merged = dict(base)
    for name, value in changes.items():
        old = merged.get(name)
        merged[name] = merge_tables(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def write_toml(table: Mapping[str, Any]) -> str:
    """A table as TOML: numbers, strings and lists first, then its tables; what lies inside lists is written inline.

    Args:
        table: Strings, finite or infinite numbers, booleans, lists and tables, nested in any way.

    Example:
        >>> print(write_toml({"name": "tiny", "mix": {"clip_s": 5.0, "levels": [-3, 0]}}), end="")
        name = "tiny"
        <BLANKLINE>
        [mix]
        clip_s = 5.0
        levels = [-3, 0]
    """
    return "\n".join(_lines(table, ())).lstrip("\n") + "\n"


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    chain = (*above, path.resolve())
    if path.resolve() in above:
        raise ConfigError(f"recipe '{path}' is based on itself: {' > '.join(item.name for item in chain)}")
    table = _parse(path)
    base = table.pop(BASED_ON, None)
    if base is None:
        return table
    if not isinstance(base, str):
        raise ConfigError(f"recipe '{path}' has {BASED_ON} = {base!r}, expected the path of a recipe")
    return merge_tables(_read(path.parent / base, chain), table)


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"recipe '{path}' cannot be read: {error}", hint="give a TOML recipe") from error


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    plain = {name: value for name, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"{_key(name)} = {_value(value)}" for name, value in plain.items()]
    # a table of tables alone needs no heading of its own, an empty one does
    if path and (plain or not table):
        lines = ["", f"[{'.'.join(map(_key, path))}]", *lines]
    for name, value in table.items():
        if isinstance(value, Mapping):
            lines += _lines(value, (*path, name))
    return lines


def _key(name: str) -> str:
    return name if BARE_KEY.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    # a JSON string is a TOML string, but for the one control character that JSON lets through
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)} = {_value(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)
