"""Telling what is plainly not DICOM by its name and its first bytes.

A file without the DICM preamble may still be DICOM (not every exporter keeps part 10, 7.1), so the answer is "could be"
unless the name or the bytes say otherwise; the server judges the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

_COMPRESSORS = {
    ".gz": "application/gzip",
    ".zst": "application/zstd",
    ".bz2": "application/x-bzip2",
    ".xz": "application/x-xz",
}
ARCHIVE_TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".zip": "application/zip",
        ".tar": "application/x-tar",
        ".tgz": "application/gzip",
        ".tzst": "application/zstd",
        ".tbz2": "application/x-bzip2",
        ".txz": "application/x-xz",
        **{f"{inner}{suffix}": kind for suffix, kind in _COMPRESSORS.items() for inner in (".tar", ".dcm")},
    }
)
VOLUME_TYPES: Mapping[str, str] = MappingProxyType(
    {".nii": "application/x-nifti", **{f".nii{suffix}": kind for suffix, kind in _COMPRESSORS.items()}}
)

# DICOM PS3.10, 8.6: the only name that the index of a medium may have.
MEDIUM_INDEX = "DICOMDIR"

PREAMBLE_BYTES = 132
MAGIC_OFFSET = 128

_OTHER = """
.csv .tsv .txt .md .rst .json .jsonl .xml .html .htm .yaml .yml .toml .ini .cfg .inf .log .url .lnk .rtf
.pdf .doc .docx .xls .xlsx .ppt .pptx .png .jpg .jpeg .gif .bmp .tif .tiff .webp .svg .ico .mp4 .avi .mov
.nrrd .nhdr .mha .mhd .mgz .hdr .stl .vtk .obj .npy .npz .h5 .hdf5 .pt .pth .safetensors .pkl .mat .parquet
.py .ipynb .sh .bat .exe .dll .so .js .css .c .h .cpp .java .m .r .sqlite .db .gz .bz2 .xz .zst .7z .rar .part .tmp .bak .swp
"""
OTHER_SUFFIXES = frozenset(_OTHER.split())
DICOM_SUFFIXES = frozenset({"", ".dcm", ".dicom", ".dic", ".ima", ".img", ".acr", ".raw"})

_JUNK = """
thumbs.db desktop.ini autorun.inf __macosx readme license licence changelog makefile md5sums sha256sums
"""
JUNK_NAMES = frozenset(_JUNK.split())

# What is often saved without a suffix: pictures, PDF, gzip, zip, HDF5, programs, scripts, XML, HTML.
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"%PDF")
_CONTAINERS = (b"\x1f\x8b", b"PK\x03\x04", b"\x89HDF", b"\x7fELF", b"#!", b"<?xml", b"<!")
# The first tag of a data set written without preamble is of group 0002 or 0008, in either byte order.
_DATA_SET = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")


def archive_type(path: Path) -> str | None:
    """Content type of an archive by its name; None for anything else."""
    return ARCHIVE_TYPES.get(_suffix(path.name))


def volume_type(path: Path) -> str | None:
    """Content type of a NIfTI volume, packed or not, by its name; None for anything else."""
    return VOLUME_TYPES.get(_suffix(path.name))


def is_junk_name(name: str) -> bool:
    """Whether a file or folder name is one that systems and repositories leave beside data."""
    return name.startswith(".") or name.lower() in JUNK_NAMES


def reason_to_skip(path: Path, size: int) -> str | None:
    """Say why a file cannot be DICOM, or None when it could be.

    Raises:
        OSError: the first bytes cannot be read.
    """
    if size == 0:
        return "empty file"
    if path.name.upper() == MEDIUM_INDEX:
        return "the index of a medium; what it lists is looked at itself"
    with path.open("rb") as file:
        head = file.read(PREAMBLE_BYTES)
    if head[MAGIC_OFFSET:] == b"DICM":
        return None
    if is_junk_name(path.name):
        return "not an image"
    suffix = _suffix(path.name)
    if suffix in OTHER_SUFFIXES:
        return f"a {suffix} file, not DICOM"
    if head.startswith(_PICTURES + _CONTAINERS):
        return "its first bytes are those of another format"
    # UIDs as file names end in a number: 1.2.840.113619.2.55
    if suffix in DICOM_SUFFIXES or suffix[1:].isdigit() or head.startswith(_DATA_SET):
        return None
    return f"a {suffix} file without the DICOM preamble"


def _suffix(name: str) -> str:
    """The last suffix, or the last two where they mean something together, in lower case."""
    suffixes = Path(name.lower()).suffixes
    double = "".join(suffixes[-2:])
    return double if double in ARCHIVE_TYPES or double in VOLUME_TYPES else "".join(suffixes[-1:])
