"""Runs the official preprocessing of Merlin and CT-CLIP on the cases of `volume_cases` and records what they give.

    python -m tests.imaging.record_volumes --merlin CHECKOUT --ct-clip CHECKOUT

with MONAI 1.6.1, pandas and tqdm importable. Both are run whole, on files: Merlin's `ImageTransforms`, and the method of CT-CLIP's
inference data set that turns a file into a tensor.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from numpy.typing import NDArray

from tests.imaging.volume_cases import CT_CLIP_CASES, GOLDENS, MERLIN_CASES, VolumeCase, box, probes


def module_of(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_nifti(case: VolumeCase, path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(case.hu.T), case.nifti_affine), path)


def merlin(checkout: Path, case: VolumeCase, folder: Path) -> NDArray[np.float32]:
    write_nifti(case, folder / "case.nii.gz")
    transforms = module_of(checkout / "merlin" / "data" / "monai_transforms.py").ImageTransforms
    return np.asarray(transforms({"image": str(folder / "case.nii.gz")})["image"])[0]


def ct_clip(checkout: Path, case: VolumeCase, folder: Path) -> NDArray[np.float32]:
    import pandas

    write_nifti(case, folder / "case.nii.gz")
    row = {
        "VolumeName": "case.nii.gz",
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
        "XYSpacing": f"[{case.spacing_mm[2]}, {case.spacing_mm[1]}]",
        "ZSpacing": case.spacing_mm[0],
    }
    found = module_of(checkout / "scripts" / "data_inference_nii.py").CTReportDatasetinfer
    tensor = found.nii_img_to_tensor(found.__new__(found), str(folder / "case.nii.gz"), pandas.DataFrame([row]))
    return np.asarray(tensor)[0]


def commit_of(checkout: Path) -> str:
    return subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--merlin", type=Path, required=True)
    parser.add_argument("--ct-clip", type=Path, required=True)
    asked = parser.parse_args()
    recorded: dict[str, Any] = {
        "official": {
            "merlin": {
                "code": f"https://github.com/StanfordMIMI/Merlin@{commit_of(asked.merlin)}",
                "of": "merlin/data/monai_transforms.py: ImageTransforms",
                "monai": importlib.metadata.version("monai"),
            },
            "ct_clip": {
                "code": f"https://github.com/ibrahimethemhamamci/CT-CLIP@{commit_of(asked.ct_clip)}",
                "of": "scripts/data_inference_nii.py: CTReportDatasetinfer.nii_img_to_tensor",
            },
            "torch": torch.__version__.split("+")[0],
            "nibabel": nibabel.__version__,
        },
        "cases": {},
    }
    for case, official, checkout in [(case, merlin, asked.merlin) for case in MERLIN_CASES] + [
        (case, ct_clip, asked.ct_clip) for case in CT_CLIP_CASES
    ]:
        with tempfile.TemporaryDirectory() as folder:
            volume = official(checkout, case, Path(folder))
        within = box(volume, case.frame.pad)
        values = volume[probes(within, case.frame.size)]
        recorded["cases"][case.name] = {
            "shape": list(volume.shape),
            "box": within,
            "values": [float(f"{value:.7g}") for value in values],
        }
    GOLDENS.mkdir(exist_ok=True)
    (GOLDENS / "volumes.json").write_text(json.dumps(recorded) + "\n")


if __name__ == "__main__":
    main()
