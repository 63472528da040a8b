"""Encoders without weights: a baseline to beat, and three for trying everything around an encoder."""

from dataclasses import replace

from slicebank_models.cards import IMAGENET_MEAN, IMAGENET_STD, EncoderCard, EncoderLevel, InputKind, WeightsState
from slicebank_models.volume_spec import Resampling, VolumeSpec

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
    row_bytes=3_000_000,
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
    row_bytes=100_000,
    trained=False,
)

_SLEEP = replace(
    _DUMMY,
    id="sleep",
    architecture="sleep",
    description="Sleeps 0.05 s a row, then gives the features of `dummy`: for trying a deployment, not for clinical questions.",
)

_DUMMY_SCAN = replace(
    _DUMMY,
    id="dummy_scan",
    architecture="dummy_scan",
    dim=24,
    level=EncoderLevel.SCAN,
    input_kind=InputKind.VOLUME,
    input_size=0,
    mean=(),
    std=(),
    windows=(),
    description="A fixed random projection of cell means of a whole scan, for tests of everything around an encoder of scans.",
    weights_digest="23eca528ea28bd8231a3b40180c15dca1312966269a73a4e81a0dc2c1862dfa5",
    row_bytes=7_000_000,
    volume=VolumeSpec(
        axes="RAS",
        spacing_mm=(6.0, 6.0, 8.0),
        size=(64, 64, 48),
        hu=(-1000.0, 1000.0),
        scaled_to=(0.0, 1.0),
        pad=0.0,
        resampling=Resampling.MONAI,
    ),
)

CARDS = (_HU_STATISTICS, _DUMMY, _DUMMY_SCAN, _SLEEP)
