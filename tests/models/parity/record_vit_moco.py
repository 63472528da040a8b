"""Records what MoCo v3's own code gives: `python -m tests.models.parity.record_vit_moco --checkout DIR`.

DIR is a checkout of github.com/facebookresearch/moco-v3. The code wants timm 0.4.9, the version that its README names;
that must come first on PYTHONPATH. timm 0.4.9 looks for a module of old versions of torch, for which a stand-in serves.

The small forms are recorded as part of the whole training model, with both encoders and narrow projectors (the builder
takes their widths), the large ones alone. Weights are by formula, except for the positions, which the code makes itself.
"""

from __future__ import annotations

import argparse
import collections.abc
import subprocess
import sys
import types
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from tests.models.parity.formula import parity_rows, parity_state
from tests.models.parity.goldens import write_golden

WIDTH, HIDDEN = 16, 32  # of the projectors; 256 and 4096 in the original's training
WHOLE = ("vit_small", "vit_conv_small")
ALONE = ("vit_base", "vit_conv_base")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def images() -> Tensor:
    """(3, 3, 224, 224): the fixed rows as three equal channels, scaled and normalised."""
    grey = parity_rows(224)[:, None].to(torch.float32).expand(-1, 3, -1, -1) / 255
    return (grey - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def record(checkout: Path, name: str) -> None:
    """Runs one form and writes its golden."""
    import vits
    from moco.builder import MoCo_ViT

    model: nn.Module = (
        MoCo_ViT(getattr(vits, name), WIDTH, HIDDEN) if name in WHOLE else getattr(vits, name)(num_classes=0)
    )
    own = model.eval().state_dict()
    state = {key: own[key].clone() if key.endswith("pos_embed") else value for key, value in parity_state(own).items()}
    model.load_state_dict(state)
    with torch.inference_mode():
        if name in WHOLE:
            features = model.base_encoder.forward_features(images())  # type: ignore[operator, union-attr]
            parts = {"momentum": model.momentum_encoder.forward_features(images())}  # type: ignore[operator, union-attr]
        else:
            features, parts = model(images()), {}
    commit = subprocess.run(["git", "-C", checkout, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    write_golden(
        name,
        official={
            "repository": "https://github.com/facebookresearch/moco-v3",
            "commit": commit.stdout.strip(),
            "class": f"vits.{name}" + (" in moco.builder.MoCo_ViT, forward_features" if name in WHOLE else ""),
        },
        software={"timm": version("timm")},
        recorded_by="python -m tests.models.parity.record_vit_moco",
        state=state,
        features=features,
        parts=parts,
    )


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, required=True)
    checkout: Path = parser.parse_args().checkout
    old = types.ModuleType("torch._six")
    old.container_abcs = collections.abc  # type: ignore[attr-defined]
    sys.modules["torch._six"] = old
    sys.path.insert(0, str(checkout))
    for name in (*WHOLE, *ALONE):
        record(checkout, name)


if __name__ == "__main__":
    main()
