"""What each verdict on a file, a series or an archive means to whoever sent it, over every way in."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

# Failure Reason (0008,1197), PS3.3 C.14.1.1 and PS3.4 table B.2-1. All but the first are permanent: senders may try
# again after a processing failure, which helps with none of the others.
SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
SOP_CLASS_NOT_SUPPORTED = 0x0122
OUT_OF_RESOURCES = 0xA700
DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
CANNOT_UNDERSTAND = 0xC000
TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122


class Scope(StrEnum):
    """What a verdict is about."""

    FILE = "file"
    SERIES = "series"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The meaning of one code.

    Attributes:
        scope: What is refused.
        failure_reason: Status of C-STORE and Failure Reason of STOW-RS; 0 where the sender is told of success.
        remedy: What to do, one line.
    """

    scope: Scope
    failure_reason: int
    remedy: str


def _file(failure_reason: int, remedy: str) -> Verdict:
    return Verdict(Scope.FILE, failure_reason, remedy)


def _series(failure_reason: int, remedy: str) -> Verdict:
    return Verdict(Scope.SERIES, failure_reason, remedy)


def _archive(failure_reason: int, remedy: str) -> Verdict:
    return Verdict(Scope.ARCHIVE, failure_reason, remedy)


VERDICTS: Mapping[str, Verdict] = MappingProxyType(
    {
        "not_dicom": _file(CANNOT_UNDERSTAND, "send .dcm or .nii files, or an archive of them"),
        "truncated_file": _file(CANNOT_UNDERSTAND, "send the file again"),
        "no_pixel_data": _file(DATA_SET_DOES_NOT_MATCH_SOP_CLASS, "send the original image"),
        "wrong_transfer_syntax": _file(CANNOT_UNDERSTAND, "convert the file again"),
        "unsupported_transfer_syntax": _file(
            TRANSFER_SYNTAX_NOT_SUPPORTED, "transcode, for instance to Explicit VR Little Endian"
        ),
        "bad_header": _file(DATA_SET_DOES_NOT_MATCH_SOP_CLASS, "export or anonymise the file again"),
        "not_ct": _file(SOP_CLASS_NOT_SUPPORTED, "nothing: slicebank takes CT"),
        "localizer": _file(CANNOT_UNDERSTAND, "nothing: it was left out"),
        "not_an_image": _file(SOP_CLASS_NOT_SUPPORTED, "nothing: it was left out"),
        "not_grayscale": _file(DATA_SET_DOES_NOT_MATCH_SOP_CLASS, "send the original series"),
        "burned_in_annotation": _file(CANNOT_UNDERSTAND, "send the original slices"),
        "too_many_pixels": _file(OUT_OF_RESOURCES, "send the series in parts"),
        "missing_rescale": _file(DATA_SET_DOES_NOT_MATCH_SOP_CLASS, "if you know them: assume_rescale=slope,intercept"),
        "not_hu": _file(CANNOT_UNDERSTAND, "send the original, or force=not_hu"),
        "no_orientation": _file(CANNOT_UNDERSTAND, "save the volume with its affine"),
        "several_volumes": _file(CANNOT_UNDERSTAND, "send each volume as its own file"),
        "decode_failed": _file(CANNOT_UNDERSTAND, "send the slice again"),
        "codec_missing": _file(PROCESSING_FAILURE, "install slicebank[worker]"),
        "file_refused": _file(PROCESSING_FAILURE, "read the sentence"),
        "duplicate_slice": _file(SUCCESS, "nothing: one was kept"),
        "no_position": _series(
            DATA_SET_DOES_NOT_MATCH_SOP_CLASS, "send files with ImagePositionPatient or SliceLocation"
        ),
        "not_axial": _series(CANNOT_UNDERSTAND, "send the original axial series"),
        "too_many_slices": _series(OUT_OF_RESOURCES, "send the series in parts"),
        "series_refused": _series(PROCESSING_FAILURE, "read the sentence"),
        "bad_archive": _archive(CANNOT_UNDERSTAND, "make it again"),
        "unsafe_name": _archive(CANNOT_UNDERSTAND, "make it again with plain files"),
        "encrypted_archive": _archive(CANNOT_UNDERSTAND, "send it unencrypted"),
        "empty_archive": _archive(CANNOT_UNDERSTAND, "pack the folder with the files"),
        "nested_too_deep": _archive(CANNOT_UNDERSTAND, "unpack the inner archives, or pack the files once"),
        "too_many_files": _archive(OUT_OF_RESOURCES, "send the study in parts"),
        "archive_too_large": _archive(OUT_OF_RESOURCES, "send the study in parts"),
        "archive_refused": _archive(PROCESSING_FAILURE, "read the sentence"),
    }
)
"""Every code of `errors` that can befall what was sent."""
