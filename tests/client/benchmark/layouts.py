"""Small phantoms laid out as three data sets are published: folders, names of files and columns are theirs, values are made up."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slicebank_imaging.phantom import Lesion, PhantomHeader, PhantomSpec, make_phantom, random_lesion, write_dicom

SIZE, SLICES = 48, 6
DL_COLUMNS = [
    "File_name",
    "Patient_index",
    "Study_index",
    "Series_ID",
    "Key_slice_index",
    "Measurement_coordinates",
    "Bounding_boxes",
    "Lesion_diameters_Pixel_",
    "Normalized_lesion_location",
    "Coarse_lesion_type",
    "Possibly_noisy",
    "Slice_range",
    "Spacing_mm_px_",
    "Image_size",
    "DICOM_windows",
    "Patient_gender",
    "Patient_age",
    "Train_Val_Test",
]
RAD_LOCATIONS = ("left_lung", "right_lung", "lung", "mediastinum")
RAD_FINDINGS = [
    "emphysema",
    "bronchiectasis",
    "pleural_effusion",
    "atelectasis",
    "fibrosis",
    "opacity",
    "calcification",
    "nodule",
    "nodulegr1cm",
]
RAD_METADATA = ("VolumeAcc_DEID", "NoteAcc_DEID", "MRN_DEID", "Set_Assigned", "orig_orientation", "final_spacing")
CLINICAL_COLUMNS = [
    "PatientID",
    "age",
    "clinical.T.Stage",
    "Clinical.N.Stage",
    "Clinical.M.Stage",
    "Overall.Stage",
    "Histology",
    "gender",
    "Survival.time",
    "deadstatus.event",
]
STAGES = ("I", "IIIa", "II", "IIIb")


def phantom_hu(seed: int, *, lesion: bool = False) -> NDArray[np.int16]:
    """HU (slices, rows, columns), from inferior to superior."""
    return make_phantom(_spec(seed), _lesions(seed, lesion)).hu


def write_deeplesion(folder: Path, types: Sequence[Sequence[int]]) -> Path:
    """A series a patient; `types` are the coarse types of its lesions, -1 for one that nobody told."""
    rows = []
    for number, own in enumerate(types, start=1):
        series = f"{number:06d}_01_01"
        images = folder / "Images_png" / series
        images.mkdir(parents=True)
        # Numbered from superior to inferior, as the data set does; the first one is 20.
        for index, hu in enumerate(phantom_hu(number, lesion=5 in own)[::-1], start=20):
            Image.fromarray((hu.astype(np.int32) + 32768).astype(np.uint16)).save(images / f"{index:03d}.png")
        for coarse in own:
            told = {
                "File_name": f"{series}_022.png",
                "Patient_index": number,
                "Key_slice_index": 22,
                "Coarse_lesion_type": coarse,
                "Possibly_noisy": 0,
                "Slice_range": "20, 25",
                "Spacing_mm_px_": "7.9, 7.9, 5",
                "Train_Val_Test": 2,
            }
            rows.append([told.get(column, "") for column in DL_COLUMNS])
    _write(folder / "DL_info.csv", DL_COLUMNS, rows)
    return folder


def write_radchest(folder: Path, findings: Sequence[Sequence[str]], *, metadata: bool = True) -> Path:
    """A volume a patient; `findings` are those that it has, in the left lung. Every other volume lies in the validation part."""
    folder.mkdir(parents=True)
    header = ["NoteAcc_DEID", *(f"{finding}*{place}" for finding in RAD_FINDINGS for place in RAD_LOCATIONS)]
    parts: dict[str, list[list[object]]] = {"train": [], "valid": []}
    about = []
    for number, own in enumerate(findings, start=1):
        part, stem = ("train", "trn") if number % 2 else ("valid", "val")
        name = f"{stem}{number:05d}"
        np.savez_compressed(folder / f"{name}.npz", ct=phantom_hu(100 + number, lesion="nodule" in own)[::-1])
        parts[part].append([name, *(int(f in own and at == "left_lung") for f in RAD_FINDINGS for at in RAD_LOCATIONS)])
        about.append([f"{name}.npz", name, f"mrn{number:05d}", part, "1, 0, 0, 0, 1, 0", "[0.8, 0.8, 0.8]"])
    for part, rows in parts.items():
        _write(folder / f"img{part}_Abnormality_and_Location_Labels.csv", header, rows)
    if metadata:
        _write(folder / "CT_Scan_Metadata_Complete_35747.csv", RAD_METADATA, about)
    return folder


def write_nsclc(folder: Path, stages: Sequence[str]) -> Path:
    """A patient a stage, with its CT series and an RTSTRUCT that is no CT."""
    rows = []
    for number, stage in enumerate(stages, start=1):
        patient = f"LUNG1-{number:03d}"
        study = folder / "NSCLC-Radiomics" / patient / "09-18-2008-StudyID-NA-69331"
        phantom = make_phantom(_spec(200 + number), _lesions(200 + number, stage.startswith("III")))
        write_dicom(phantom, study / "0.000000-NA-82046", header=PhantomHeader(patient_id=patient))
        told = {
            "PatientID": patient,
            "age": 70.5,
            "Overall.Stage": stage,
            "Survival.time": 100 * number,
            "deadstatus.event": 1,
        }
        rows.append([told.get(column, "NA") for column in CLINICAL_COLUMNS])
    _write(folder / "NSCLC Radiomics Lung1.clinical-version3-Oct-2019.csv", CLINICAL_COLUMNS, rows)
    return folder


def _spec(seed: int) -> PhantomSpec:
    return PhantomSpec(seed=seed, n_slices=SLICES, size=SIZE, slice_spacing_mm=10.0)


def _lesions(seed: int, wanted: bool) -> list[Lesion]:
    return [random_lesion(_spec(seed), seed)] if wanted else []


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
