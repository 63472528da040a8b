"""Records what the published extractor of CT-FM gives for weights and volumes by formula.

    PYTHONPATH=PACKAGES python -m tests.models.parity.record_ct_fm [--full]

PACKAGES is a folder with `lighter_zoo` and `monai` in it (`pip install --no-deps --target PACKAGES lighter_zoo monai`).
The steps are those of the model's card after resampling: crop to the foreground, network, last level, mean.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from tests.models.parity.formula import parity_state, parity_volumes
from tests.models.parity.goldens import write_golden

# (S, P, L) voxels of a row and of the scans in it, which the published code would see without the zeros around them.
Size = tuple[int, int, int]
SMALL: tuple[Size, tuple[Size, Size, Size]] = ((40, 64, 56), ((40, 64, 56), (33, 48, 51), (24, 57, 40)))
FULL: tuple[Size, tuple[Size, Size, Size]] = ((160, 384, 448), ((90, 200, 256), (48, 256, 200), (130, 104, 160)))


def volumes(row: Size, scans: tuple[Size, ...]) -> Tensor:
    """(3, S, P, L) float32: each scan between 0.05 and 1, a little off the middle of zeros."""
    rows = torch.zeros(len(scans), *row)
    for index, scan in enumerate(scans):
        starts = [(whole - side) * (2 + axis) // 6 for axis, (whole, side) in enumerate(zip(row, scan, strict=True))]
        place = tuple(slice(start, start + side) for start, side in zip(starts, scan, strict=True))
        rows[(index, *place)] = parity_volumes(scan, 0.05, 1.0, count=index + 1)[index]
    return rows


def official_features(encoder: Any, row: Tensor) -> Tensor:
    """(512,) of one row."""
    from monai.transforms import CropForeground  # type: ignore[import-not-found]

    scan = torch.as_tensor(CropForeground()(row[None]))
    last = encoder(scan[None])[-1]
    return torch.nn.functional.adaptive_avg_pool3d(last, 1).flatten()


def main() -> None:
    """Writes one golden."""
    from lighter_zoo import SegResEncoder  # type: ignore[import-not-found]

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="at the real input size")
    full = parser.parse_args().full
    # The published config.json.
    encoder = SegResEncoder(spatial_dims=3, in_channels=1, init_filters=32, blocks_down=[1, 2, 2, 4, 4]).eval()
    state = parity_state(encoder.state_dict())
    encoder.load_state_dict(state)
    with torch.no_grad():
        features = torch.stack([official_features(encoder, row) for row in volumes(*(FULL if full else SMALL))])
    write_golden(
        "ct_fm_full" if full else "ct_fm",
        official={
            "code": "https://pypi.org/project/lighter-zoo",
            "version": version("lighter_zoo"),
            "class": "lighter_zoo.SegResEncoder after monai.transforms.CropForeground",
        },
        software={"monai": version("monai")},
        recorded_by=f"python -m tests.models.parity.record_ct_fm{' --full' * full}",
        state=state,
        features=features,
    )


if __name__ == "__main__":
    main()
