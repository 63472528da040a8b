"""CT series that name a patient wherever a file can, and the search for those names afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from tests.imaging.making import ct_dataset

# Each stands in one kind of place, and is found nowhere by chance.
WORDS = {
    "name": "QZNAMEZQ",
    "patient_id": "QZPATIENTZQ",
    "birth": "19470318",
    "accession": "QZACCESSZQ",
    "address": "QZSTREETZQ",
    "physician": "QZDOCTORZQ",
    "institution": "QZCLINICZQ",
    "study": "QZSTUDYZQ",
    "series": "QZSERIESZQ",
    "protocol": "QZPROTOCOLZQ",
    "kernel": "QZKERNELZQ",
    "comment": "QZCOMMENTZQ",
    "private": "QZPRIVATEZQ",
    "sequence": "QZNESTEDZQ",
    "device": "QZSTATIONZQ",
}
FILE_WORDS = {"file": "QZFILEZQ", "folder": "QZFOLDERZQ", "archive": "QZARCHIVEZQ"}
ROOT = "1.2.826.0.1.3680043.9.777"
"""Begins every UID of planted series; where UIDs are hashed it is found nowhere."""

FOLDER = f"{FILE_WORDS['folder']} {WORDS['name']}"


def planted(number: int, series: int, **changes: Any) -> Dataset:
    """One slice of a series that names its patient in standard, nested and private elements."""
    data = ct_dataset(number, **changes)
    data.StudyInstanceUID, data.SeriesInstanceUID = UID(f"{ROOT}.{series}"), UID(f"{ROOT}.{series}.1")
    data.SOPInstanceUID = UID(f"{ROOT}.{series}.1.{number}")
    data.FrameOfReferenceUID = UID(f"{ROOT}.{series}.2")
    data.PatientName, data.PatientID = f"{WORDS['name']}^Jane", WORDS["patient_id"]
    data.PatientBirthDate, data.AccessionNumber = WORDS["birth"], WORDS["accession"]
    data.PatientAddress, data.OtherPatientIDs = WORDS["address"], WORDS["patient_id"]
    data.ReferringPhysicianName, data.OperatorsName = WORDS["physician"], WORDS["physician"]
    data.InstitutionName, data.StationName = WORDS["institution"], WORDS["device"]
    data.StudyDescription, data.SeriesDescription = WORDS["study"], WORDS["series"]
    data.StudyID, data.ProtocolName = WORDS["study"], WORDS["protocol"]
    data.ConvolutionKernel, data.ImageComments = WORDS["kernel"], f"{WORDS['comment']} {WORDS['name']}"
    data.BodyPartExamined = WORDS["comment"]
    item = Dataset()
    item.PatientName, item.TextValue = WORDS["name"], WORDS["sequence"]
    data.RequestAttributesSequence = Sequence([item])
    block = data.private_block(0x0029, "QZPRIVATEZQ CREATOR", create=True)
    block.add_new(0x10, "LO", WORDS["private"])
    block.add_new(0x11, "OB", WORDS["name"].encode())
    return data


def encode(data: Dataset) -> bytes:
    """The data set as a file."""
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.SourceApplicationEntityTitle = WORDS["device"]
    buffer = BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def accepted(series: int, n_slices: int = 3) -> dict[str, bytes]:
    """Files of a series that is taken, by the sender's names for them."""
    return {
        f"{FOLDER}/{FILE_WORDS['file']}-{number}.dcm": encode(planted(number, series)) for number in range(n_slices)
    }


def refused(series: int) -> dict[str, bytes]:
    """Files that are refused, each for another reason."""
    whole = encode(planted(1, series))
    bad_uid = f"{WORDS['name']} x".ljust(len(f"{ROOT}.{series}.1.1")).encode()
    kinds = {
        "modality": encode(planted(1, series, Modality="MR")),
        "words": encode(planted(2, series, Modality=WORDS["series"][:16])),
        "rescale": encode(planted(3, series, RescaleSlope=None, RescaleIntercept=None)),
        "type": encode(planted(4, series, RescaleType=WORDS["kernel"])),
        "scout": encode(planted(5, series, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER", WORDS["comment"]])),
        "colour": encode(planted(6, series, PhotometricInterpretation=WORDS["protocol"][:16])),
        "burned": encode(planted(7, series, BurnedInAnnotation="YES")),
        "bad-uid": whole.replace(f"{ROOT}.{series}.1.1".encode(), bad_uid),
        "position": encode(planted(9, series, ImagePositionPatient=["1e9", "0", "0"])),
        "cut": whole[:-40],
        "cut-header": whole[: len(whole) // 3],
        "text": f"a letter about {WORDS['name']}, born {WORDS['birth']}".encode(),
        "empty": b"",
    }
    return {f"{FOLDER}/{FILE_WORDS['file']}-{name}": content for name, content in kinds.items()}


def nifti() -> bytes:
    """A volume that names its patient in every free field of its header."""
    image = nibabel.Nifti1Image((np.indices((12, 10, 4)).sum(0) * 90 - 1000).astype(np.int16), np.diag([-1, -1, 2, 1]))
    image.header["descrip"] = WORDS["comment"].encode()
    image.header["aux_file"] = WORDS["name"].encode()
    image.header["db_name"] = WORDS["study"].encode()
    image.header["intent_name"] = WORDS["series"].encode()
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", WORDS["private"].encode()))
    buffer = BytesIO()
    image.to_file_map({"header": nibabel.FileHolder(fileobj=buffer), "image": nibabel.FileHolder(fileobj=buffer)})
    return buffer.getvalue()


def found_in(content: bytes, words: Iterable[str]) -> list[str]:
    """Which words some bytes hold, in any of the encodings that text is written in."""
    return [
        word
        for word in words
        if any(word.encode(encoding) in content for encoding in ("utf-8", "utf-16-le", "utf-16-be"))
    ]


def found_below(folder: Path, words: Iterable[str]) -> dict[str, list[str]]:
    """Files below a folder that hold a word in their bytes, their names, or, packed, in the values of an HDF5 file."""
    words = list(words)
    found: dict[str, list[str]] = {}
    for path in folder.rglob("*"):
        hits = found_in(path.relative_to(folder).as_posix().encode(), words)
        if path.is_file():
            content = path.read_bytes()
            hits += found_in(content, words)
            if content.startswith(b"\x89HDF"):
                hits += found_in(b"\0".join(_hdf5(path)), words)
        if hits:
            found[path.relative_to(folder).as_posix()] = sorted(set(hits))
    return found


def _hdf5(path: Path) -> Iterator[bytes]:
    values: list[Any] = []
    with h5py.File(path, "r") as file:
        file.visititems(lambda _, item: values.extend([item[()]] if isinstance(item, h5py.Dataset) else []))
        values.extend(file.attrs.values())
        for item in file.values():
            values.extend(item.attrs.values())
    for value in values:
        array = np.asarray(value)
        yield array.tobytes() if array.dtype.kind in "iufbSV" else str(array.tolist()).encode()


def without_names(answer: Any) -> Any:
    """An answer to an upload without the sender's own names of refused files, which it may repeat."""
    if isinstance(answer, dict):
        return {
            key: [{**item, "name": ""} for item in value] if key == "rejected" else without_names(value)
            for key, value in answer.items()
        }
    return [without_names(item) for item in answer] if isinstance(answer, list) else answer


def said(content: bytes) -> bytes:
    """What an answer says beside those names."""
    try:
        return json.dumps(without_names(json.loads(content)), ensure_ascii=False).encode()
    except ValueError:
        return content
