"""Records what the official image encoders of SAM 2 give, and transformers' for the form of its checkpoints.

    python -m tests.models.parity.record_sam2 --checkout DIR [--size NAME] [--transformers]

`DIR` is a checkout of github.com/facebookresearch/sam2; the whole model is built as its own code builds it, which needs
hydra-core and iopath. Tensors of the image encoder have values by formula, those of its stem by `faint_stem`; those of
prompts, decoder and memory, which no feature depends on, are recorded by name and shape only. tiny is recorded from SAM
2.1's configuration, which has a few tensors more, the others from SAM 2's; the image encoder is the same. tiny is recorded
at 1024 pixels too, and at 160, where its windows are padded; at 224 only those of large are.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from slicebank_models.cards import IMAGENET_MEAN, IMAGENET_STD
from slicebank_models.encoders.slice_encoder import GreyToChannels
from tests.models.parity.faint_stem import faint_stem
from tests.models.parity.formula import parity_rows, parity_state
from tests.models.parity.goldens import write_golden

REPOSITORY = "https://github.com/facebookresearch/sam2"
CONFIGURATIONS = {
    "sam2_hiera_tiny": ("configs/sam2.1/sam2.1_hiera_t.yaml", (224, 160, 1024)),
    "sam2_hiera_small": ("configs/sam2/sam2_hiera_s.yaml", (224,)),
    "sam2_hiera_base_plus": ("configs/sam2/sam2_hiera_b+.yaml", (224,)),
    "sam2_hiera_large": ("configs/sam2/sam2_hiera_l.yaml", (224,)),
}
CHANNELS = GreyToChannels(IMAGENET_MEAN, IMAGENET_STD)


def fill(model: nn.Module, prefix: str) -> None:
    """Gives the tensors whose names begin with `prefix` their values by formula."""
    state = model.state_dict()
    own = {name: tensor for name, tensor in state.items() if name.startswith(prefix)}
    model.load_state_dict({**state, **parity_state(own, override=faint_stem)})


def mean_features(maps_of: Callable[[Tensor], Tensor], size: int) -> Tensor:
    """Mean over positions of the (1, 256, H, W) map of each fixed row."""
    with torch.inference_mode():
        return torch.cat([maps_of(CHANNELS(row[None])).mean(dim=(2, 3)) for row in parity_rows(size)])


def record_official(name: str, checkout: Path) -> None:
    """Writes `<name>.json` and, for further sizes, `<name>_<size>.json`."""
    from sam2.build_sam import build_sam2  # type: ignore[import-not-found]

    configuration, sizes = CONFIGURATIONS[name]
    model = build_sam2(configuration, device="cpu", apply_postprocessing=False).eval()
    fill(model, "image_encoder.")
    head = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    for size in sizes:
        features = mean_features(lambda images: model.forward_image(images)["vision_features"], size)
        write_golden(
            name if size == 224 else f"{name}_{size}",
            official={
                "repository": REPOSITORY,
                "commit": head.stdout.strip(),
                "class": "sam2.modeling.sam2_base.SAM2Base.forward_image",
                "configuration": configuration,
            },
            software={},
            recorded_by=f"python -m tests.models.parity.record_sam2 --checkout DIR --size {name}",
            state=model.state_dict(),
            features=features,
        )


def record_transformers() -> None:
    """Writes `sam2_hiera_tiny_transformers.json`: another implementation, whose names are those of its checkpoints."""
    import transformers  # type: ignore[import-not-found]

    model = transformers.Sam2Model(transformers.Sam2Config()).eval()
    fill(model, "vision_encoder.")
    features = mean_features(lambda images: model.vision_encoder(images).fpn_hidden_states[-1], 224)
    write_golden(
        "sam2_hiera_tiny_transformers",
        official={"package": "transformers", "version": transformers.__version__, "class": "Sam2Model.vision_encoder"},
        software={},
        recorded_by="python -m tests.models.parity.record_sam2 --transformers",
        state=model.state_dict(),
        features=features,
    )


def main() -> None:
    """Records what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path)
    parser.add_argument("--size", choices=CONFIGURATIONS, action="append")
    parser.add_argument("--transformers", action="store_true")
    options = parser.parse_args()
    if options.transformers:
        record_transformers()
    if options.checkout is not None:
        sys.path.insert(0, str(options.checkout))
        for name in options.size or CONFIGURATIONS:
            record_official(name, options.checkout)


if __name__ == "__main__":
    main()
