import json
from dataclasses import replace

import pytest

from slicebank_models.builtin import BUILTIN_CARDS, DEFAULT_ENCODER
from slicebank_models.cards import EncoderCard, InputKind, WeightsState
from slicebank_models.errors import BadCard


@pytest.mark.parametrize("card", BUILTIN_CARDS, ids=lambda card: card.id)
def test_a_card_survives_json(card: EncoderCard) -> None:
    assert EncoderCard.from_dict(json.loads(json.dumps(card.as_dict()))) == card


def test_ids_are_unique_and_the_default_is_among_them() -> None:
    ids = [card.id for card in BUILTIN_CARDS]
    assert len(set(ids)) == len(ids)
    assert DEFAULT_ENCODER in ids


def test_seeded_encoders_are_called_untrained_everywhere_they_show() -> None:
    for card in BUILTIN_CARDS:
        if card.weights is WeightsState.SEEDED:
            assert card.id.endswith(".untrained")
            assert "UNTRAINED" in card.description
            assert not card.trained


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../x"},
        {"dim": 0},
        {"mean": (0.5,)},
        {"seed": None},
        {"weights_file": "weights.safetensors"},
        {"trained": True},
        {"input_kind": InputKind.HU},
        {"weights": WeightsState.PRESENT, "seed": None, "weights_file": "../w"},
    ],
)
def test_contradictions_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadCard):
        replace(BUILTIN_CARDS[0], **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"colour": "red"}, {"level": "voxel"}, {"dim": "many"}, {"mean": 3}])
def test_unusable_json_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadCard):
        EncoderCard.from_dict({**BUILTIN_CARDS[0].as_dict(), **change})


def test_missing_json_entries_are_refused() -> None:
    values = BUILTIN_CARDS[0].as_dict()
    del values["dim"]
    with pytest.raises(BadCard):
        EncoderCard.from_dict(values)
