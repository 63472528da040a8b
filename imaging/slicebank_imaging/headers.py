"""One file's verdict, whatever its format: slices that can be taken, or the reason why not."""

from pathlib import Path, PurePosixPath

from slicebank_imaging.dicom_header import read_dicom_header
from slicebank_imaging.elements import open_dicom
from slicebank_imaging.errors import NotDicom
from slicebank_imaging.file_header import FileHeader, FrameHeader
from slicebank_imaging.limits import IntakeLimits
from slicebank_imaging.nifti import is_nifti, read_nifti_header
from slicebank_imaging.options import ImportOptions

__all__ = ["FileHeader", "FrameHeader", "read_file_header"]

DEFAULT_LIMITS = IntakeLimits()


def read_file_header(
    path: Path, *, file: str, name: str, options: ImportOptions, limits: IntakeLimits = DEFAULT_LIMITS
) -> FileHeader:
    """Read one file and judge it.

    Args:
        path: The file.
        file: Its ordinal in the upload.
        name: The sender's name for it, with folders.
        options: What the sender asserts about files whose headers do not say it.
        limits: How large a file may be.

    Raises:
        ImagingError: always one of the `FileRefused` errors, whatever the bytes are.
    """
    try:
        if is_nifti(path):
            return read_nifti_header(path, file=file, folder=_folder(name), options=options, limits=limits)
        with open_dicom(path) as dicom:
            return read_dicom_header(dicom, file=file, folder=_folder(name), options=options, limits=limits)
    except OSError as error:
        raise NotDicom(f"the file cannot be read ({error.strerror or type(error).__name__}); send it again") from error


def _folder(name: str) -> str:
    parent = str(PurePosixPath(name.replace("\\", "/")).parent)
    return "" if parent == "." else parent
