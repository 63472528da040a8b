"""Volumes that are no DICOM, written as CT Image Storage (PS3.3 A.3), so that they enter a service as any series does."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from slicebank_imaging.classification import CT_IMAGE
from slicebank_imaging.syntaxes import EXPLICIT_VR_LITTLE_ENDIAN
from slicebank_imaging.uids import derived_uid

IMPLEMENTATION_UID = derived_uid("slicebank series writer")


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What a written series says of itself.

    Attributes:
        collection: Data set that it comes from; part of every UID.
        name: What the data set calls the series; part of every UID.
        patient_id: Whose it is.
        pixel_mm: Distance between rows and between columns, mm.
        slice_mm: Distance between slices of consecutive numbers, mm; taken for their thickness too.
    """

    collection: str
    name: str
    patient_id: str
    pixel_mm: tuple[float, float]
    slice_mm: float

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID under 2.25, the same whenever the series is written."""
        return derived_uid("written series", self.collection, self.name)


def write_series(slices: Iterable[tuple[int, NDArray[np.int16]]], folder: Path, facts: SeriesFacts) -> int:
    """Writes one file a slice, as it comes, so that no volume need be in memory; values are HU, slope 1 and intercept 0.

    Writing the same series twice gives the same bytes.

    Args:
        slices: Number and HU (rows, columns) of each. Numbers count downwards from the head, one `slice_mm` apart, and may have
            gaps; they become InstanceNumber. Rows run from anterior to posterior, columns from the patient's right to the left.
        folder: Made if it does not exist.
        facts: Names and spacings.

    Returns:
        How many slices were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for number, hu in slices:
        data = _dataset(number, hu, facts)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = data.SOPClassUID
        meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        meta.TransferSyntaxUID = UID(EXPLICIT_VR_LITTLE_ENDIAN)
        meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
        data.file_meta = meta
        data.preamble = b"\0" * 128
        dcmwrite(folder / f"{number:05d}.dcm", data, enforce_file_format=True)
        count += 1
    return count


def _dataset(number: int, hu: NDArray[np.int16], facts: SeriesFacts) -> Dataset:
    rows, columns = hu.shape
    row_mm, column_mm = facts.pixel_mm
    data = Dataset()
    data.SOPClassUID = UID(CT_IMAGE)
    data.SOPInstanceUID = UID(derived_uid("written slice", facts.collection, facts.name, str(number)))
    data.StudyInstanceUID = UID(derived_uid("written study", facts.collection, facts.name))
    data.SeriesInstanceUID = UID(facts.series_uid)
    data.FrameOfReferenceUID = UID(derived_uid("written frame of reference", facts.collection, facts.name))
    data.StudyDate = data.StudyTime = data.AccessionNumber = data.ReferringPhysicianName = data.StudyID = ""
    data.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    data.Modality = "CT"
    data.Manufacturer = ""
    data.PatientName = facts.patient_id
    data.PatientID = facts.patient_id
    data.PatientBirthDate = data.PatientSex = ""
    data.PatientPosition = "HFS"
    data.SeriesNumber = 1
    data.AcquisitionNumber = 1
    data.InstanceNumber = number
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    left, front = -0.5 * (columns - 1) * column_mm, -0.5 * (rows - 1) * row_mm
    data.ImagePositionPatient = [f"{value:.6g}" for value in (left, front)] + [f"{-number * facts.slice_mm:.9g}"]
    data.PixelSpacing = [f"{row_mm:.6g}", f"{column_mm:.6g}"]
    data.SliceThickness = f"{facts.slice_mm:.6g}"
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows, data.Columns = rows, columns
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.PixelRepresentation = 1
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = "0", "1", "HU"
    data.PixelData = np.ascontiguousarray(hu, dtype="<i2").tobytes()
    data["PixelData"].VR = "OW"
    return data
