"""Does a head trained through the service find plain lesions in phantoms it never saw, and look at the right slices?

Half of the phantoms hold one lesion of 20 to 40 mm, 60 to 120 HU brighter or darker than its surroundings, in liver or spleen.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sklearn.metrics import roc_auc_score

from benchmarks.form import Form, form_from_arguments
from slicebank import Client
from slicebank_imaging.phantom import PhantomSpec, make_phantom, random_lesion, write_dicom

SLICES = 28
SIZE = 256
SPACING_MM = 5.0
# The published rate and batch take one step an epoch on a cohort of this size; small batches and a higher rate suit it.
UNTRAINED = "mambaout_femto.untrained"
TRAINING: dict[str, Any] = {
    "lr": 1e-3,
    "batch_size": 8,
    "max_epochs": 60,
    "patience": 20,
    "folds": 5,
    "test_fraction": 0.0,
    "seed": 0,
}


@dataclass(frozen=True)
class Case:
    """One phantom on disk; `lesion_slices` are 0-based from inferior, empty without a lesion."""

    folder: Path
    series_uid: str
    lesion_slices: range


@dataclass(frozen=True)
class Figures:
    """What came out.

    cross_validated: AUROC over the folds, mean and sd.
    unseen: AUROC on the unseen phantoms.
    top_slice_in_lesion: of the unseen phantoms with a lesion, how many have their most-attended slice inside it.
    """

    encoder: str
    train: int
    test: int
    cross_validated_mean: float | None
    cross_validated_sd: float | None
    unseen: float
    top_slice_in_lesion: int
    positives: int


def write_cases(root: Path, seeds: Iterable[int]) -> list[Case]:
    """Phantoms as DICOM; those of even seed hold a lesion."""
    cases = []
    for seed in seeds:
        spec = PhantomSpec(seed=seed, n_slices=SLICES, size=SIZE, slice_spacing_mm=SPACING_MM)
        phantom = make_phantom(spec, [random_lesion(spec, seed)] if seed % 2 == 0 else [])
        folder = root / f"{seed:05d}"
        written = write_dicom(phantom, folder)
        cases.append(Case(folder, written.series_uid, phantom.lesions[0].slices if phantom.lesions else range(0)))
    return cases


def measure(client: Client, train: list[Case], test: list[Case], *, encoder: str, name: str) -> Figures:
    """Embeds, trains and predicts through the service."""
    for case in (*train, *test):
        client.series.upload(case.folder, encoder=encoder)
    uids = {case.series_uid for case in (*train, *test)}
    client.jobs.wait_all([job.job_id for job in client.jobs.list(kind="embed") if job.series_uid in uids])
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["series_uid", "lesion"])
    rows.writerows([case.series_uid, int(len(case.lesion_slices) > 0)] for case in train)
    started = client.heads.train(name, encoder, {"kind": "binary", "labels": ["lesion"]}, table.getvalue(), TRAINING)
    client.jobs.wait(started.job_id)
    metrics = client.heads.get(started.head_id).metrics
    answers = [client.heads.predict(started.head_id, case.series_uid) for case in test]
    truth = [len(case.lesion_slices) > 0 for case in test]
    found = [
        answer.attention.top(1)[0].slice_index in case.lesion_slices
        for answer, case in zip(answers, test, strict=True)
        if case.lesion_slices
    ]
    return Figures(
        encoder=encoder,
        train=len(train),
        test=len(test),
        cross_validated_mean=metrics["mean"]["auroc"],
        cross_validated_sd=metrics["sd"]["auroc"],
        unseen=float(roc_auc_score(truth, [answer.outputs[0].probability for answer in answers])),
        top_slice_in_lesion=sum(found),
        positives=len(found),
    )


def run(form: Form) -> None:
    """Measures the baseline, a network that learnt nothing and the default encoder side by side, on a service of its own; the short form, the baseline only."""
    from benchmarks.record import save
    from benchmarks.serving import serving
    from slicebank_models.registry import DEFAULT_ENCODER

    encoders = (
        ("hu_statistics",) if form is Form.SHORT else ("hu_statistics", *dict.fromkeys((UNTRAINED, DEFAULT_ENCODER)))
    )
    with tempfile.TemporaryDirectory() as scratch, serving(Path(scratch) / "data") as client:
        train = write_cases(Path(scratch) / "train", range(1000, 1000 + form.pick(40, 120)))
        test = write_cases(Path(scratch) / "test", range(5000, 5000 + form.pick(20, 60)))
        figures = {}
        for encoder in encoders:
            figures[encoder] = asdict(measure(client, train, test, encoder=encoder, name=f"lesion-{encoder}"))
            print(figures[encoder])
    print(save("phantom_lesions", __doc__ or "", {"training": TRAINING, "encoders": figures}, form))


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
