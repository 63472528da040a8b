"""The model card says what the shipped encoder, its settings and the committed results are."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

from benchmarks.encoder_quality import BASELINES
from benchmarks.encoder_quality.report import markdown
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
    said = page().partition("Not above both:")[2].partition("\n\n")[0]
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


def test_every_collection_is_cited_with_its_terms() -> None:
    sources = tomllib.loads((TRAINING / "sources.toml").read_text(encoding="utf-8"))
    for collection in sources["collections"].values():
        assert f"| {collection['title']} | {collection['terms']} |" in page()
        assert collection["citation"] in page()
