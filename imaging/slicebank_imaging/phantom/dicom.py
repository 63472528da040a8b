"""Phantoms as DICOM: CT Image Storage, one file a slice (PS3.3 A.3), or one enhanced multi-frame file (PS3.3 A.38)."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import UID

from slicebank_imaging.classification import CT_IMAGE, ENHANCED_CT
from slicebank_imaging.phantom.encoding import encode_frame, pixel_data
from slicebank_imaging.phantom.volume import Phantom
from slicebank_imaging.syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, SYNTAXES
from slicebank_imaging.uids import derived_uid

IMPLEMENTATION_UID = derived_uid("slicebank phantom writer")
INTERCEPT_HU = -1024
PADDING_STORED = -2000
NameOrder = Literal["shuffled", "ascending", "descending"]


@dataclass(frozen=True, slots=True)
class PhantomHeader:
    """What the files of a phantom say about patient and scan.

    Attributes:
        patient_id: None for one derived from the seed.
        signed: Write 16-bit signed HU (intercept 0) instead of 12-bit unsigned values (intercept -1024).
        padding: Mark the corners outside the reconstruction circle with a padding value of -2000; needs `signed`.
        name: Makes another series of the same phantom.
    """

    patient_id: str | None = None
    patient_sex: str = "O"
    patient_age: str = "060Y"
    kernel: str = "STANDARD"
    signed: bool = False
    padding: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class PhantomSeries:
    """A phantom on disk; paths are in slice order, from inferior to superior."""

    study_uid: str
    series_uid: str
    patient_id: str
    sop_instance_uids: tuple[str, ...]
    paths: tuple[Path, ...]


def write_dicom(
    phantom: Phantom,
    folder: Path,
    *,
    transfer_syntax: str = EXPLICIT_VR_LITTLE_ENDIAN,
    header: PhantomHeader | None = None,
    name_order: NameOrder = "shuffled",
) -> PhantomSeries:
    """Write one file a slice.

    UIDs under 2.25 follow from spec, lesions and header, so that writing twice gives the same files. InstanceNumber
    counts from the head down, as most scanners do.

    Args:
        phantom: What to write.
        folder: Made if it does not exist.
        transfer_syntax: UID of any syntax that is decoded here and does not lose information.
        header: Patient and scan.
        name_order: How file names relate to position.
    """
    header = header or PhantomHeader()
    folder.mkdir(parents=True, exist_ok=True)
    identity = _Identity(phantom, header)
    stored = _stored(phantom, header)
    count = phantom.spec.n_slices
    paths = []
    for index, number in enumerate(_numbers(count, name_order, phantom.spec.seed)):
        path = folder / f"IM{number:06d}.dcm"
        data = _common(phantom, header, identity, CT_IMAGE, identity.sop_uid(index))
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.InstanceNumber = count - index
        data.ImagePositionPatient = _position(phantom, index)
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.SliceLocation = f"{phantom.spec.z_mm(index):.3f}"
        data.SliceThickness = f"{phantom.spec.slice_spacing_mm:g}"
        data.PixelSpacing = [f"{phantom.spec.pixel_mm:.6g}"] * 2
        data.GantryDetectorTilt = "0"
        data.ConvolutionKernel = header.kernel
        data.RescaleIntercept = "0" if header.signed else str(INTERCEPT_HU)
        data.RescaleSlope = "1"
        data.RescaleType = "HU"
        _write(data, [stored[index]], header, transfer_syntax, path)
        paths.append(path)
    return identity.series(paths, count)


def write_enhanced_dicom(
    phantom: Phantom,
    path: Path,
    *,
    transfer_syntax: str = EXPLICIT_VR_LITTLE_ENDIAN,
    header: PhantomHeader | None = None,
) -> PhantomSeries:
    """Write one enhanced multi-frame file; frames run from the head down, so that their order is not slice order."""
    header = header or PhantomHeader()
    identity = _Identity(phantom, header)
    order = range(phantom.spec.n_slices - 1, -1, -1)
    data = _common(phantom, header, identity, ENHANCED_CT, identity.sop_uid(0))
    data.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    data.InstanceNumber = 1
    data.NumberOfFrames = phantom.spec.n_slices
    data.SharedFunctionalGroupsSequence = Sequence([_shared_groups(phantom, header)])
    data.PerFrameFunctionalGroupsSequence = Sequence([_frame_groups(phantom, index) for index in order])
    stored = _stored(phantom, header)
    _write(data, [stored[index] for index in order], header, transfer_syntax, path)
    return identity.series([path], 1)


class _Identity:
    """UIDs of one series, the same for the same phantom and header."""

    def __init__(self, phantom: Phantom, header: PhantomHeader) -> None:
        self.patient_id = header.patient_id or f"PHANTOM-{phantom.spec.seed:06d}"
        lesions = tuple(planted.lesion for planted in phantom.lesions)
        self._content = (repr(phantom.spec), repr(lesions), repr(header))
        self.study_uid = derived_uid("study", *self._content)
        self.series_uid = derived_uid("series", *self._content)

    def sop_uid(self, index: int) -> str:
        return derived_uid("instance", *self._content, str(index))

    def series(self, paths: Iterable[Path], count: int) -> PhantomSeries:
        uids = tuple(self.sop_uid(index) for index in range(count))
        return PhantomSeries(self.study_uid, self.series_uid, self.patient_id, uids, tuple(paths))


def _numbers(count: int, order: NameOrder, seed: int) -> list[int]:
    if order == "shuffled":
        rng = np.random.Generator(np.random.PCG64([seed, 0xF11E]))
        return [int(number) + 1 for number in rng.permutation(count)]
    numbers = list(range(1, count + 1))
    return numbers if order == "ascending" else numbers[::-1]


def _stored(phantom: Phantom, header: PhantomHeader) -> NDArray[np.int16] | NDArray[np.uint16]:
    """Stored values (slices, rows, columns) for the header's encoding."""
    if not header.signed:
        return (phantom.hu - INTERCEPT_HU).astype(np.uint16)
    if not header.padding:
        return phantom.hu
    axis = np.arange(phantom.spec.size) - 0.5 * (phantom.spec.size - 1)
    outside = axis[:, None] ** 2 + axis[None, :] ** 2 > (0.5 * phantom.spec.size) ** 2
    return np.where(outside[None], np.int16(PADDING_STORED), phantom.hu)


def _position(phantom: Phantom, index: int) -> list[str]:
    corner = f"{phantom.spec.first_xy_mm:.6g}"
    return [corner, corner, f"{phantom.spec.z_mm(index):.3f}"]


def _common(phantom: Phantom, header: PhantomHeader, identity: _Identity, sop_class: str, sop_uid: str) -> Dataset:
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 100"
    data.SOPClassUID = UID(sop_class)
    data.SOPInstanceUID = UID(sop_uid)
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = "20240101"
    data.StudyTime = data.SeriesTime = data.AcquisitionTime = data.ContentTime = "120000"
    data.AccessionNumber = ""
    data.Modality = "CT"
    data.Manufacturer = "slicebank"
    data.ManufacturerModelName = "phantom"
    data.ReferringPhysicianName = ""
    data.SeriesDescription = "Phantom chest-abdomen"
    data.PatientName = identity.patient_id
    data.PatientID = identity.patient_id
    data.PatientBirthDate = ""
    data.PatientSex = header.patient_sex
    data.PatientAge = header.patient_age
    data.BodyPartExamined = "CHESTABDOMEN"
    data.KVP = "120"
    data.PatientPosition = "HFS"
    data.StudyInstanceUID = UID(identity.study_uid)
    data.SeriesInstanceUID = UID(identity.series_uid)
    data.FrameOfReferenceUID = UID(derived_uid("frame of reference", identity.study_uid))
    data.StudyID = "1"
    data.SeriesNumber = 2
    data.AcquisitionNumber = 1
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows = data.Columns = phantom.spec.size
    data.BitsAllocated = 16
    data.BitsStored = 16 if header.signed else 12
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(header.signed)
    if header.signed and header.padding:
        data.PixelPaddingValue = PADDING_STORED
    return data


def _shared_groups(phantom: Phantom, header: PhantomHeader) -> Dataset:
    groups, measures, plane, transformation, kind = (Dataset() for _ in range(5))
    measures.PixelSpacing = [f"{phantom.spec.pixel_mm:.6g}"] * 2
    measures.SliceThickness = f"{phantom.spec.slice_spacing_mm:g}"
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    transformation.RescaleIntercept = "0" if header.signed else str(INTERCEPT_HU)
    transformation.RescaleSlope = "1"
    transformation.RescaleType = "HU"
    kind.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    groups.PixelMeasuresSequence = Sequence([measures])
    groups.PlaneOrientationSequence = Sequence([plane])
    groups.PixelValueTransformationSequence = Sequence([transformation])
    groups.CTImageFrameTypeSequence = Sequence([kind])
    return groups


def _frame_groups(phantom: Phantom, index: int) -> Dataset:
    groups, content, plane = Dataset(), Dataset(), Dataset()
    content.FrameAcquisitionNumber = 1
    content.StackID = "1"
    content.InStackPositionNumber = index + 1
    plane.ImagePositionPatient = _position(phantom, index)
    groups.FrameContentSequence = Sequence([content])
    groups.PlanePositionSequence = Sequence([plane])
    return groups


def _write(
    data: Dataset,
    frames: list[NDArray[np.int16]] | list[NDArray[np.uint16]],
    header: PhantomHeader,
    transfer_syntax: str,
    path: Path,
) -> None:
    bits = 16 if header.signed else 12
    encoded = [encode_frame(frame, bits, transfer_syntax) for frame in frames]
    syntax = SYNTAXES[transfer_syntax]
    data.PixelData = pixel_data(encoded, transfer_syntax)
    data["PixelData"].VR = "OB" if syntax.encapsulated else "OW"
    data["PixelData"].is_undefined_length = syntax.encapsulated
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = data.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    data.file_meta = meta
    data.preamble = b"\0" * 128
    dcmwrite(path, data, enforce_file_format=True)
