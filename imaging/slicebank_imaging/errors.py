"""The errors of this room, one tree.

ImagingError
├── FileRefused            one file cannot be taken as CT slices
│   ├── NotDicom, TruncatedFile, NoPixelData, WrongTransferSyntax, UnsupportedTransferSyntax, BadHeader
│   ├── NotCT, Localizer, NotAnImage, NotGrayscale, BurnedInAnnotation, TooManyPixels
│   ├── MissingRescale, NotHounsfield
│   └── NoOrientation, SeveralVolumes
├── SeriesRefused          readable slices that make no axial series
│   └── NoPosition, NotAxial, DuplicateSlice, TooManySlices
├── ArchiveRefused         an archive, or one member of it
│   └── BadArchive, UnsafeName, EncryptedArchive, TooManyFiles, ArchiveTooLarge, EmptyArchive, NestedTooDeep
├── DecodeFailed           the pixels of one slice cannot be decoded
├── BadOption              an import option or a window that cannot be used
└── CodecMissing           an optional codec package is not installed
"""

from typing import ClassVar


class ImagingError(Exception):
    """Anything that imaging refuses; `code` is stable, `detail` is a sentence for the person who sent the file.

    Attributes:
        tag: The DICOM element at fault, as `tags.label` writes it; None where it is no single element's fault.
    """

    code: ClassVar[str] = "imaging_error"

    def __init__(self, detail: str = "", *, tag: str | None = None) -> None:
        super().__init__(detail)
        self.tag = tag

    @property
    def detail(self) -> str:
        """The sentence that says what is wrong and what to do."""
        return str(self)


class FileRefused(ImagingError):
    """One file cannot be taken as CT slices."""

    code: ClassVar[str] = "file_refused"


class NotDicom(FileRefused):
    """The bytes are not a DICOM data set, with or without the 128-byte preamble."""

    code: ClassVar[str] = "not_dicom"


class TruncatedFile(FileRefused):
    """An element, or the pixels, reach beyond the end of the file."""

    code: ClassVar[str] = "truncated_file"


class NoPixelData(FileRefused):
    """A CT object without Pixel Data (7FE0,0010)."""

    code: ClassVar[str] = "no_pixel_data"


class WrongTransferSyntax(FileRefused):
    """Pixel length or codestream signature do not match the declared transfer syntax."""

    code: ClassVar[str] = "wrong_transfer_syntax"


class UnsupportedTransferSyntax(FileRefused):
    """A transfer syntax that nothing here decodes."""

    code: ClassVar[str] = "unsupported_transfer_syntax"


class BadHeader(FileRefused):
    """Header values that are missing, contradictory or out of bounds."""

    code: ClassVar[str] = "bad_header"


class NotCT(FileRefused):
    """Another modality."""

    code: ClassVar[str] = "not_ct"


class Localizer(FileRefused):
    """A scout, topogram or surview."""

    code: ClassVar[str] = "localizer"


class NotAnImage(FileRefused):
    """SR, SEG, RTSTRUCT, presentation state, dose, screen capture, DICOMDIR: nothing to embed."""

    code: ClassVar[str] = "not_an_image"


class NotGrayscale(FileRefused):
    """Colour or palette pixels."""

    code: ClassVar[str] = "not_grayscale"


class BurnedInAnnotation(FileRefused):
    """Pixels that hold writing, which can be a name."""

    code: ClassVar[str] = "burned_in_annotation"


class TooManyPixels(FileRefused):
    """More rows x columns x frames in one file than may be taken."""

    code: ClassVar[str] = "too_many_pixels"


class MissingRescale(FileRefused):
    """No Rescale Slope and Intercept, so that Hounsfield units are unknown."""

    code: ClassVar[str] = "missing_rescale"


class NotHounsfield(FileRefused):
    """Rescaled values that are not Hounsfield units."""

    code: ClassVar[str] = "not_hu"


class NoOrientation(FileRefused):
    """A volume whose header does not say how it lies in the patient."""

    code: ClassVar[str] = "no_orientation"


class SeveralVolumes(FileRefused):
    """A file of several volumes, as of a perfusion series."""

    code: ClassVar[str] = "several_volumes"


class SeriesRefused(ImagingError):
    """Readable slices that make no axial series."""

    code: ClassVar[str] = "series_refused"


class NoPosition(SeriesRefused):
    """Several slices without a position along the scan."""

    code: ClassVar[str] = "no_position"


class NotAxial(SeriesRefused):
    """A wholly coronal or sagittal series."""

    code: ClassVar[str] = "not_axial"


class DuplicateSlice(SeriesRefused):
    """A slice that the same upload holds already, byte for byte."""

    code: ClassVar[str] = "duplicate_slice"


class TooManySlices(SeriesRefused):
    """More slices in one series than may be taken."""

    code: ClassVar[str] = "too_many_slices"


class ArchiveRefused(ImagingError):
    """An archive, or one member of it, cannot be taken."""

    code: ClassVar[str] = "archive_refused"


class BadArchive(ArchiveRefused):
    """The archive, or one member, cannot be read."""

    code: ClassVar[str] = "bad_archive"


class UnsafeName(ArchiveRefused):
    """A member whose name leaves the archive, or that is a link or a device."""

    code: ClassVar[str] = "unsafe_name"


class EncryptedArchive(ArchiveRefused):
    """A member that needs a password."""

    code: ClassVar[str] = "encrypted_archive"


class TooManyFiles(ArchiveRefused):
    """More members than one upload may hold."""

    code: ClassVar[str] = "too_many_files"


class ArchiveTooLarge(ArchiveRefused):
    """Unpacked bytes, or their ratio to the packed ones, beyond the limit."""

    code: ClassVar[str] = "archive_too_large"


class EmptyArchive(ArchiveRefused):
    """An archive without files."""

    code: ClassVar[str] = "empty_archive"


class NestedTooDeep(ArchiveRefused):
    """An archive inside more archives than are opened."""

    code: ClassVar[str] = "nested_too_deep"


class DecodeFailed(ImagingError):
    """The pixels of one slice cannot be decoded."""

    code: ClassVar[str] = "decode_failed"


class BadOption(ImagingError):
    """An import option or a window that cannot be used."""

    code: ClassVar[str] = "bad_option"


class CodecMissing(ImagingError):
    """An optional codec package is not installed."""

    code: ClassVar[str] = "codec_missing"
