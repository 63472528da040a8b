"""What official implementations gave for weights and inputs by formula: plain numbers, with version and commit.

A golden is `goldens/<name>.json`:

| entry | what |
|---|---|
| `official` | repository or package, its commit or version, and the class that was run |
| `software` | versions of torch and whatever else took part |
| `recorded_by` | the command of this folder that made it |
| `parameters` | [name, shape, dtype] of every tensor of the official `state_dict()`, in its order |
| `features` | one list a fixed input |
| `parts` | further named outputs, where a comparison layer by layer is made |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.models.parity.formula import Override, parity_tensor

FOLDER = Path(__file__).parent / "goldens"
MOST_ERROR = 1e-4


@dataclass(frozen=True)
class Golden:
    """One recorded comparison."""

    official: dict[str, str]
    software: dict[str, str]
    recorded_by: str
    parameters: list[tuple[str, tuple[int, ...], str]]
    features: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)

    def state(self, *, gain: float = 1.0, override: Override | None = None) -> dict[str, Tensor]:
        """The official `state_dict()` by formula."""
        return {
            name: parity_tensor(name, shape, getattr(torch, dtype), gain=gain, override=override)
            for name, shape, dtype in self.parameters
        }


def read_golden(name: str) -> Golden:
    """Reads one."""
    values = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return Golden(
        official=values["official"],
        software=values["software"],
        recorded_by=values["recorded_by"],
        parameters=[(n, tuple(shape), dtype) for n, shape, dtype in values["parameters"]],
        features=torch.tensor(values["features"]),
        parts={key: torch.tensor(part) for key, part in values.get("parts", {}).items()},
    )


def write_golden(
    name: str,
    *,
    official: Mapping[str, str],
    software: Mapping[str, str],
    recorded_by: str,
    state: Mapping[str, Tensor],
    features: Tensor,
    parts: Mapping[str, Tensor] | None = None,
) -> None:
    """Writes one; numbers keep nine significant digits, which float32 needs to come back as it was."""
    values: dict[str, Any] = {
        "official": dict(official),
        "software": {"torch": torch.__version__, **software},
        "recorded_by": recorded_by,
        "parameters": [
            [key, list(tensor.shape), str(tensor.dtype).removeprefix("torch.")] for key, tensor in state.items()
        ],
        "features": _numbers(features),
        "parts": {key: _numbers(part) for key, part in (parts or {}).items()},
    }
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in values.items())
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def _numbers(values: Tensor) -> Any:
    if values.ndim == 0:
        return float(f"{values.item():.9g}")
    return [_numbers(value) for value in values.detach().to(torch.float32)]


def relative_error(found: Tensor, expected: Tensor) -> float:
    """The largest |found - expected|, each over the larger of |expected| and the root mean square of all expected."""
    scale = expected.abs().clamp_min(expected.square().mean().sqrt())
    return float(((found - expected).abs() / scale).max())
