"""One DICOM file's verdict: slices that can be taken, or the reason why not. Pixels are hashed, never decoded."""

import numpy as np

from slicebank_imaging import tags
from slicebank_imaging.body_parts import body_part_term
from slicebank_imaging.classification import classify, is_localizer, sop_class
from slicebank_imaging.elements import DicomFile
from slicebank_imaging.errors import (
    BadHeader,
    Localizer,
    MissingRescale,
    NoPixelData,
    NotCT,
    NotHounsfield,
)
from slicebank_imaging.file_header import FileHeader, FrameHeader
from slicebank_imaging.frames import PixelMap, digest_value, map_frames, read_frame, supported_syntax
from slicebank_imaging.functional_groups import FrameSource, frame_sources
from slicebank_imaging.layout import PixelLayout, check_size, read_layout, read_padding
from slicebank_imaging.limits import MAX_RESCALE, IntakeLimits
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.terms import RESCALE_TYPES, quoted
from slicebank_imaging.uids import derived_uid, is_usable_uid
from slicebank_imaging.values import DataSet, text_encoding

MAX_POSITION_MM = 1e5
AIR_HU = -900.0  # every CT slice that was not cropped shows air
HOUNSFIELD_TYPES = frozenset({"", "HU", "US"})  # US = unspecified (PS3.3 C.11.1.1.2), written for plain CT too


def read_dicom_header(
    dicom: DicomFile, *, file: str, folder: str, options: ImportOptions, limits: IntakeLimits
) -> FileHeader:
    """Judge one DICOM file; arguments as those of `headers.read_file_header`.

    Raises:
        FileRefused: the verdict.
    """
    data = dicom.data
    says_ct = classify(data, dicom.meta, options)
    if dicom.pixel is None:
        raise NoPixelData(
            "the file has a CT header but no pixels; send the original image", tag=tags.label(tags.PIXEL_DATA)
        )
    supported_syntax(dicom.syntax)
    layout = read_layout(data)
    check_size(layout, limits)
    pixels = map_frames(dicom, dicom.pixel, layout)
    digest = digest_value(dicom, pixels.value)
    sources = frame_sources(data, layout.frames)
    if not says_ct and not _pixels_look_like_ct(dicom, pixels, layout, sources[0], options):
        raise NotCT("neither modality, SOP class nor pixel values say that this is CT", tag=tags.label(tags.MODALITY))
    sop_uid, sop_derived = _sop_uid(data, dicom.meta, digest)
    padding = read_padding(data, layout)
    frames = tuple(
        frame
        for number, source in enumerate(sources, start=1)
        if not is_localizer((frame := _frame(source, number, file, sop_uid, layout, padding, options)).image_type)
    )
    if not frames:
        raise Localizer(
            "this is a localizer (scout), not an axial slice; it was left out", tag=tags.label(tags.FRAME_TYPE)
        )
    encoding = text_encoding(data.texts(tags.SPECIFIC_CHARACTER_SET))
    return FileHeader(
        file=file,
        sha256_pixels=digest,
        study_uid=_uid(data, tags.STUDY_INSTANCE_UID, "StudyInstanceUID"),
        series_uid=_uid(data, tags.SERIES_INSTANCE_UID, "SeriesInstanceUID"),
        transfer_syntax=dicom.syntax,
        modality=data.text(tags.MODALITY) or "CT",
        sop_class_uid=sop_class(data, dicom.meta),
        patient_id=data.text(tags.PATIENT_ID, encoding),
        patient_sex=data.text(tags.PATIENT_SEX)[:16],
        body_part=body_part_term(data.text(tags.BODY_PART_EXAMINED)),
        frames=frames,
        folder=folder,
        layout=layout,
        sop_uid_derived=sop_derived,
        warnings=pixels.warnings,
    )


def _uid(data: DataSet, tag: int, keyword: str) -> str:
    uid = data.text(tag)
    if uid and not is_usable_uid(uid):
        raise BadHeader(
            f"the {keyword} holds characters that no UID may have; anonymise the file again", tag=tags.label(tag)
        )
    return uid


def _sop_uid(data: DataSet, meta: DataSet, digest: str) -> tuple[str, bool]:
    uid = _uid(data, tags.SOP_INSTANCE_UID, "SOPInstanceUID")
    if uid:
        return uid, False
    uid = _uid(meta, tags.MEDIA_STORAGE_SOP_INSTANCE_UID, "MediaStorageSOPInstanceUID")
    if uid:
        return uid, True
    place = data.text(tags.IMAGE_POSITION_PATIENT) or data.text(tags.SLICE_LOCATION)
    return derived_uid("instance", digest, place, data.text(tags.INSTANCE_NUMBER)), True


def _frame(
    source: FrameSource,
    number: int,
    file: str,
    sop_uid: str,
    layout: PixelLayout,
    padding: tuple[int, int] | None,
    options: ImportOptions,
) -> FrameHeader:
    measures = source.group(tags.PIXEL_MEASURES_SEQUENCE)
    content = source.group(tags.FRAME_CONTENT_SEQUENCE)
    slope, intercept, assumed = _rescale(source.group(tags.PIXEL_VALUE_TRANSFORMATION_SEQUENCE), layout, options)
    lone = source.enhanced or layout.frames == 1  # one location for many frames says nothing about any of them
    if source.enhanced:
        image_type = source.group(tags.CT_IMAGE_FRAME_TYPE_SEQUENCE).texts(tags.FRAME_TYPE)
        acquisition = content.unsigned(tags.FRAME_ACQUISITION_NUMBER)
        time = content.text(tags.FRAME_ACQUISITION_DATE_TIME)
    else:
        image_type = ()
        acquisition = source.root.integer_string(tags.ACQUISITION_NUMBER)
        time = source.root.text(tags.ACQUISITION_TIME) or source.root.text(tags.ACQUISITION_DATE_TIME)
    return FrameHeader(
        file=file,
        frame_number=number,
        sop_instance_uid=sop_uid,
        instance_number=source.root.integer_string(tags.INSTANCE_NUMBER),
        position=_position(source.group(tags.PLANE_POSITION_SEQUENCE)) if lone else None,
        orientation=_orientation(source.group(tags.PLANE_ORIENTATION_SEQUENCE)),
        slice_location=_bounded(source.root.number(tags.SLICE_LOCATION), MAX_POSITION_MM)
        if layout.frames == 1
        else None,
        acquisition_number=acquisition,
        acquisition_time=time[:32] or None,
        rows=layout.rows,
        columns=layout.columns,
        pixel_spacing=_spacing(measures),
        slice_thickness=_positive(measures.number(tags.SLICE_THICKNESS)),
        slope=slope,
        intercept=intercept,
        rescale_assumed=assumed,
        padding=padding,
        image_type=image_type or source.root.texts(tags.IMAGE_TYPE),
        gantry_tilt=_bounded(source.group(tags.CT_ACQUISITION_DETAILS_SEQUENCE).number(tags.GANTRY_DETECTOR_TILT), 90),
    )


def _position(group: DataSet) -> tuple[float, float, float] | None:
    values = group.vector(tags.IMAGE_POSITION_PATIENT, 3)
    if values is None:
        return None
    if max(abs(value) for value in values) > MAX_POSITION_MM:
        raise BadHeader(
            "ImagePositionPatient lies more than 100 m from the origin", tag=tags.label(tags.IMAGE_POSITION_PATIENT)
        )
    return values[0], values[1], values[2]


def _orientation(group: DataSet) -> tuple[float, float, float, float, float, float] | None:
    values = group.vector(tags.IMAGE_ORIENTATION_PATIENT, 6)
    if values is None:
        return None
    row, column = np.array(values[:3]), np.array(values[3:])
    # Cosines are unit vectors at right angles; writers round them to as few as 3 digits.
    lengths = np.abs(values) <= 1.01
    if not lengths.all() or abs(row @ row - 1) > 0.05 or abs(column @ column - 1) > 0.05 or abs(row @ column) > 0.05:
        raise BadHeader(
            "ImageOrientationPatient is not a pair of perpendicular unit vectors",
            tag=tags.label(tags.IMAGE_ORIENTATION_PATIENT),
        )
    return values[0], values[1], values[2], values[3], values[4], values[5]


def _spacing(group: DataSet) -> tuple[float, float] | None:
    values = group.vector(tags.PIXEL_SPACING, 2)
    if values is None or not all(1e-3 <= value <= 1e3 for value in values):
        return None
    return values[0], values[1]


def _positive(value: float | None) -> float | None:
    return value if value is not None and 0 < value <= 1e4 else None


def _bounded(value: float | None, limit: float) -> float | None:
    return value if value is not None and abs(value) <= limit else None


def _rescale(group: DataSet, layout: PixelLayout, options: ImportOptions) -> tuple[float, float, bool]:
    """Slope, intercept, and whether they were assumed."""
    if not group.text(tags.RESCALE_SLOPE) and not group.text(tags.RESCALE_INTERCEPT):
        if options.assume_rescale is None:
            raise MissingRescale(
                "RescaleSlope and RescaleIntercept are missing, so Hounsfield units are unknown; "
                "if you know them, send assume_rescale=slope,intercept",
                tag=tags.label(tags.RESCALE_SLOPE),
            )
        return *options.assume_rescale, True
    slope, intercept = group.number(tags.RESCALE_SLOPE), group.number(tags.RESCALE_INTERCEPT)
    if slope is None or intercept is None or slope == 0 or max(abs(slope), abs(intercept)) > MAX_RESCALE:
        bad = tags.RESCALE_INTERCEPT if slope and abs(slope) <= MAX_RESCALE else tags.RESCALE_SLOPE
        raise BadHeader("RescaleSlope and RescaleIntercept are not usable numbers", tag=tags.label(bad))
    kind = group.text(tags.RESCALE_TYPE).upper()
    if not options.force_not_hu:
        if kind not in HOUNSFIELD_TYPES:
            raise NotHounsfield(
                f"RescaleType is {quoted(kind, RESCALE_TYPES)}, not HU; send force=not_hu to take the values as they are",
                tag=tags.label(tags.RESCALE_TYPE),
            )
        if layout.bits_stored <= 8 and (slope, intercept) == (1.0, 0.0):
            raise NotHounsfield(
                "8-bit values without rescale are grey levels, not Hounsfield units; "
                "send the original, or force=not_hu to take the values as they are",
                tag=tags.label(tags.BITS_STORED),
            )
    return slope, intercept, False


def _pixels_look_like_ct(
    dicom: DicomFile, pixels: PixelMap, layout: PixelLayout, source: FrameSource, options: ImportOptions
) -> bool:
    """Whether uncompressed values of the first frame reach down to air in Hounsfield units."""
    if supported_syntax(dicom.syntax).encapsulated or layout.bits_allocated != 16:
        return False
    slope, intercept, _ = _rescale(source.group(tags.PIXEL_VALUE_TRANSFORMATION_SEQUENCE), layout, options)
    order = ">" if dicom.data.big_endian else "<"
    kind = "i" if layout.signed else "u"
    stored = np.frombuffer(read_frame(dicom, pixels.frames[0]), dtype=np.dtype(f"{order}{kind}2"))
    values = (float(stored.min()) * slope + intercept, float(stored.max()) * slope + intercept)
    return min(values) <= AIR_HU and max(values) <= 2**15
