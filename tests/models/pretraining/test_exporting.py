"""Runs as encoders: what is exported is what was trained, and registers under its card."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from slicebank_models.builtin import BUILTIN_CARDS
from slicebank_models.cards import EncoderCard, WeightsState
from slicebank_models.digest import weights_digest
from slicebank_models.encoders.slice_encoder import SliceEncoder
from slicebank_models.errors import BadCard, BadPretrainingCheckpoint, BadPretrainingSetting, WeightsDigestMismatch
from slicebank_models.exported_folder import exported_encoder
from slicebank_models.loading import install_encoder, load_encoder
from slicebank_models.pretraining.contrastive import ContrastiveModel
from slicebank_models.pretraining.exporting import CardText, export_encoder
from slicebank_models.registry import EncoderRegistry
from slicebank_models.stored_weights import stored_digest
from tests.models.pretraining.trained_run import spec_of, trained_model, write_run

# Without norms over the batch, and one with.
SPEC = spec_of("mambaout_femto", loss={"lesion_weight": 3.0}, views={"windows": ["lung", "abdomen"]}, run={"seed": 7})


@dataclass(frozen=True)
class Run:
    folder: Path
    model: ContrastiveModel


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    model = trained_model(SPEC)
    return Run(write_run(tmp_path_factory.mktemp("runs") / "first", SPEC, model), model)


def rows() -> Tensor:
    return torch.randint(0, 256, (3, 32, 32), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


def registered(folder: Path, encoders: Path) -> tuple[EncoderCard, Tensor]:
    """An exported folder as `slicebank encoders add` takes it, and the features of the encoder that comes of it."""
    found = exported_encoder(folder)
    assert found is not None
    card, weights = found
    registry = EncoderRegistry(encoders)
    added, _ = install_encoder(registry, card, weights, digest=card.weights_digest)
    with torch.inference_mode():
        return added, load_encoder(registry.get(added.id), registry.folder)(rows())


def features(encoder: SliceEncoder) -> Tensor:
    with torch.inference_mode():
        return encoder(rows())


@pytest.mark.parametrize("branch", ["base_encoder", "momentum_encoder"])
def test_an_exported_encoder_is_the_one_that_was_trained(run: Run, branch: str, tmp_path: Path) -> None:
    card = export_encoder(run.folder, tmp_path / "out", encoder_id="femto.mine", branch=branch)
    added, found = registered(tmp_path / "out", tmp_path / "encoders")
    trained = run.model.encoder if branch == "base_encoder" else run.model.momentum_encoder
    assert torch.equal(found, features(trained))
    assert not torch.equal(features(run.model.encoder), features(run.model.momentum_encoder))
    assert added == card
    assert added.weights_digest == weights_digest(trained.weights())
    sums = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / "out", capture_output=True, check=False)
    assert sums.returncode == 0
    assert len({path.stat().st_mode for path in (tmp_path / "out").iterdir()}) == 1  # readable by whom the card is


@pytest.mark.parametrize("architecture", ["vit_conv_small", "timm:test_convnext"])
def test_running_statistics_and_timms_models_come_along(architecture: str, tmp_path: Path) -> None:
    spec = spec_of(architecture)
    model = trained_model(spec)
    export_encoder(write_run(tmp_path / "run", spec, model), tmp_path / "out", encoder_id="mine")
    added, found = registered(tmp_path / "out", tmp_path / "encoders")
    assert torch.equal(found, features(model.encoder))
    assert added.architecture == architecture


def test_the_card_says_what_was_done(run: Run, tmp_path: Path) -> None:
    text = CardText(licence="CC BY 4.0", description="Ours.", paper="A paper")
    card = export_encoder(run.folder, tmp_path, encoder_id="mine", text=text)
    assert (card.licence, card.description, card.paper) == ("CC BY 4.0", "Ours.", "A paper")
    assert (card.weights, card.trained, card.seed, card.source) == (WeightsState.PRESENT, True, None, None)
    assert (card.dim, card.input_size, card.windows) == (288, 32, ("lung", "abdomen"))
    for word in ("lambda 3 (as printed)", "12 steps of 1,024 slices", "seed 7", "2,500 slices of 40 patients", "700 "):
        assert word in card.notes
    like = next(known for known in BUILTIN_CARDS if known.id == "mambaout_femto.untrained")
    assert (card.code, card.parameters) == (like.code, like.parameters)
    assert card.row_bytes == round(like.row_bytes * (32 / 224) ** 2)
    assert EncoderCard.from_dict(json.loads((tmp_path / "card.json").read_text())) == card
    card = export_encoder(run.folder, tmp_path, encoder_id="mine")
    assert "2,000 CT slices of 35 patients by LECL" in card.description
    assert "LECL" in card.paper


def test_a_run_without_a_record_is_exported_too(run: Run, tmp_path: Path) -> None:
    write_run(tmp_path, SPEC, run.model)
    (tmp_path / "record.json").unlink()
    assert "on CT slices by LECL" in export_encoder(tmp_path, tmp_path / "out", encoder_id="mine").description


def test_half_precision_on_the_disk(run: Run, tmp_path: Path) -> None:
    full = export_encoder(run.folder, tmp_path / "full", encoder_id="mine")
    half = export_encoder(run.folder, tmp_path / "half", encoder_id="mine", half=True)
    sizes = [(tmp_path / name / "weights.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.52 * sizes[0]
    assert half.weights_digest != full.weights_digest  # rounded for good
    assert stored_digest(tmp_path / "half" / "weights.safetensors") == half.weights_digest
    stored = load_file(tmp_path / "half" / "weights.safetensors")
    assert {tensor.ndim > 1 for tensor in stored.values() if tensor.dtype == torch.float16} == {True}
    assert {tensor.ndim for tensor in stored.values() if tensor.dtype == torch.float32} == {1}
    added, found = registered(tmp_path / "half", tmp_path / "encoders")
    assert added.weights_digest == half.weights_digest
    exact = features(run.model.encoder)
    assert (found - exact).abs().max() < 0.02 * exact.std()


def test_numbers_beyond_half_precision_stay_whole(run: Run, tmp_path: Path) -> None:
    write_run(tmp_path / "run", SPEC, run.model)
    document = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    document["model"]["encoder.trunk.stem.conv1.weight"][0, 0, 0, 0] = 1e6
    torch.save(document, tmp_path / "run" / "checkpoint.pt")
    export_encoder(tmp_path / "run", tmp_path / "out", encoder_id="mine", half=True)
    assert load_file(tmp_path / "out" / "weights.safetensors")["stem.conv1.weight"][0, 0, 0, 0] == 1e6


def test_an_encoder_may_read_larger_slices_than_its_views(run: Run, tmp_path: Path) -> None:
    card = export_encoder(run.folder, tmp_path / "out", encoder_id="femto.large", input_size=64)
    as_trained = export_encoder(run.folder, tmp_path / "small", encoder_id="femto.large")
    assert (card.input_size, as_trained.input_size) == (64, 32)
    assert card.weights_digest == as_trained.weights_digest
    assert f"views of {as_trained.input_size} pixels" in card.notes
    assert card.row_bytes == pytest.approx(4 * as_trained.row_bytes, rel=0.01)
    with pytest.raises(BadPretrainingSetting, match="multiple of 32"):
        export_encoder(run.folder, tmp_path / "odd", encoder_id="femto.odd", input_size=50)


def test_positions_of_one_input_size_are_of_no_other(tmp_path: Path) -> None:
    spec = spec_of("vit_small")
    folder = write_run(tmp_path / "run", spec, trained_model(spec))
    with pytest.raises(BadPretrainingCheckpoint, match="this input size"):
        export_encoder(folder, tmp_path / "out", encoder_id="vit.large", input_size=spec.model.input_size + 32)


def test_a_later_export_replaces_an_earlier_one(run: Run, tmp_path: Path) -> None:
    export_encoder(run.folder, tmp_path, encoder_id="one")
    export_encoder(run.folder, tmp_path, encoder_id="two", branch="momentum_encoder")
    found = exported_encoder(tmp_path)
    assert found is not None
    assert found[0].id == "two"
    assert stored_digest(found[1]) == found[0].weights_digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["SHA256SUMS", "card.json", "weights.safetensors"]


def test_folders_without_a_run_and_bad_names(run: Run, tmp_path: Path) -> None:
    with pytest.raises(BadPretrainingCheckpoint, match="holds no checkpoint"):
        export_encoder(tmp_path, tmp_path / "out", encoder_id="mine")
    with pytest.raises(BadCard):
        export_encoder(run.folder, tmp_path / "out", encoder_id="../mine")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [("encoder.trunk.stem.conv1.bias", float("nan"), "not finite"), ("encoder.trunk.more", 0.0, "other tensors")],
)
def test_weights_that_are_none(run: Run, tmp_path: Path, name: str, value: float, match: str) -> None:
    write_run(tmp_path / "run", SPEC, run.model)
    document = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    document["model"][name] = torch.full_like(document["model"].get(name, torch.zeros(2)), value)
    torch.save(document, tmp_path / "run" / "checkpoint.pt")
    with pytest.raises(BadPretrainingCheckpoint, match=match):
        export_encoder(tmp_path / "run", tmp_path / "out", encoder_id="mine")


def test_a_changed_file_is_refused(run: Run, tmp_path: Path) -> None:
    export_encoder(run.folder, tmp_path / "out", encoder_id="mine")
    path = tmp_path / "out" / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsDigestMismatch):
        registered(tmp_path / "out", tmp_path / "encoders")
    assert EncoderRegistry(tmp_path / "encoders").registered_ids() == []


@pytest.mark.parametrize("fault", ["no weights", "weights elsewhere", "card elsewhere", "no JSON"])
def test_folders_that_are_not_what_was_exported(run: Run, fault: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export_encoder(run.folder, folder, encoder_id="mine")
    for name in ("weights.safetensors", "card.json"):
        if fault == f"{name.partition('.')[0]} elsewhere":
            (folder / name).rename(tmp_path / name)
            (folder / name).symlink_to(tmp_path / name)
    if fault == "no weights":
        (folder / "weights.safetensors").unlink()
    if fault == "no JSON":
        (folder / "card.json").write_text("[" * 100_000)
    if fault == "card elsewhere":
        assert exported_encoder(folder) is None
    else:
        with pytest.raises(BadCard):
            exported_encoder(folder)


def test_other_folders_have_no_card(tmp_path: Path) -> None:
    assert exported_encoder(tmp_path) is None
