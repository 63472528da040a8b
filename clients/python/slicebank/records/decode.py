"""From the server's JSON to frozen dataclasses; fields a newer server adds are kept in `raw` and otherwise ignored."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from slicebank.errors import UnexpectedAnswer

JSON = Mapping[str, Any]
T = TypeVar("T")


def decode(cls: type[T], data: Any) -> T:
    """Build one record; a field that is absent or null takes its default.

    Raises:
        UnexpectedAnswer: not an object, or a field without default is absent or of another type.
    """
    if not isinstance(data, Mapping):
        raise UnexpectedAnswer(f"The server's answer should be an object describing a {cls.__name__}.")
    values: dict[str, Any] = {}
    kind: Any = cls  # mypy does not see that every class can be a key of the cache
    for name, hint, required in _fields(kind):
        if name == "raw":
            values[name] = dict(data)
        elif data.get(name) is not None:
            values[name] = _convert(hint, data[name], f"{cls.__name__}.{name}")
        elif required:
            raise UnexpectedAnswer(f"The server's answer describes a {cls.__name__} without its {name}.")
    return cls(**values)


def decode_all(cls: type[T], items: Any) -> tuple[T, ...]:
    """Build a record of each item of a list; None counts as empty."""
    if items is None:
        return ()
    if not isinstance(items, (list, tuple)):
        raise UnexpectedAnswer(f"The server's answer should hold a list of {cls.__name__}.")
    return tuple(decode(cls, item) for item in items)


@cache
def _fields(cls: Any) -> tuple[tuple[str, Any, bool], ...]:
    hints = get_type_hints(cls)
    return tuple(
        (
            item.name,
            hints[item.name],
            item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING,
        )
        for item in dataclasses.fields(cls)
    )


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_convert(arguments[0], item, where) for item in value)
    if origin is Mapping and isinstance(value, Mapping):
        return dict(value)
    if isinstance(hint, type):
        return _convert_plain(hint, value, where)
    raise UnexpectedAnswer(f"The server's answer has an unusable value for {where}.")


def _convert_union(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    kinds = [kind for kind in arguments if kind is not type(None)]
    for kind in kinds[:-1]:
        if isinstance(kind, type) and isinstance(value, kind):
            return value
    return _convert(kinds[-1], value, where)


def _convert_plain(hint: type, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return decode(hint, value)
    try:
        if issubclass(hint, Enum):
            return hint(value)
        if hint is datetime and isinstance(value, str):
            return datetime.fromisoformat(value)
    except ValueError as error:
        raise UnexpectedAnswer(f"The server's answer has the unknown value {value!r} for {where}.") from error
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise UnexpectedAnswer(f"The server's answer has {value!r} for {where}, which should be {hint.__name__}.")
