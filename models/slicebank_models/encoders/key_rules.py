"""How each architecture names its tensors in the checkpoints that are about."""

import re
from collections.abc import Callable

from slicebank_models.checkpoints import DroppedKey, KeyRule
from slicebank_models.encoders import mambaout, vit_moco

_PROJECTOR = re.compile(r"head\.\d+\.")
_CLASSIFIER_REASON = "classifier head"
_PROJECTOR_REASON = "projector of the contrastive training"


def _head_reason(key: str) -> str:
    return _PROJECTOR_REASON if _PROJECTOR.match(key) else _CLASSIFIER_REASON


def _mambaout_timm(key: str) -> str | DroppedKey:
    if key.startswith("head.") and not key.startswith("head.norm."):
        return DroppedKey(key, _head_reason(key))
    return key


_OFFICIAL_DOWNSAMPLE = re.compile(r"downsample_layers\.(\d+)\.")
_OFFICIAL_BLOCK = re.compile(r"stages\.(\d+)\.(\d+)\.")


def _mambaout_official(key: str) -> str | DroppedKey:
    """Names of github.com/yuweihao/MambaOut: its `norm` pools, its `head.norm` lies inside the classifier."""
    if key.startswith("head."):
        return DroppedKey(key, _head_reason(key))
    if key.startswith("norm."):
        return f"head.{key}"
    key = key.replace("downsample_layers.0.", "stem.", 1)
    key = _OFFICIAL_DOWNSAMPLE.sub(r"stages.\1.downsample.", key)
    return _OFFICIAL_BLOCK.sub(r"stages.\1.blocks.\2.", key)


def _mambaout(keys: frozenset[str]) -> KeyRule:
    official = any(key.startswith("downsample_layers.") for key in keys)
    return _mambaout_official if official else _mambaout_timm


def _vit_key(key: str) -> str | DroppedKey:
    return DroppedKey(key, _head_reason(key)) if key.startswith(("head.", "fc.")) else key


def _vit(keys: frozenset[str]) -> KeyRule:
    del keys  # one naming for all
    return _vit_key


def _verbatim(keys: frozenset[str]) -> KeyRule:
    del keys
    return lambda key: key


def key_rules(architecture: str) -> Callable[[frozenset[str]], KeyRule]:
    """Returns what `map_checkpoint` asks for: from a file's keys to the rule for one key."""
    if architecture in mambaout.LAYOUTS:
        return _mambaout
    return _vit if architecture in vit_moco.LAYOUTS else _verbatim
