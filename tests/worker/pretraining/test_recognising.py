from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from slicebank_models.errors import SourceProblem
from slicebank_models.pretraining.slice_cache import write_cache
from slicebank_worker.pretraining.recognising import SourceOptions, open_sources
from tests.models.pretraining.made_slices import ListSource, made_slices

OPTIONS = SourceOptions(workers=1)


def dicom(folder: Path) -> Path:
    write_dicom(make_phantom(PhantomSpec(n_slices=2, size=16)), folder)
    return folder


def nifti(folder: Path) -> Path:
    folder.mkdir(parents=True)
    nib.save(nib.Nifti1Image(np.full((16, 16, 3), -500, np.int16), np.eye(4)), folder / "case.nii.gz")  # type: ignore[no-untyped-call]
    return folder


def deeplesion(folder: Path) -> Path:
    (folder / "Images_png" / "000001_01_01").mkdir(parents=True)
    Image.fromarray(np.zeros((16, 16), np.uint16)).save(folder / "Images_png" / "000001_01_01" / "005.png")
    (folder / "DL_info.csv").write_text(
        'File_name,Key_slice_index,Bounding_boxes,Train_Val_Test\n000001_01_01_005.png,5,"1, 2, 3, 4",1\n'
    )
    return folder


def kinds(*names: str, options: SourceOptions = OPTIONS) -> list[str]:
    return [source.name for source in open_sources(names, options)]


def test_folders_are_told_apart(tmp_path: Path) -> None:
    names = [str(make(tmp_path / make.__name__)) for make in (deeplesion, dicom, nifti)]
    assert kinds(*names, "phantoms:2") == ["deeplesion train", "dicom", "nifti", "phantoms"]
    assert kinds(f"{names[2]}/case.nii.gz", f"{next((tmp_path / 'dicom').iterdir())}") == ["nifti", "dicom"]
    assert kinds(f"dicom:{names[2]}") == ["dicom"]


@pytest.mark.parametrize("name", ["phantoms:", "phantoms:0", "phantoms:many", "phantoms:-3", "phantoms:1000000000"])
def test_phantoms_need_a_number(name: str) -> None:
    with pytest.raises(SourceProblem, match="such as phantoms:40"):
        kinds(name)


def test_what_is_no_source_is_told(tmp_path: Path) -> None:
    for name in (f"{tmp_path}/nowhere", f"dicom:{tmp_path}/nowhere", f"store:{tmp_path}/nowhere"):
        with pytest.raises(SourceProblem, match="There is no "):
            kinds(name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceProblem, match="no file"):
        kinds(f"{tmp_path}/empty")
    write_cache([ListSource(made_slices())], tmp_path / "cache", side=16)
    with pytest.raises(SourceProblem, match="slice cache already"):
        kinds(f"{tmp_path}/cache")
    with pytest.raises(SourceProblem, match="store cannot be read"):
        kinds(f"store:{tmp_path}/empty")


def test_boxes_go_with_sources_that_can_use_them(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("sop_instance_uid,x_min,y_min,x_max,y_max\n1,1,2,3,4\n")
    options = SourceOptions(boxes=tmp_path / "boxes.csv", workers=1)
    assert kinds(str(dicom(tmp_path / "d")), "phantoms:1", options=options) == ["dicom", "phantoms"]
    with pytest.raises(SourceProblem, match="goes with DICOM"):
        kinds("phantoms:1", options=options)
