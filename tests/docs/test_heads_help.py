"""`slicebank heads train --help` names every setting that has no option of its own."""

from __future__ import annotations

import re
from dataclasses import fields

from slicebank.cli.commands.heads import HEAD_KEYS, PROTOCOL_KEYS, TRAINING_KEYS
from slicebank_models.heads.head_spec import HeadSpec
from slicebank_models.heads.protocol import ProtocolSpec, Validation
from slicebank_models.heads.spec import TrainingSpec

# Settings that are options: --architecture, --pooling, --calibration, --sites (two of them), --splits.
OPTIONS = {"architecture", "pooling", "calibration", "preserve_sites", "site_column", "splits"}


def named(keys: str) -> set[str]:
    return set(re.findall(r"[a-z_]+", re.sub(r"\(.*?\)|;.*", "", keys)))


def test_help_names_every_setting() -> None:
    assert named(TRAINING_KEYS) == {field.name for field in fields(TrainingSpec)}
    assert named(HEAD_KEYS) == {field.name for field in fields(HeadSpec)} - OPTIONS
    assert named(PROTOCOL_KEYS) == {field.name for field in fields(ProtocolSpec)} - OPTIONS
    assert all(choice.value in PROTOCOL_KEYS for choice in Validation)
