import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from timm.models.mambaout import MambaOut, checkpoint_filter_fn
from torch import Tensor, nn

from slicebank_models.checkpoints import MappedCheckpoint, map_checkpoint
from slicebank_models.digest import weights_digest
from slicebank_models.encoders.build import family_of
from slicebank_models.encoders.mambaout import MambaOutEncoder
from slicebank_models.encoders.slice_encoder import SliceEncoder
from slicebank_models.encoders.vit_moco import MoCoViTEncoder
from slicebank_models.errors import CheckpointMismatch, UnreadableCheckpoint, UnsafeCheckpoint

GREY = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
COUNTER = "patch_embed.proj.1.num_batches_tracked"


@pytest.fixture(scope="module")
def vit() -> SliceEncoder:
    torch.manual_seed(0)
    return MoCoViTEncoder("vit_conv_small", input_size=32, **GREY)


@pytest.fixture(scope="module")
def femto() -> SliceEncoder:
    torch.manual_seed(0)
    return MambaOutEncoder("mambaout_femto", input_size=32, **GREY)


def projector(prefix: str) -> dict[str, Tensor]:
    """The three-layer MLP that MoCo v3 puts where the head was, narrowed."""
    mlp = nn.Sequential(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8, bias=False))
    return {f"{prefix}{key}": tensor for key, tensor in mlp.state_dict().items()}


def moco_file(weights: Mapping[str, Tensor]) -> dict[str, object]:
    """A training file as main_moco.py of the official repository saves it."""
    state = {
        **{f"module.base_encoder.{key}": tensor for key, tensor in weights.items()},
        **projector("module.base_encoder.head."),
        **{f"module.momentum_encoder.{key}": tensor + 1 for key, tensor in weights.items()},
        **projector("module.momentum_encoder.head."),
        **projector("module.predictor."),
    }
    linear = nn.Linear(2, 2)
    optimiser = torch.optim.AdamW(linear.parameters()).state_dict()
    return {
        "epoch": 100,
        "arch": "vit_conv_small",
        "state_dict": state,
        "optimizer": optimiser,
        "scaler": {"scale": 1.0},
    }


def official_mambaout(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names of github.com/yuweihao/MambaOut, with its classifier."""
    named = {}
    for key, tensor in weights.items():
        name = re.sub(r"^stem\.", "downsample_layers.0.", key)
        name = re.sub(r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1.", name)
        name = re.sub(r"^stages\.(\d)\.blocks\.(\d+)\.", r"stages.\1.\2.", name)
        named[re.sub(r"^head\.norm\.", "norm.", name)] = tensor
    classifier = {"fc1.weight": (9, 9), "fc1.bias": (9,), "norm.weight": (9,), "norm.bias": (9,), "fc2.weight": (5, 9)}
    return {**named, **{f"head.{key}": torch.zeros(shape) for key, shape in classifier.items()}}


def mapped(path: Path, encoder: SliceEncoder, architecture: str, branch: str = "base_encoder") -> MappedCheckpoint:
    rules = partial(family_of(architecture).key_rules, architecture)
    return map_checkpoint(path, encoder.weights(), rules, branch=branch)


def assert_accounted(result: MappedCheckpoint, keys: set[str]) -> None:
    report = result.report
    seen = [key for key, _ in report.mapped] + [entry.key for entry in report.dropped]
    assert len(seen) == len(set(seen))
    assert set(seen) == keys
    assert all(entry.reason for entry in report.dropped)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "encoder.", "module.model.", "_orig_mod.backbone."])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_plain_and_converted_files(prefix: str, wrapper: str | None, femto: SliceEncoder, tmp_path: Path) -> None:
    state = {f"{prefix}{key}": tensor for key, tensor in femto.weights().items()}
    path = tmp_path / "weights.pth"
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, path)
    result = mapped(path, femto, "mambaout_femto")
    assert weights_digest(result.tensors) == weights_digest(femto.weights())
    assert result.report.layout == "plain"
    assert result.report.ignored_entries == (("epoch",) if wrapper else ())
    assert_accounted(result, set(state))


def test_pth_and_safetensors_have_one_digest(femto: SliceEncoder, tmp_path: Path) -> None:
    torch.save(femto.weights(), tmp_path / "a.pth")
    save_file({key: tensor.contiguous() for key, tensor in femto.weights().items()}, tmp_path / "a.safetensors")
    digests = {
        weights_digest(mapped(tmp_path / n, femto, "mambaout_femto").tensors) for n in ("a.pth", "a.safetensors")
    }
    assert digests == {weights_digest(femto.weights())}


@pytest.mark.parametrize(("branch", "shift"), [("base_encoder", 0), ("momentum_encoder", 1)])
def test_moco_training_files(branch: str, shift: int, vit: SliceEncoder, tmp_path: Path) -> None:
    weights = vit.trunk.state_dict()
    assert COUNTER in weights
    content = moco_file(weights)
    torch.save(content, tmp_path / "checkpoint_0099.pth.tar")
    result = mapped(tmp_path / "checkpoint_0099.pth.tar", vit, "vit_conv_small", branch)
    for name, tensor in vit.weights().items():
        assert torch.equal(result.tensors[name], tensor + shift)
    assert result.report.layout == f"moco_v3:{branch}"
    assert set(result.report.ignored_entries) == {"epoch", "arch", "optimizer", "scaler"}
    state = content["state_dict"]
    assert isinstance(state, dict)
    assert_accounted(result, set(state))
    reasons = {entry.key: entry.reason for entry in result.report.dropped}
    assert "projector" in reasons[f"module.{branch}.head.0.weight"]
    assert "predictor" in reasons["module.predictor.0.weight"]
    assert "BatchNorm" in reasons[f"module.{branch}.{COUNTER}"]


def test_official_mambaout_names_map_as_timm_maps_them(femto: SliceEncoder, tmp_path: Path) -> None:
    official = official_mambaout(femto.weights())
    torch.save(official, tmp_path / "mambaout_femto.pth")
    result = mapped(tmp_path / "mambaout_femto.pth", femto, "mambaout_femto")
    assert weights_digest(result.tensors) == weights_digest(femto.weights())
    assert_accounted(result, set(official))
    with torch.device("meta"):
        model = MambaOut()
    timms = {key: tensor for key, tensor in checkpoint_filter_fn(official, model).items() if key in result.tensors}
    assert weights_digest(timms) == weights_digest(result.tensors)
    assert {entry.reason for entry in result.report.dropped} == {"classifier head"}


def test_mambaout_trained_by_moco_under_official_names(femto: SliceEncoder, tmp_path: Path) -> None:
    official = {key: t for key, t in official_mambaout(femto.weights()).items() if not key.startswith("head.")}
    torch.save(moco_file(official), tmp_path / "moco.pth.tar")
    result = mapped(tmp_path / "moco.pth.tar", femto, "mambaout_femto")
    assert weights_digest(result.tensors) == weights_digest(femto.weights())


def test_half_precision_becomes_float32(femto: SliceEncoder, tmp_path: Path) -> None:
    torch.save({key: tensor.half() for key, tensor in femto.weights().items()}, tmp_path / "half.pth")
    result = mapped(tmp_path / "half.pth", femto, "mambaout_femto")
    assert {tensor.dtype for tensor in result.tensors.values()} == {torch.float32}


def test_the_difference_is_listed(femto: SliceEncoder, tmp_path: Path) -> None:
    state = dict(femto.weights())
    del state["stem.conv1.bias"]
    state["head.norm.weight"] = torch.zeros(7)
    state["decoder.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(CheckpointMismatch) as caught:
        mapped(tmp_path / "odd.pth", femto, "mambaout_femto")
    assert caught.value.missing == ("stem.conv1.bias",)
    assert caught.value.left_over == ("decoder.weight",)
    assert caught.value.wrong_shape == (("head.norm.weight", (288,), (7,)),)


def test_another_architecture_is_refused(femto: SliceEncoder, vit: SliceEncoder, tmp_path: Path) -> None:
    torch.save(femto.weights(), tmp_path / "femto.pth")
    with pytest.raises(CheckpointMismatch):
        mapped(tmp_path / "femto.pth", vit, "vit_conv_small")


class Payload:
    """Pickles to a call, as an attacker's file would."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


def test_files_that_want_to_run_code_do_not(femto: SliceEncoder, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    torch.save({"state_dict": femto.weights(), "args": Payload(marker)}, tmp_path / "evil.pth")
    with pytest.raises(UnsafeCheckpoint, match="safetensors"):
        mapped(tmp_path / "evil.pth", femto, "mambaout_femto")
    assert not marker.exists()


@pytest.mark.parametrize("name", ["junk.pth", "junk.safetensors", "absent.pth"])
def test_junk_is_unreadable(name: str, femto: SliceEncoder, tmp_path: Path) -> None:
    if "junk" in name:
        (tmp_path / name).write_bytes(b"PK\x03\x04 nothing of use")
    with pytest.raises(UnreadableCheckpoint):
        mapped(tmp_path / name, femto, "mambaout_femto")


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {"state_dict": {}}])
def test_files_without_tensors_are_unreadable(content: object, femto: SliceEncoder, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "empty.pth")
    with pytest.raises(UnreadableCheckpoint):
        mapped(tmp_path / "empty.pth", femto, "mambaout_femto")
