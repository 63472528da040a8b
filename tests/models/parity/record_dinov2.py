"""Records what the official code of DINOv2 gives.

    XFORMERS_DISABLED=1 python -m tests.models.parity.record_dinov2 --checkout DIR

Needs a checkout of github.com/facebookresearch/dinov2; xFormers is not used. The models are built by the factories of `dinov2.hub`,
without their weights. Three goldens:

* `dinov2_vits14`: ViT-S/14 at 518 pixels, the size of its weights; `parts` has 224 pixels, where positions are resampled.
* `dinov2_vits14_reg`: the same with four registers, at 224 pixels.
* `dinov2_vitg14`: two blocks of the giant form with its gated MLPs, at 56 pixels. Width, heads and grid are the published ones; its
  forty blocks are alike.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from slicebank_models.cards import IMAGENET_MEAN, IMAGENET_STD
from slicebank_models.encoders.slice_encoder import GreyToChannels
from tests.models.parity.formula import parity_rows, parity_state
from tests.models.parity.goldens import write_golden

GIANT_BLOCKS = 2


def features_of(model: nn.Module, size: int) -> Tensor:
    """The class token of the three fixed rows, normed, as the model returns it without a head."""
    channels = GreyToChannels(IMAGENET_MEAN, IMAGENET_STD)
    with torch.inference_mode():
        features: Tensor = model(channels(parity_rows(size)))
    return features


def main() -> None:
    """Records all three."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkout", type=Path, required=True)
    checkout = parser.parse_args().checkout
    commit = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    sys.path.insert(0, str(checkout))
    warnings.simplefilter("ignore")
    from dinov2.hub import backbones  # type: ignore[import-not-found]

    plain, registers, giant = (
        getattr(backbones, name)(pretrained=False, **options).eval()
        for name, options in (
            ("dinov2_vits14", {}),
            ("dinov2_vits14_reg", {}),
            ("dinov2_vitg14", {"img_size": 518}),
        )
    )
    giant.blocks = giant.blocks[:GIANT_BLOCKS]
    for name, model, size, sizes in (
        ("dinov2_vits14", plain, 518, (224,)),
        ("dinov2_vits14_reg", registers, 224, ()),
        ("dinov2_vitg14", giant, 56, ()),
    ):
        model.load_state_dict(parity_state(model.state_dict()))
        write_golden(
            name,
            official={
                "repository": "https://github.com/facebookresearch/dinov2",
                "commit": commit,
                "class": f"dinov2.hub.backbones.{name}",
            },
            software={},
            recorded_by="python -m tests.models.parity.record_dinov2",
            state=model.state_dict(),
            features=features_of(model, size),
            parts={f"features_{smaller}": features_of(model, smaller) for smaller in sizes},
        )


if __name__ == "__main__":
    main()
