"""Records what Merlin's own image encoder gives for weights and volumes by formula.

    python -m tests.models.parity.record_merlin --checkout DIR [--full]

DIR is a checkout of github.com/StanfordMIMI/Merlin. Its packages import the text side with all that it needs, so that
only the two files of the image side are imported; the download of ImageNet weights, which the formula overwrites, is left out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from tests.models.parity.formula import parity_state, parity_volumes
from tests.models.parity.goldens import write_golden

SMALL = (40, 48, 32)  # (R, A, S) voxels
FULL = (224, 224, 160)
PREFIX = "encode_image."  # of the image side in the published file


def volumes(size: tuple[int, int, int]) -> Tensor:
    """(3, R, A, S) float32, scaled as for the network."""
    return parity_volumes(size, 0.0, 1.0)


def official_encoder(checkout: Path) -> Any:
    """Merlin's `ImageEncoder` with its contrastive head and its classifier."""
    import torchvision

    for name in ("merlin", "merlin.models"):
        package = ModuleType(name)
        package.__path__ = [str(checkout / name.replace(".", "/"))]
        sys.modules[name] = package
    for name in ("nltk", "nltk.tokenize"):
        sys.modules[name] = ModuleType(name)
    sys.modules["nltk.tokenize"].wordpunct_tokenize = str.split  # type: ignore[attr-defined]
    downloading = torchvision.models.resnet152
    torchvision.models.resnet152 = lambda pretrained: downloading(weights=None)
    from merlin.models.build import ImageEncoder  # type: ignore[import-not-found]

    return ImageEncoder().eval()


def main() -> None:
    """Writes one golden."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("--full", action="store_true", help="at the real input size")
    arguments = parser.parse_args()
    commit = subprocess.run(
        ["git", "-C", str(arguments.checkout), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    encoder = official_encoder(arguments.checkout)
    state = parity_state({f"{PREFIX}{name}": tensor for name, tensor in encoder.state_dict().items()})
    encoder.load_state_dict({name.removeprefix(PREFIX): tensor for name, tensor in state.items()})
    rows = volumes(FULL if arguments.full else SMALL)
    with torch.no_grad():
        features = torch.cat([encoder(row[None, None])[0] for row in rows])
    import torchvision

    write_golden(
        "merlin_full" if arguments.full else "merlin",
        official={
            "code": "https://github.com/StanfordMIMI/Merlin",
            "commit": commit,
            "class": "merlin.models.build.ImageEncoder, first output",
        },
        software={"torchvision": torchvision.__version__},
        recorded_by=f"python -m tests.models.parity.record_merlin --checkout DIR{' --full' * arguments.full}",
        state=state,
        features=features,
    )


if __name__ == "__main__":
    main()
