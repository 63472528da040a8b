"""Small CT files made with pydicom, one attribute at a time, and what imaging makes of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from slicebank_imaging.errors import ImagingError
from slicebank_imaging.grouping import Grouping, group_series
from slicebank_imaging.headers import FileHeader, read_file_header
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.syntaxes import EXPLICIT_VR_LITTLE_ENDIAN

STUDY = "1.2.3.1"
SERIES = "1.2.3.2"


def ramp(rows: int = 8, columns: int = 10) -> NDArray[np.int16]:
    return (np.arange(rows * columns, dtype=np.int16) * 20 - 1000).reshape(rows, columns)


def ct_dataset(number: int = 1, **changes: Any) -> Dataset:
    """One valid slice at z = number; `changes` set attributes, None removes them."""
    data = Dataset()
    data.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    data.SOPInstanceUID = UID(f"1.2.3.3.{number}")
    data.StudyInstanceUID = UID(STUDY)
    data.SeriesInstanceUID = UID(SERIES)
    data.Modality = "CT"
    data.PatientID = "P1"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.InstanceNumber = number
    data.AcquisitionNumber = 1
    data.ImagePositionPatient = [0, 0, number]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.PixelSpacing = ["0.7", "0.8"]
    data.SliceThickness = "1"
    data.RescaleSlope = "1"
    data.RescaleIntercept = "0"
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows, data.Columns = 8, 10
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.PixelRepresentation = 1
    data.PixelData = (ramp() + np.int16(number)).tobytes()
    data["PixelData"].VR = "OW"
    for keyword, value in changes.items():
        if value is None:
            delattr(data, keyword)
        else:
            setattr(data, keyword, value)
    return data


def write(
    path: Path,
    data: Dataset,
    syntax: str = EXPLICIT_VR_LITTLE_ENDIAN,
    *,
    meta_uid: str | None = None,
    meta_class: str = "1.2.840.10008.5.1.4.1.1.2",
) -> Path:
    """Write a file with preamble and file meta information, whatever the data set lacks."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = data.get("SOPClassUID") or UID(meta_class)
    meta.MediaStorageSOPInstanceUID = UID(meta_uid or data.get("SOPInstanceUID") or "1.2.3.9")
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID("1.2.3.4")
    data.file_meta = meta
    data.preamble = b"\0" * 128
    path.parent.mkdir(parents=True, exist_ok=True)
    implicit, little = syntax == "1.2.840.10008.1.2", syntax != "1.2.840.10008.1.2.2"
    dcmwrite(path, data, implicit_vr=implicit, little_endian=little)
    return path


def read(path: Path, *, name: str | None = None, options: ImportOptions | None = None) -> FileHeader:
    return read_file_header(path, file=path.name, name=name or path.name, options=options or ImportOptions())


def refusal(path: Path, *, options: ImportOptions | None = None) -> ImagingError:
    try:
        header = read(path, options=options)
    except ImagingError as error:
        return error
    raise AssertionError(f"accepted: {header}")


def group(folder: Path, datasets: Iterable[Dataset], *, options: ImportOptions | None = None) -> Grouping:
    """Write data sets as 000.dcm, 001.dcm, ... and group what is read back."""
    options = options or ImportOptions()
    headers = [read(write(folder / f"{number:03d}.dcm", data), options=options) for number, data in enumerate(datasets)]
    return group_series(headers, options)
