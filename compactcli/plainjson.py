"""Dataclasses as plain JSON values and back.

Reading refuses unknown and missing keys, so a model folder cannot be half understood.
"""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from compactcli.errors import require

T = typing.TypeVar("T")


def to_json(config: Any) -> Any:
    """A dataclass as plain JSON values: objects, arrays, numbers, strings."""
    if dataclasses.is_dataclass(config):
        return {item.name: to_json(getattr(config, item.name)) for item in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {str(key): to_json(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [to_json(value) for value in config]
    return config


def from_json(kind: type[T], value: Any, *, where: str, partial: bool = False) -> T:
    """Build a dataclass from plain values, refusing what does not fit.

    Args:
        kind: Dataclass to build.
        value: What ``to_json`` gave, or a table of a TOML file.
        where: Name of the place for messages, such as a path.
        partial: Whether keys may be missing, leaving the defaults; unknown keys are refused either way.

    Raises:
        ConfigError: A key is unknown or missing, or a value has the wrong type or range.
    """
    return typing.cast(T, _build(kind, value, where, partial))


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _build(kind: Any, value: Any, where: str, partial: bool) -> Any:
    if dataclasses.is_dataclass(kind):
        require(isinstance(value, Mapping), f"{where} is {type(value).__name__}, expected a table of settings")
        hints = typing.get_type_hints(kind)
        names = [item.name for item in dataclasses.fields(kind)]
        unknown = sorted(set(value) - set(names))
        require(not unknown, f"{where} has unknown settings {unknown}, expected some of {names}")
        missing = [name for name in names if name not in value]
        require(partial or not missing, f"{where} lacks the settings {missing}")
        built = {name: _build(hints[name], value[name], f"{where}.{name}", partial) for name in names if name in value}
        lacking = [item.name for item in dataclasses.fields(kind) if _is_needed(item) and item.name not in built]
        require(not lacking, f"{where} lacks the settings {lacking}")
        return typing.cast(Any, kind)(**built)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        require(isinstance(value, list | tuple), f"{where} is {type(value).__name__}, expected a list")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        require(len(kinds) == len(value), f"{where} has {len(value)} values, expected {len(kinds)}")
        parts = enumerate(zip(kinds, value, strict=True))
        return tuple(_build(item, part, f"{where}[{index}]", partial) for index, (item, part) in parts)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        require(isinstance(value, Mapping), f"{where} is {type(value).__name__}, expected a table")
        return {str(key): _build(arguments[1], part, f"{where}.{key}", partial) for key, part in value.items()}
    if kind is Any:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    fits = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    require(fits, f"{where} is {value!r}, expected {kind.__name__}")
    return value
