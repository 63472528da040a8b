"""What pydicom and GDCM read from a file, for comparison with slicebank; both are independent of it and of each other."""

from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels import apply_rescale

Stored = NDArray[Any]
_GDCM_TYPES = {
    gdcm.PixelFormat.UINT8: "u1",
    gdcm.PixelFormat.INT8: "i1",
    gdcm.PixelFormat.UINT12: "u2",
    gdcm.PixelFormat.INT12: "i2",
    gdcm.PixelFormat.UINT16: "u2",
    gdcm.PixelFormat.INT16: "i2",
}


def pydicom_frames(path: Path) -> tuple[Stored, NDArray[np.float64]]:
    """(frames, rows, columns): stored values, and values after rescale."""
    data = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in data.file_meta:
        data.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    stored = data.pixel_array
    stored = stored.reshape(-1, *stored.shape[-2:])
    if "PerFrameFunctionalGroupsSequence" not in data:
        return stored, np.asarray(apply_rescale(stored, data), dtype=np.float64)
    rescaled = np.empty(stored.shape)
    for number, frame in enumerate(data.PerFrameFunctionalGroupsSequence):
        shared = data.SharedFunctionalGroupsSequence[0]
        group = frame if "PixelValueTransformationSequence" in frame else shared
        rescaled[number] = apply_rescale(stored[number], group.PixelValueTransformationSequence[0])
    return stored, rescaled


def gdcm_frames(path: Path) -> Stored | None:
    """(frames, rows, columns) of stored values; None where GDCM cannot read the file."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if not reader.Read():
        return None
    image = reader.GetImage()
    buffer = image.GetBuffer()
    content = buffer.encode("utf-8", errors="surrogateescape") if isinstance(buffer, str) else buffer
    values = np.frombuffer(content, _GDCM_TYPES[image.GetPixelFormat().GetScalarType()])
    columns, rows = image.GetDimensions()[:2]
    return values.reshape(-1, rows, columns)
