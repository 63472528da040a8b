"""Runs as MoCo v3 training files: the names are those of the published code, and what is written is read back as it was."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
import torch

from slicebank_models.checkpoints import BRANCHES, map_checkpoint, open_checkpoint
from slicebank_models.digest import weights_digest
from slicebank_models.encoders.build import family_of
from slicebank_models.errors import BadPretrainingCheckpoint
from slicebank_models.inferring import infer_architecture
from slicebank_models.pretraining.contrastive import ContrastiveModel, build_contrastive, pretraining_card
from slicebank_models.pretraining.exporting import export_training_file
from slicebank_models.pretraining.published_form import training_file
from slicebank_models.pretraining.spec import PretrainingSpec
from tests.models.parity.goldens import read_golden
from tests.models.parity.record_vit_moco import HIDDEN, WIDTH
from tests.models.pretraining.trained_run import spec_of, trained_model, write_run

# One of each way of naming: projector at `head`, at `classifier.head`, at timm's classifier.
ARCHITECTURES = ("vit_conv_small", "mambaout_femto", "vmamba_tiny", "timm:test_vit", "timm:test_convnext")


class Written:
    """A run, and its training file."""

    def __init__(self, spec: PretrainingSpec, model: ContrastiveModel, file: Path) -> None:
        self.spec, self.model, self.file = spec, model, file
        self.architecture = spec.model.architecture

    def digest(self, branch: str) -> str:
        encoder = self.model.encoder if branch == "base_encoder" else self.model.momentum_encoder
        return weights_digest(encoder.weights())

    def read(self, path: Path, branch: str = BRANCHES[0]) -> str:
        rules = partial(family_of(self.architecture).key_rules, self.architecture)
        return weights_digest(map_checkpoint(path, self.model.encoder.weights(), rules, branch=branch).tensors)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("run")
    spec = spec_of(request.param, input_size=160 if request.param.startswith("timm:") else 32)
    model = trained_model(spec)
    write_run(folder, spec, model)
    return Written(spec, model, export_training_file(folder, folder / "out" / "checkpoint.pth.tar"))


@pytest.mark.parametrize("branch", BRANCHES)
def test_both_encoders_come_back_as_they_were(written: Written, branch: str) -> None:
    assert written.digest(BRANCHES[0]) != written.digest(BRANCHES[1])
    assert written.read(written.file, branch) == written.digest(branch)


def test_the_file_tells_its_architecture_and_says_how_far_it_was_trained(written: Written) -> None:
    content = torch.load(written.file, weights_only=True)
    assert (content["epoch"], content["arch"]) == (2, written.architecture)  # 12 steps of 5 an epoch
    if not written.architecture.startswith("timm:"):
        assert infer_architecture(open_checkpoint(written.file), "it") == written.architecture


def test_what_the_published_conversion_keeps_of_it_is_the_encoder(written: Written, tmp_path: Path) -> None:
    """`convert_to_deit.py` takes keys of the base encoder that do not begin with `head`, without their prefix."""
    if written.architecture == "timm:test_convnext":  # has a norm there, which that rule leaves out too
        return
    begin = "module.base_encoder."
    state = torch.load(written.file, weights_only=True)["state_dict"]
    kept = {key.removeprefix(begin): t for key, t in state.items() if re.match(re.escape(begin) + "(?!head)", key)}
    torch.save({"model": kept}, tmp_path / "converted.pth")
    assert written.read(tmp_path / "converted.pth") == written.digest("base_encoder")


def test_a_run_can_begin_with_it(written: Written) -> None:
    values = written.spec.as_dict()
    values["model"]["initial_weights"] = str(written.file)
    begun = build_contrastive(PretrainingSpec.parse(values).model, seed=5)
    assert weights_digest(begun.encoder.weights()) == written.digest("base_encoder")


@pytest.mark.parametrize("name", ["vit_small", "vit_conv_small"])
def test_names_shapes_and_kinds_are_those_of_the_published_training(name: str) -> None:
    """Recorded from MoCo v3's own `MoCo_ViT`; nothing is missing and nothing is left over."""
    settings = {"architecture": name, "projection_dim": WIDTH, "hidden_dim": HIDDEN}
    model = build_contrastive(PretrainingSpec.parse({"model": settings}).model, seed=0)
    state = training_file(model.state_dict(), name, 0)["state_dict"]
    found = {key: (tuple(tensor.shape), str(tensor.dtype)) for key, tensor in state.items()}
    golden = read_golden(name).parameters
    assert found == {f"module.{key}": (shape, f"torch.{dtype}") for key, shape, dtype in golden}


@pytest.mark.parametrize(
    ("name", "classifier"), [("mambaout_femto", "head."), ("vmamba_tiny", "classifier.head.")], ids=lambda name: name
)
def test_encoders_are_named_as_their_own_repositories_name_them(name: str, classifier: str) -> None:
    with torch.device("meta"):
        encoder = family_of(name).build(pretraining_card(spec_of(name, input_size=224).model))
    model = {f"{part}.{key}": t for part in ("encoder", "momentum_encoder") for key, t in encoder.state_dict().items()}
    state = training_file(model, name, 0)["state_dict"]
    begin = "module.base_encoder."
    found = {key.removeprefix(begin): tuple(t.shape) for key, t in state.items() if key.startswith(begin)}
    golden = read_golden(name).parameters
    assert found == {key: shape for key, shape, _ in golden if not key.startswith(classifier)}


def test_a_state_of_another_model_is_refused() -> None:
    with pytest.raises(BadPretrainingCheckpoint, match="base_encoder"):
        training_file({"decoder.weight": torch.zeros(2)}, "vit_small", 0)


def test_an_architecture_without_a_classifier_is_refused() -> None:
    spec = spec_of("hu_statistics")
    with pytest.raises(BadPretrainingCheckpoint, match="no classifier"):
        training_file({"encoder.trunk.weight": torch.zeros(2)}, spec.model.architecture, 0)
