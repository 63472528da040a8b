"""From the networks of a run to a MoCo v3 training file, under the names of the published code.

github.com/facebookresearch/moco-v3 (and KatherLab/CLEAR after it) saves `base_encoder`, `momentum_encoder` and
`predictor` as the wrapper for several GPUs names them, and puts the projector where the encoder had its classifier.
`checkpoints.py` reads such files back.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from slicebank_models.checkpoints import BRANCHES
from slicebank_models.encoders import mambaout, vmamba
from slicebank_models.encoders.build import family_of
from slicebank_models.encoders.family import DroppedKey
from slicebank_models.errors import BadPretrainingCheckpoint

JSON = dict[str, Any]

WRAPPER = "module."
TRUNK = "trunk."

# Networks of a run, by the published names of the two encoders.
_NETWORKS = dict(zip(BRANCHES, ("encoder", "momentum_encoder"), strict=True))
_PROJECTORS = dict(zip(BRANCHES, ("projector", "momentum_projector"), strict=True))
_MAMBAOUT = (
    (re.compile(r"^stem\."), "downsample_layers.0."),
    (re.compile(r"^stages\.(\d+)\.downsample\."), r"downsample_layers.\1."),
    (re.compile(r"^stages\.(\d+)\.blocks\.(\d+)\."), r"stages.\1.\2."),
    (re.compile(r"^head\.norm\."), "norm."),
)


def branch_tensors(model: Mapping[str, Tensor], branch: str) -> dict[str, Tensor]:
    """Returns the tensors of one encoder of a run, by their names in its architecture.

    Args:
        model: State of `ContrastiveModel`.
        branch: `base_encoder`, which gradients trained, or `momentum_encoder`, which followed it.

    Raises:
        BadPretrainingCheckpoint: There are none.
    """
    prefix = f"{_NETWORKS[branch]}.{TRUNK}"
    found = {name.removeprefix(prefix): tensor for name, tensor in model.items() if name.startswith(prefix)}
    if not found:
        raise BadPretrainingCheckpoint(f"The checkpoint holds no tensors of the {branch}.")
    return found


def training_file(model: Mapping[str, Tensor], architecture: str, epoch: int) -> JSON:
    """Returns what `torch.save` turns into a MoCo v3 training file.

    The optimiser's state is left out: ours groups parameters in another way than the published code does.

    Args:
        model: State of `ContrastiveModel`.
        architecture: Of the encoder.
        epoch: Whole passes done.

    Raises:
        BadPretrainingCheckpoint: The state is of no such model, or the architecture has no place for a projector that its
            files could be read back with.
    """
    place = projector_place(architecture)
    rule = family_of(architecture).key_rules(architecture, frozenset({f"{place}.0.weight"}))
    if not isinstance(rule(f"{place}.0.weight"), DroppedKey):
        raise BadPretrainingCheckpoint(f"{architecture} has no classifier whose place the projector could take.")
    named = partial(_published_name, architecture)
    state: dict[str, Tensor] = {}
    for branch in BRANCHES:
        state |= {f"{WRAPPER}{branch}.{named(name)}": tensor for name, tensor in branch_tensors(model, branch).items()}
        state |= _moved(model, f"{_PROJECTORS[branch]}.", f"{WRAPPER}{branch}.{place}.")
    state |= _moved(model, "predictor.", f"{WRAPPER}predictor.")
    return {"epoch": epoch, "arch": architecture, "state_dict": state}


def projector_place(architecture: str) -> str:
    """Returns the name of the classifier that the published code replaces by the projector."""
    if architecture in vmamba.LAYOUTS:
        return "classifier.head"
    if architecture.startswith("timm:"):
        from slicebank_models.encoders.timm_model import classifier_names

        return next(iter(classifier_names(architecture)), "head")
    return "head"


def _published_name(architecture: str, name: str) -> str:
    """The tensor's name in the published code of its architecture; that of timm's own layouts of MambaOut is timm's."""
    if architecture in mambaout.LAYOUTS and not architecture.endswith("_rw"):
        for pattern, published in _MAMBAOUT:
            name = pattern.sub(published, name)
    return name


def _moved(model: Mapping[str, Tensor], begin: str, published: str) -> dict[str, Tensor]:
    return {
        f"{published}{name.removeprefix(begin)}": tensor for name, tensor in model.items() if name.startswith(begin)
    }
