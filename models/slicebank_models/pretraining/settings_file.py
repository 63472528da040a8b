"""The settings of a run as a TOML file in which every setting explains itself. No torch here."""

import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Any, get_type_hints

from slicebank_models.pretraining.spec import PretrainingSpec

NAME = "settings.toml"
WIDTH = 110

_ENTRY = re.compile(r"^    (\w+): (.*(?:\n     +\S.*)*)", re.MULTILINE)


def settings_toml(spec: PretrainingSpec) -> str:
    """The whole spec, each table and key under what its docstring says of it; `PretrainingSpec.from_toml` reads it back."""
    blocks = ["# Settings of `slicebank pretrain run --settings FILE`; those left out have the values that stand here."]
    values = spec.as_dict()
    for table in fields(spec):
        settings = getattr(spec, table.name)
        explained, types = _explanations(type(settings)), get_type_hints(type(settings))
        title = (inspect.getdoc(type(settings)) or "").splitlines()[0]
        lines = [_comment(title), f"[{table.name}]"]
        for entry in fields(settings):
            sentences = [explained[entry.name], *_choices(types[entry.name], entry.metadata)]
            lines += [_comment(" ".join(sentences)), f"{entry.name} = {_toml(values[table.name][entry.name])}"]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _explanations(settings: type) -> dict[str, str]:
    """Name of each attribute to its sentence in the class's docstring."""
    return {name: " ".join(text.split()) for name, text in _ENTRY.findall(inspect.getdoc(settings) or "")}


def _choices(wanted: Any, limits: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(wanted, type) and issubclass(wanted, StrEnum):
        yield f"One of {', '.join(wanted)}."
    if "range" in limits:
        low, high = limits["range"]
        yield f"From {_number(low)} to {_number(high)}."


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _comment(sentence: str) -> str:
    return "\n".join(textwrap.wrap(sentence, WIDTH, initial_indent="# ", subsequent_indent="# "))


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_toml(entry) for entry in value)}]"
    if isinstance(value, float):
        return repr(value)
    # Strings, whole numbers and truth values are written in TOML as in JSON.
    return json.dumps(value, ensure_ascii=False)
