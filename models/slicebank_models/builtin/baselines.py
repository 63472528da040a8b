"""Encoders without weights: a baseline to beat, and two for trying everything around an encoder."""

from dataclasses import replace

from slicebank_models.cards import IMAGENET_MEAN, IMAGENET_STD, EncoderCard, EncoderLevel, InputKind, WeightsState

_HU_STATISTICS = EncoderCard(
    id="hu_statistics",
    architecture="hu_statistics",
    dim=575,
    level=EncoderLevel.SLICE,
    input_kind=InputKind.HU,
    input_size=256,
    mean=(),
    std=(),
    windows=("full",),
    licence="Apache-2.0",
    paper="",
    description="Histograms and moments of HU on a grid. No weights: a baseline for every other encoder.",
    parameters=0,
    weights=WeightsState.NONE,
    weights_digest="0721af62e4489cffa8e42207d9c5cd2050f70d2e35dd99488e75ccbd0332b0a4",
    trained=False,
)

_DUMMY = EncoderCard(
    id="dummy",
    architecture="dummy",
    dim=16,
    level=EncoderLevel.SLICE,
    input_kind=InputKind.GRAY8,
    input_size=64,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    windows=("abdomen", "lung"),
    licence="Apache-2.0",
    paper="",
    description="A fixed random projection of cell means, for tests of everything around an encoder.",
    parameters=0,
    weights=WeightsState.NONE,
    weights_digest="1e54a2271b035eb74d36444e488e6a023bc6f1516bacfd1a4bd96c0900a2db64",
    trained=False,
)

_SLEEP = replace(
    _DUMMY,
    id="sleep",
    architecture="sleep",
    description="Sleeps 0.05 s a row, then gives the features of `dummy`: for trying a deployment, not for clinical questions.",
)

CARDS = (_HU_STATISTICS, _DUMMY, _SLEEP)
