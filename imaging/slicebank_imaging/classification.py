"""Is this object a CT slice? Verdicts from the header alone (PS3.4 table B.5-1; PS3.3 C.7.3.1)."""

from collections.abc import Mapping
from types import MappingProxyType

from slicebank_imaging import tags
from slicebank_imaging.errors import BurnedInAnnotation, Localizer, NotAnImage, NotCT
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.terms import MODALITIES, quoted
from slicebank_imaging.uids import uid_name
from slicebank_imaging.values import DataSet

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
LEGACY_CONVERTED_ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.2"
CT_CLASSES = frozenset({CT_IMAGE, ENHANCED_CT, LEGACY_CONVERTED_ENHANCED_CT})
ENHANCED_CLASSES = frozenset({ENHANCED_CT, LEGACY_CONVERTED_ENHANCED_CT})
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"

_STORAGE = "1.2.840.10008.5.1.4.1.1."
# The longest matching prefix names the kind; order matters.
_KINDS: tuple[tuple[str, str], ...] = (
    (_STORAGE + "88.67", "a radiation dose report (SR)"),
    (_STORAGE + "88.59", "a key object selection (KO)"),
    (_STORAGE + "88", "a structured report (SR)"),
    (_STORAGE + "66.4", "a segmentation (SEG)"),
    (_STORAGE + "66.5", "a surface segmentation (SEG)"),
    (_STORAGE + "66", "raw data, a registration or a segmentation"),
    (_STORAGE + "67", "a real world value mapping"),
    (_STORAGE + "11", "a presentation state (PR)"),
    (_STORAGE + "481.3", "a structure set (RTSTRUCT)"),
    (_STORAGE + "481.2", "a radiotherapy dose (RTDOSE)"),
    (_STORAGE + "481.5", "a radiotherapy plan (RTPLAN)"),
    (_STORAGE + "481", "a radiotherapy object"),
    (_STORAGE + "104", "an encapsulated document (PDF or similar)"),
    (_STORAGE + "9", "a waveform"),
    (MEDIA_DIRECTORY, "a directory of a disc (DICOMDIR)"),
)
_MODALITIES: Mapping[str, str] = MappingProxyType(
    {
        "SR": "a structured report (SR)",
        "KO": "a key object selection (KO)",
        "SEG": "a segmentation (SEG)",
        "PR": "a presentation state (PR)",
        "RTSTRUCT": "a structure set (RTSTRUCT)",
        "RTDOSE": "a radiotherapy dose (RTDOSE)",
        "RTPLAN": "a radiotherapy plan (RTPLAN)",
        "REG": "a registration (REG)",
        "DOC": "an encapsulated document (DOC)",
        "FID": "a set of fiducials (FID)",
    }
)
_LOCALIZER_TYPES = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW"})
# Image types that GE, Siemens and Philips give to dose pages, protocols and pictures of the screen.
_CAPTURE_TYPES = frozenset({"SCREEN SAVE", "SCREEN_SAVE", "SCREENSAVE", "SCREEN_CAPTURE", "DOSE", "DOSE_INFO", "PROT"})
# Conversion Type (PS3.3 C.8.6.1) of film, video, paper and drawings: no scanner's values.
_CAPTURE_CONVERSIONS = frozenset({"DV", "DF", "SD", "SI", "DRW"})


def sop_class(data: DataSet, meta: DataSet) -> str:
    """SOP class UID of the data set, or of the file meta information where the data set has none."""
    return data.text(tags.SOP_CLASS_UID) or meta.text(tags.MEDIA_STORAGE_SOP_CLASS_UID)


def is_localizer(image_type: tuple[str, ...]) -> bool:
    """Whether an image type is that of a scout, topogram or surview (PS3.3 C.8.2.1.1.1)."""
    return not _LOCALIZER_TYPES.isdisjoint(value.upper() for value in image_type)


def classify(data: DataSet, meta: DataSet, options: ImportOptions) -> bool:
    """Judge what an object is by its SOP class, modality and image type.

    Returns:
        True where the header says CT; False where it says nothing, so that the pixels must.

    Raises:
        NotAnImage: an object without slices; the message names it.
        NotCT: an image of another modality.
        Localizer: a scout.
        BurnedInAnnotation: the header says that the pixels hold writing.
    """
    uid = sop_class(data, meta)
    modality = data.text(tags.MODALITY).upper()
    kind = next((name for prefix, name in _KINDS if uid == prefix or uid.startswith(prefix + ".")), None)
    if kind is None and tags.DIRECTORY_RECORD_SEQUENCE in data:
        kind = "a directory of a disc (DICOMDIR)"
    fault = tags.DIRECTORY_RECORD_SEQUENCE if tags.DIRECTORY_RECORD_SEQUENCE in data else tags.SOP_CLASS_UID
    if kind is None and uid not in CT_CLASSES:
        kind, fault = _MODALITIES.get(modality), tags.MODALITY
    if kind is not None:
        raise NotAnImage(f"this is {kind}, not a CT slice; it was left out", tag=tags.label(fault))
    if modality and modality != "CT":
        raise NotCT(
            f"the modality is {quoted(modality, MODALITIES)}; slicebank takes CT", tag=tags.label(tags.MODALITY)
        )
    secondary = uid == SECONDARY_CAPTURE or uid.startswith(SECONDARY_CAPTURE + ".")
    if uid.startswith(_STORAGE) and uid not in CT_CLASSES and not secondary:
        raise NotCT(f"the object is {uid_name(uid)}; slicebank takes CT", tag=tags.label(tags.SOP_CLASS_UID))
    if data.text(tags.BURNED_IN_ANNOTATION).upper() == "YES":
        raise BurnedInAnnotation(
            "the pixels hold burned-in writing, which can name the patient; send the original slices",
            tag=tags.label(tags.BURNED_IN_ANNOTATION),
        )
    image_type = data.texts(tags.IMAGE_TYPE)
    if is_localizer(image_type):
        raise Localizer(
            "this is a localizer (scout), not an axial slice; it was left out", tag=tags.label(tags.IMAGE_TYPE)
        )
    capture = not _CAPTURE_TYPES.isdisjoint(value.upper() for value in image_type)
    converted = secondary and data.text(tags.CONVERSION_TYPE).upper() in _CAPTURE_CONVERSIONS
    if capture or converted or (secondary and not _has_rescale(data) and options.assume_rescale is None):
        raise NotAnImage(
            "this is a secondary capture (a screen picture or dose page), not a CT slice; it was left out",
            tag=tags.label(tags.IMAGE_TYPE if capture else tags.CONVERSION_TYPE if converted else tags.SOP_CLASS_UID),
        )
    return modality == "CT" or uid in CT_CLASSES or _looks_like_ct(data)


def _has_rescale(data: DataSet) -> bool:
    return tags.RESCALE_SLOPE in data and tags.RESCALE_INTERCEPT in data


def _looks_like_ct(data: DataSet) -> bool:
    """Whether a header without modality and SOP class carries what only CT scanners write."""
    if data.text(tags.RESCALE_TYPE).upper() == "HU" or tags.GANTRY_DETECTOR_TILT in data:
        return True
    intercept = data.number(tags.RESCALE_INTERCEPT)
    return intercept is not None and -1100 <= intercept <= -900  # -1000 or -1024 on nearly every scanner
