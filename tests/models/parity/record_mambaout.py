"""Records what MambaOut's own code and timm's give.

    python -m tests.models.parity.record_mambaout --checkout DIR   (github.com/yuweihao/MambaOut; timm 0.4.9 first)
    python -m tests.models.parity.record_mambaout                  (timm as installed)

timm 0.4.9 looks for a module of old versions of torch, for which a stand-in serves. From timm the pooled, then normed
vector is recorded, as the original's `forward_features` gives it: timm's own `num_classes=0` goes on through a layer of
the classifier.

The first convolution is by formula times 0.01: so faint, its output shows the epsilon of the norm behind it.
"""

from __future__ import annotations

import argparse
import collections.abc
import math
import subprocess
import sys
import types
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.models.parity.formula import parity_state
from tests.models.parity.goldens import write_golden
from tests.models.parity.record_vit_moco import images

OFFICIAL = ("mambaout_femto", "mambaout_tiny")
TIMM = ("mambaout_femto", "mambaout_small_rw")
CLASSES = 10


def faint_stem(name: str, shape: tuple[int, ...], u: Tensor) -> Tensor | None:
    """The exception to the table of `formula.py`."""
    if not name.startswith(("stem.conv1.", "downsample_layers.0.conv1.")):
        return None
    return 0.01 * u if name.endswith(".bias") else 0.01 * u * math.sqrt(3.0 / math.prod(shape[1:]))


def before_hidden_layer(model: Any, tokens: Tensor) -> Tensor:
    """What timm's head hands to its hidden layer: tokens pooled and normed."""
    handed: list[Tensor] = []
    model.head.pre_logits.register_forward_pre_hook(lambda _, inputs: handed.append(inputs[0]))
    model.forward_head(tokens)
    return handed[0]


def record(name: str, model: Any, golden: str, official: dict[str, str]) -> None:
    """Runs one model and writes its golden."""
    state = parity_state(model.eval().state_dict(), override=faint_stem)
    model.load_state_dict(state)
    with torch.inference_mode():
        features = model.forward_features(images())
        if features.ndim == 4:  # timm's, (B, H, W, C)
            features = before_hidden_layer(model, features)
    write_golden(
        golden,
        official=official,
        software={"timm": version("timm")},
        recorded_by="python -m tests.models.parity.record_mambaout",
        state=state,
        features=features,
    )
    sys.stdout.write(f"{golden}: {name}, {tuple(features.shape)}\n")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path)
    checkout: Path | None = parser.parse_args().checkout
    if checkout is None:
        for name in TIMM:
            import timm

            model = timm.create_model(name, num_classes=CLASSES)
            record(name, model, f"{name}_timm", {"package": "timm", "version": version("timm"), "class": name})
        return
    old = types.ModuleType("torch._six")
    old.container_abcs = collections.abc  # type: ignore[attr-defined]
    sys.modules["torch._six"] = old
    sys.path.insert(0, str(checkout))
    from models import mambaout

    commit = subprocess.run(["git", "-C", checkout, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    for name in OFFICIAL:
        official = {
            "repository": "https://github.com/yuweihao/MambaOut",
            "commit": commit.stdout.strip(),
            "class": f"models.mambaout.{name}, forward_features",
        }
        record(name, getattr(mambaout, name)(num_classes=CLASSES), name, official)


if __name__ == "__main__":
    main()
