from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import pack_bits
from pydicom.uid import UID

from benchmarks.shipped_encoder.axial_slices import TakenSlice
from benchmarks.shipped_encoder.boxes import SliceBox
from benchmarks.shipped_encoder.qin_seg import read_boxes
from tests.benchmarks.shipped_encoder.making import SIDE, taken_slice
from tests.imaging.making import EXPLICIT_VR_LITTLE_ENDIAN

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def mask(*parts: tuple[slice, slice]) -> NDArray[np.uint8]:
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    for part in parts:
        pixels[part] = 1
    return pixels


def item(**attributes: object) -> Dataset:
    data = Dataset()
    for keyword, value in attributes.items():
        setattr(data, keyword, value)
    return data


def segmentation(
    frames: Mapping[float, NDArray[np.uint8]], *, patient: str = "P1", orientation: Sequence[float] = AXIAL
) -> tuple[str, bytes]:
    """A SEG object with one frame a position along z."""
    plane = item(ImageOrientationPatient=list(orientation))
    data = item(
        SOPClassUID=UID("1.2.840.10008.5.1.4.1.1.66.4"),
        SOPInstanceUID=UID("1.2.3.8"),
        Modality="SEG",
        PatientID=patient,
        NumberOfFrames=len(frames),
        Rows=SIDE,
        Columns=SIDE,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        PixelRepresentation=0,
        SharedFunctionalGroupsSequence=[item(PlaneOrientationSequence=[plane])],
        PerFrameFunctionalGroupsSequence=[
            item(PlanePositionSequence=[item(ImagePositionPatient=[0, 0, z])]) for z in frames
        ],
        PixelData=pack_bits(np.stack(list(frames.values()))),
    )
    data["PixelData"].VR = "OB"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = UID(EXPLICIT_VR_LITTLE_ENDIAN)
    stream = io.BytesIO()
    dcmwrite(stream, data, enforce_file_format=True)
    return "a-segmentation/000000.dcm", stream.getvalue()


SLICES: list[TakenSlice] = [taken_slice(1), taken_slice(2)]
FIVE = mask((slice(10, 15), slice(20, 30)))


@pytest.mark.parametrize(("marking", "blank", "found"), [(1, 1, True), (1, 2, False), (2, 2, True), (1, 0, True)])
def test_half_of_the_segmentations_must_mark_a_voxel(marking: int, blank: int, found: bool) -> None:
    files = [segmentation({1: FIVE, 2: FIVE * 0})] * marking + [segmentation({1: FIVE * 0, 2: FIVE * 0})] * blank
    boxes = [SliceBox("1.2.3.3.1", 20, 10, 30, 15, "lung tumour", "P1")]
    assert read_boxes(files, SLICES) == (boxes if found else [])


def test_every_part_is_a_box_and_specks_are_none() -> None:
    parts = mask((slice(0, 3), slice(0, 4)), (slice(3, 6), slice(4, 8)), (slice(50, 52), slice(50, 54)))
    far = mask((slice(100, 109), slice(3, 4)))
    files = [segmentation({1: parts | far, 2: FIVE})]
    assert [(b.sop_instance_uid[-1], b.x_min, b.y_min, b.x_max, b.y_max) for b in read_boxes(files, SLICES)] == [
        ("1", 0, 0, 8, 6),
        ("1", 3, 100, 4, 109),
        ("2", 20, 10, 30, 15),
    ]


def test_frames_of_one_object_at_one_place_are_one_vote() -> None:
    twice = segmentation({1: FIVE, 1.01: FIVE})
    blank = segmentation({1: FIVE * 0})
    assert read_boxes([twice, blank, blank], SLICES) == []


def test_frames_find_their_slice_by_patient_place_and_orientation() -> None:
    assert read_boxes([segmentation({1.04: FIVE})], SLICES)
    assert not read_boxes([segmentation({1.06: FIVE})], SLICES)
    assert not read_boxes([segmentation({1: FIVE}, patient="P2")], SLICES)
    assert not read_boxes([segmentation({1: FIVE}, orientation=(-1, 0, 0, 0, 1, 0))], SLICES)
    assert not read_boxes([segmentation({1: FIVE})], [taken_slice(1), taken_slice(1, SOPInstanceUID=UID("1.2.3.3.5"))])
