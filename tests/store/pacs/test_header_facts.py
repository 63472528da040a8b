from __future__ import annotations

import io
import tracemalloc
import zlib
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from slicebank_store.pacs.header_facts import facts_of_file
from slicebank_store.pacs.selecting import SeriesFacts

_INFLATED = 256 << 20


@pytest.fixture
def slice_file(tmp_path: Path) -> Path:
    header = pydicom.dcmread(write_dicom(make_phantom(PhantomSpec(n_slices=1, size=32)), tmp_path).paths[0])
    header.Modality, header.SeriesDescription = "CT", "Lung"
    header.SliceThickness, header.ConvolutionKernel = "1.5", ["B70s", "3"]
    header.save_as(tmp_path / "slice")
    return tmp_path / "slice"


def test_a_header_says_what_rules_ask_for(slice_file: Path) -> None:
    facts = facts_of_file(slice_file, "1.2")
    assert facts == SeriesFacts("1.2", modality="CT", description="Lung", kernel="B70s\\3", thickness_mm=1.5)


def test_a_deflated_header_says_all_but_free_text(slice_file: Path) -> None:
    header = pydicom.dcmread(slice_file)
    header.decompress() if header.file_meta.TransferSyntaxUID.is_compressed else None
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    header.save_as(slice_file)
    facts = facts_of_file(slice_file, "1.2")
    assert facts == SeriesFacts("1.2", modality="CT", kernel="B70s\\3", thickness_mm=1.5)


def test_a_deflated_bomb_takes_no_memory(tmp_path: Path) -> None:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    content = io.BytesIO()
    content.write(bytes(128) + b"DICM")
    write_file_meta_info(content, meta)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    content.write(
        packer.compress(b"\x08\x00\x60\x00CS\x02\x00CT\x09\x00\x10\x10OB\0\0" + _INFLATED.to_bytes(4, "little"))
    )
    for _ in range(_INFLATED >> 20):
        content.write(packer.compress(bytes(1 << 20)))
    content.write(packer.flush())
    path = tmp_path / "bomb"
    path.write_bytes(content.getvalue())
    tracemalloc.start()
    try:
        assert facts_of_file(path, "1.2").description is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20


@pytest.mark.parametrize("thickness", ["nan", "inf", "-inf"])
def test_a_thickness_that_is_no_number_is_unknown(slice_file: Path, thickness: str) -> None:
    content = slice_file.read_bytes()
    at = content.index(b"1.5 ", content.index(b"\x18\x00\x50\x00DS"))
    slice_file.write_bytes(content[:at] + thickness.ljust(4).encode() + content[at + 4 :])
    assert facts_of_file(slice_file, "1.2").thickness_mm is None
