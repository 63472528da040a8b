"""The model card says what the shipped encoder, its settings and the committed results are."""

from __future__ import annotations

import csv
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from benchmarks.encoder_quality import BASELINES
from benchmarks.encoder_quality.report import markdown
from benchmarks.encoder_quality.series import ABDOMEN, CHEST, ORGANS, TUMOUR
from benchmarks.record import RESULTS
from slicebank_models.registry import DEFAULT_ENCODER, EncoderRegistry

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "model_card.md"
SHIPPED = "mambaout_femto.lecl"
RESULT = RESULTS / "amd-epyc-avx512-bf16-2-cores" / "encoder_quality.json"
TRAINING = ROOT / "benchmarks" / "shipped_encoder"
LARGEST_BYTES = 25_000_000


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_default_encoder_is_the_one_of_the_card_and_small() -> None:
    card = EncoderRegistry().get(DEFAULT_ENCODER)
    weights = ROOT / "models" / "slicebank_models" / "shipped" / SHIPPED / "weights.safetensors"
    assert card.id == SHIPPED
    assert card.weights_digest in page()
    assert f"{card.parameters:,} parameters, {weights.stat().st_size / 1e6:.1f} MB" in page()
    assert f"{card.input_size} x {card.input_size} pixels" in page()
    assert weights.stat().st_size <= LARGEST_BYTES


def test_the_evaluation_is_the_committed_result() -> None:
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    assert result["form"] == "full"
    assert list(result["figures"]["tasks"][0]["encoders"]) == [SHIPPED, *BASELINES]
    assert markdown(result["figures"]).strip() in page()


def test_tasks_on_which_it_is_not_ahead_are_named() -> None:
    tasks = json.loads(RESULT.read_text(encoding="utf-8"))["figures"]["tasks"]
    said = page().partition("Not above all:")[2].partition("\n\n")[0]
    for task in tasks:
        sign = 1 if task["higher_is_better"] else -1
        own, *others = (sign * found["value"] for found in task["encoders"].values())
        assert (task["task"] in said) == (own <= max(others)), task["task"]


def test_settings_and_curve_are_those_of_the_run() -> None:
    settings = tomllib.loads((TRAINING / "settings.toml").read_text(encoding="utf-8"))
    notes = EncoderRegistry().get(SHIPPED).notes
    assert settings["loss"] == {"method": "lecl", "lesion_weight": 0.0, "temperature": 0.2}
    assert f"of {settings['optimiser']['batch_size']} slices" in notes
    assert f"views of {settings['model']['input_size']} pixels" in notes
    with (TRAINING / "metrics.csv").open(encoding="utf-8", newline="") as lines:
        steps = [int(row["step"]) for row in csv.DictReader(lines)]
    assert f"{steps[-1]:,} steps" in notes
    assert (
        f"| {steps[-1]:,} of {settings['optimiser']['batch_size']} slices, {settings['optimiser']['epochs']} epochs"
        in page()
    )


def sources() -> dict[str, Any]:
    return tomllib.loads((TRAINING / "sources.toml").read_text(encoding="utf-8"))


def test_nothing_that_the_evaluation_reads_was_trained_on() -> None:
    shelf = {part for series in sources()["shelf"] for part in Path(series["folder"]).parts}
    assert shelf.isdisjoint({ABDOMEN, CHEST, ORGANS, TUMOUR})
    titles = {collection["title"] for collection in sources()["collections"].values()}
    assert titles.isdisjoint({"NSCLC-Radiomics", "3D-IRCADb", "3D-IRCADb-01"})
    shared = {series["repository"] for series in sources()["shelf"]} & {"wasserth/TotalSegmentator"}
    assert all(f"{name.partition('/')[2]}'s tests" in page() for name in shared), "a source of both is named"


def test_the_table_of_data_adds_up() -> None:
    """Patients, stacks, slices and slices with boxes of every row, as in the totals, the card's notes and the sources."""
    lines = [line for line in page().splitlines() if line.startswith("| ") and line.count("|") == 7]
    counts = [
        [0 if cell.strip(" *") == "-" else int(cell.strip(" *").replace(",", "")) for cell in line.split("|")[3:7]]
        for line in lines
        if line.split("|")[3].strip(" *").isdigit()
    ]
    *rows, together = counts
    assert len(rows) == len(sources()["collections"]) + 1
    assert [sum(column) for column in zip(*rows, strict=True)] == together
    patients, _, n_slices, annotated = together
    notes = EncoderRegistry().get(SHIPPED).notes
    assert f"{n_slices:,} slices of {patients} patients, {annotated} slices with lesion boxes" in notes
    gathered = sum(part["slices"] for part in (*sources()["slices"], *sources()["shelf"]))
    assert gathered == n_slices + 1
    assert f"the same slices again, {gathered:,} of them: one of COVID-19-NY-SBU" in page()


def test_patients_hours_and_cache_are_those_of_the_run() -> None:
    card = EncoderRegistry().get(SHIPPED)
    trained = re.search(r"([\d,]+) public CT slices of (\d+) patients", card.description)
    digest = re.search(r"slices ([0-9a-f]{16})\.", card.notes)
    assert trained is not None
    assert digest is not None
    assert f"It saw {trained[2]} patients" in page()
    assert f"epochs of {trained[1]} slices" in page()
    assert f"digest `{digest[1]}`" in page()
    with (TRAINING / "metrics.csv").open(encoding="utf-8", newline="") as lines:
        seconds = [float(row["seconds"]) for row in csv.DictReader(lines)]
    assert f"; {seconds[-1] / 3600:.1f} hours |" in page()


def test_how_often_it_is_ahead_is_counted_right() -> None:
    tasks = json.loads(RESULT.read_text(encoding="utf-8"))["figures"]["tasks"]
    ahead, surely = 0, []
    for task in tasks:
        sign = 1 if task["higher_is_better"] else -1
        own, *others = (sign * found["value"] for found in task["encoders"].values())
        ahead += own > max(others)
        if all(difference["verdict"] == "better" for difference in task["differences"].values()):
            surely.append(task["task"])
    said = f"above all others on {ahead} of {len(tasks)} lines, and with intervals that leave out 0 on {len(surely)}: {'; '.join(surely)}."
    assert said in page()


def test_every_collection_is_cited_with_its_terms() -> None:
    for collection in sources()["collections"].values():
        assert f"| {collection['title']} | {collection['terms']} |" in page()
        assert collection["citation"] in page()
