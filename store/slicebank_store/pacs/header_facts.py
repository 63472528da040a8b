"""What the header of a pulled file says of its series, where the PACS itself did not say it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian

from slicebank_imaging.elements import open_dicom
from slicebank_store.pacs.selecting import SeriesFacts

# Texts and numbers of a header are shorter; a longer value is left where it is.
_MAX_VALUE_BYTES = 1 << 16
_MODALITY, _DESCRIPTION, _THICKNESS, _KERNEL = 0x00080060, 0x0008103E, 0x00180050, 0x00181210


def facts_of_file(path: Path, series_uid: str) -> SeriesFacts:
    """Facts from a file; a file that cannot be read says nothing, and is judged with all others later."""
    tags = [_MODALITY, _DESCRIPTION, _THICKNESS, _KERNEL]
    try:
        with open_dicom(path) as dicom:
            if dicom.syntax == DeflatedExplicitVRLittleEndian:
                # The library would inflate all of it at once, and a megabyte may hold a gigabyte.
                return SeriesFacts(
                    series_uid,
                    modality=dicom.data.text(_MODALITY) or None,
                    kernel=dicom.data.text(_KERNEL) or None,
                    thickness_mm=dicom.data.number(_THICKNESS),
                )
        header = pydicom.dcmread(
            path, stop_before_pixels=True, force=True, specific_tags=list(tags), defer_size=_MAX_VALUE_BYTES
        )
        texts = {tag: _text(header, tag) for tag in tags}
        thickness = texts[_THICKNESS]
        return SeriesFacts(
            series_uid,
            modality=texts[_MODALITY],
            description=texts[_DESCRIPTION],
            kernel=texts[_KERNEL],
            thickness_mm=number if math.isfinite(number := float(thickness or "nan")) else None,
        )
    except Exception:  # noqa: BLE001 - the library raises anything for hostile bytes
        return SeriesFacts(series_uid)


def _text(header: pydicom.Dataset, tag: int) -> str | None:
    if tag not in header:
        return None
    # As it lies in the file: the library would warn, with the value, of one that breaks a rule.
    value: Any = header.get_item(tag).value
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
    return text.strip(" \0") or None
