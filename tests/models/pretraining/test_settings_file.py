"""The settings file explains every setting and is read back as what it was made of."""

from __future__ import annotations

import tomllib

import pytest

from slicebank_models.errors import BadPretrainingSetting
from slicebank_models.pretraining.settings_file import settings_toml
from slicebank_models.pretraining.spec import PretrainingSpec


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("run.seed=7", "loss.method=moco", 'views.windows=["lung"]', "optimiser.lr=1e-05", "run.deterministic=true"),
        ('model.initial_weights="a \\"b\\" \\\\ ü.pt"', "views.blur=[0, 1]"),
    ],
)
def test_what_is_written_is_read_back(overrides: tuple[str, ...]) -> None:
    spec = PretrainingSpec.from_toml("", overrides)
    assert PretrainingSpec.from_toml(settings_toml(spec)) == spec


def test_every_setting_is_there_with_a_sentence() -> None:
    text = settings_toml(PretrainingSpec())
    lines = text.splitlines()
    assert tomllib.loads(text).keys() == PretrainingSpec().as_dict().keys()
    for values in PretrainingSpec().as_dict().values():
        for key in values:
            (place,) = [number for number, line in enumerate(lines) if line.startswith(f"{key} = ")]
            assert lines[place - 1].startswith("# ")
    assert "One of moco, lecl." in text
    assert "From 0 to 1." in text


def test_overrides_that_bound_each_other_may_come_in_any_order() -> None:
    for overrides in (
        ["optimiser.epochs=4", "optimiser.warmup_epochs=1"],
        ["optimiser.warmup_epochs=1", "optimiser.epochs=4"],
    ):
        assert PretrainingSpec.from_toml("", overrides).optimiser.epochs == 4
    with pytest.raises(BadPretrainingSetting, match=r"warmup_epochs, 10, must not exceed optimiser\.epochs, 4"):
        PretrainingSpec.from_toml("", ["optimiser.epochs=4"])
