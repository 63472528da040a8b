"""What one accepted file says about its slices, whatever its format."""

from dataclasses import dataclass

from slicebank_imaging.layout import PixelLayout


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """One axial slice candidate: one frame of one file.

    Attributes:
        file: Ordinal of the file in its upload.
        frame_number: 1-based.
        position: Centre of the first pixel in mm, LPS; None when absent.
        orientation: Direction cosines of a row and of a column, LPS; None when absent.
        slice_location: mm along an axis of the scanner's choice.
        acquisition_time: DICOM text, sorts by time within a day.
        pixel_spacing: Distance between rows and between columns, mm.
        slice_thickness: mm.
        slope: HU per stored unit.
        intercept: HU.
        rescale_assumed: Slope and intercept came from the import options.
        padding: Range of stored values that stand for "no pixel here", inclusive.
        gantry_tilt: Degrees, as written by the scanner.
    """

    file: str
    frame_number: int
    sop_instance_uid: str
    instance_number: int | None
    position: tuple[float, float, float] | None
    orientation: tuple[float, float, float, float, float, float] | None
    slice_location: float | None
    acquisition_number: int | None
    acquisition_time: str | None
    rows: int
    columns: int
    pixel_spacing: tuple[float, float] | None
    slice_thickness: float | None
    slope: float
    intercept: float
    rescale_assumed: bool
    padding: tuple[int, int] | None
    image_type: tuple[str, ...]
    gantry_tilt: float | None


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What one accepted file says.

    Attributes:
        file: Ordinal of the file in its upload.
        sha256_pixels: SHA-256, hex, of the pixels as stored (DICOM: the value of Pixel Data, with item tags where
            encapsulated).
        study_uid: Empty when the file has none.
        series_uid: Empty when the file has none.
        body_part: A defined term of PS3.16 annex L; empty for anything else, which may be free text.
        frames: The slices, in file order; localizer frames are left out.
        folder: Folder part of the sender's file name, which groups files without UIDs.
        transfer_syntax: UID; for NIfTI "nifti-1" or "nifti-2".
        layout: Size and encoding of the pixels.
        sop_uid_derived: The SOP instance UID was not in the data set.
        warnings: Sentences for the sender.
        rounded_to_hu: Step of the values that the source's finer ones were rounded to, HU; None where nothing was.
    """

    file: str
    sha256_pixels: str
    study_uid: str
    series_uid: str
    transfer_syntax: str
    modality: str
    sop_class_uid: str
    patient_id: str
    patient_sex: str
    body_part: str
    frames: tuple[FrameHeader, ...]
    folder: str
    layout: PixelLayout
    sop_uid_derived: bool
    warnings: tuple[str, ...] = ()
    rounded_to_hu: float | None = None
