import json
from dataclasses import replace
from pathlib import Path

import pytest

from slicebank_models.cards import EncoderCard, WeightsState
from slicebank_models.errors import BadCard, EncoderExists, UnknownEncoder, WeightsMissing
from slicebank_models.registry import DEFAULT_ENCODER, EncoderRegistry


@pytest.fixture
def stored() -> EncoderCard:
    seeded = EncoderRegistry().get(DEFAULT_ENCODER)
    return replace(
        seeded, id="lecl_femto", weights=WeightsState.PRESENT, weights_file="w.safetensors", seed=None, trained=True
    )


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "some.safetensors"
    path.write_bytes(b"tensors")
    return path


def test_the_default_comes_first_and_can_be_got() -> None:
    registry = EncoderRegistry(None)
    assert registry.cards()[0].id == DEFAULT_ENCODER
    assert registry.get("hu_statistics").weights is WeightsState.NONE


@pytest.mark.parametrize("name", ["nothing", "../mambaout", "", "a" * 300])
def test_unknown_ids_are_refused_with_the_way_to_the_known_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownEncoder, match="encoders list") as refused:
        EncoderRegistry(tmp_path).get(name)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    ("asked", "meant"), [("biomed_clip", "biomedclip"), ("hu_statistic", "hu_statistics"), ("Merlin", "merlin")]
)
def test_a_slip_is_told_what_was_meant(asked: str, meant: str) -> None:
    with pytest.raises(UnknownEncoder, match=rf"Did you mean {meant}[,?]"):
        EncoderRegistry().get(asked)


def test_an_added_encoder_is_listed_by_every_registry_of_the_folder(
    stored: EncoderCard, weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "encoders"
    added = EncoderRegistry(folder).add(stored, weights)
    other = EncoderRegistry(folder)
    assert other.get("lecl_femto") == added
    assert added in other.cards()
    assert (folder / "lecl_femto" / "weights.safetensors").read_bytes() == b"tensors"
    assert [path.name for path in folder.iterdir()] == ["lecl_femto"]


def test_names_are_taken_once(stored: EncoderCard, weights: Path, tmp_path: Path) -> None:
    registry = EncoderRegistry(tmp_path / "encoders")
    registry.add(stored, weights)
    with pytest.raises(EncoderExists):
        registry.add(stored, weights)
    with pytest.raises(EncoderExists):
        registry.add(replace(stored, id="dummy"), weights)


def test_adding_needs_a_folder_and_a_file(stored: EncoderCard, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(BadCard):
        EncoderRegistry(None).add(stored, weights)
    with pytest.raises(WeightsMissing):
        EncoderRegistry(tmp_path).add(stored, tmp_path / "absent")


def test_lost_weights_show_as_missing(stored: EncoderCard, weights: Path, tmp_path: Path) -> None:
    registry = EncoderRegistry(tmp_path / "encoders")
    registry.add(stored, weights)
    (tmp_path / "encoders" / "lecl_femto" / "weights.safetensors").unlink()
    assert registry.get("lecl_femto").weights is WeightsState.MISSING


@pytest.mark.parametrize("text", ["{", "[]", '{"id": "other"}'])
def test_broken_cards_are_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "card.json").write_text(text)
    with pytest.raises(BadCard):
        EncoderRegistry(tmp_path).get("broken")


def test_a_card_must_live_in_the_folder_of_its_name(stored: EncoderCard, tmp_path: Path) -> None:
    (tmp_path / "alias").mkdir()
    (tmp_path / "alias" / "card.json").write_text(json.dumps(stored.as_dict()))
    with pytest.raises(BadCard, match="lecl_femto"):
        EncoderRegistry(tmp_path).get("alias")


def test_what_a_crash_left_behind_is_not_listed(stored: EncoderCard, tmp_path: Path) -> None:
    (tmp_path / ".adding-1234").mkdir()
    (tmp_path / ".adding-1234" / "card.json").write_text(json.dumps(stored.as_dict()))
    assert EncoderRegistry(tmp_path).cards() == EncoderRegistry(None).cards()
