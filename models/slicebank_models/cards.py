"""Encoder cards: what a service must know of an encoder without loading it. No torch here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from slicebank_models.errors import BadCard
from slicebank_models.volume_spec import VolumeSpec
from slicebank_models.weights_source import WeightsSource

JSON = dict[str, Any]

ENCODER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class EncoderLevel(StrEnum):
    """What one row of features describes."""

    SLICE = "slice"
    SCAN = "scan"


class InputKind(StrEnum):
    """What one input row holds: 8-bit grey levels of a window, HU scaled to 0..1 over a window, or a whole volume."""

    GRAY8 = "gray8"
    HU = "hu"
    VOLUME = "volume"


class Interpolation(StrEnum):
    """How a slice becomes a row of the encoder's size; both antialiased, over 8-bit levels as Pillow does."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


class WeightsState(StrEnum):
    """Where an encoder's weights are: a file that is there, one that is not, a formula, or none needed."""

    PRESENT = "present"
    MISSING = "missing"
    SEEDED = "seeded"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class EncoderCard:
    """One encoder with one set of weights.

    Attributes:
        id: Name in the API; untrained weights carry the word in it.
        architecture: Name that the architecture is built by.
        dim: Length of one feature row.
        input_size: Side of the square input, pixels; 0 for volumes.
        mean: Subtracted per channel after scaling grey levels to 0..1; empty for other inputs.
        std: Divides per channel after the mean is subtracted; empty for other inputs.
        windows: Names of the windows rendered by default, one row each; none for volumes.
        parameters: Number of numbers in its weights.
        weights_digest: sha256 hex over the tensors (`slicebank_models.digest`).
        weights_file: File name beside `card.json`; none for seeded and weightless encoders.
        seed: Seed of the formula in `encoders/seeding.py` where the weights are seeded.
        precisions: Precision classes that may be requested.
        interpolation: How slices are resized to `input_size`.
        volume: What a scan encoder takes.
        source: Where its weights are published.
        code: Official implementation, as address and commit.
        notes: What a user should know beside the description, such as why numbers differ from a paper's.
        config: Options of the architecture, where its name does not say all.
        row_bytes: Memory of the device that one more row of a batch takes in float32; 0 where nobody has measured it.
    """

    id: str
    architecture: str
    dim: int
    level: EncoderLevel
    input_kind: InputKind
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    windows: tuple[str, ...]
    licence: str
    paper: str
    description: str
    parameters: int
    weights: WeightsState
    weights_digest: str
    weights_file: str | None = None
    seed: int | None = None
    trained: bool = True
    precisions: tuple[str, ...] = ("standard", "fp32")
    interpolation: Interpolation = Interpolation.BILINEAR
    volume: VolumeSpec | None = None
    source: WeightsSource | None = None
    code: str = ""
    notes: str = ""
    config: Mapping[str, Any] = field(default_factory=dict, hash=False)
    row_bytes: int = 0

    def __post_init__(self) -> None:
        if not ENCODER_ID.fullmatch(self.id):
            raise BadCard(f"Encoder id {self.id!r} must match {ENCODER_ID.pattern}.")
        scan = self.input_kind is InputKind.VOLUME
        if scan != (self.volume is not None) or scan != (self.level is EncoderLevel.SCAN):
            raise BadCard(f"Encoder {self.id}: encoders of scans take a volume, and only they do.")
        if self.dim < 1 or (self.input_size < 1) != scan or self.row_bytes < 0:
            raise BadCard(f"Encoder {self.id}: dim and input_size must be positive; input_size is 0 for volumes.")
        if bool(self.windows) == scan:
            raise BadCard(f"Encoder {self.id}: encoders of slices name their windows, encoders of scans have none.")
        channels = 3 if self.input_kind is InputKind.GRAY8 else 0
        if len(self.mean) != channels or len(self.std) != channels:
            raise BadCard(f"Encoder {self.id}: {self.input_kind} input needs {channels} values in mean and in std.")
        if (self.weights is WeightsState.SEEDED) != (self.seed is not None):
            raise BadCard(f"Encoder {self.id}: a seed belongs to seeded weights, and only to them.")
        stored = self.weights in (WeightsState.PRESENT, WeightsState.MISSING)
        if stored != (self.weights_file is not None):
            raise BadCard(f"Encoder {self.id}: a weights file belongs to stored weights, and only to them.")
        if self.weights_file is not None and not ENCODER_ID.fullmatch(self.weights_file):
            raise BadCard(f"Encoder {self.id}: weights_file must be a plain file name beside card.json.")
        if self.weights is WeightsState.SEEDED and self.trained:
            raise BadCard(f"Encoder {self.id}: seeded weights are untrained.")

    def as_dict(self) -> JSON:
        """Returns the card as JSON-able values; `from_dict` reads them back."""
        values: JSON = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, StrEnum):
                value = value.value
            elif isinstance(value, tuple):
                value = list(value)
            elif isinstance(value, Mapping):
                value = dict(value)
            elif isinstance(value, VolumeSpec | WeightsSource):
                value = value.as_dict()
            values[entry.name] = value
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "EncoderCard":
        """Reads what `as_dict` wrote.

        Raises:
            BadCard: An unknown, missing or unusable value.
        """
        known = {entry.name for entry in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise BadCard(f"Unknown card entries {', '.join(unknown)}; known are {', '.join(sorted(known))}.")
        read = dict(values)
        try:
            read["level"] = EncoderLevel(read["level"])
            read["input_kind"] = InputKind(read["input_kind"])
            read["weights"] = WeightsState(read["weights"])
            for name in ("mean", "std"):
                read[name] = tuple(float(number) for number in read[name])
            for name in ("windows", "precisions"):
                if name in read:
                    read[name] = tuple(str(word) for word in read[name])
            for name in ("dim", "input_size", "parameters"):
                read[name] = int(read[name])
            if "interpolation" in read:
                read["interpolation"] = Interpolation(read["interpolation"])
            if read.get("volume") is not None:
                read["volume"] = VolumeSpec.from_dict(read["volume"])
            if read.get("source") is not None:
                read["source"] = WeightsSource.from_dict(read["source"])
            if not isinstance(read.get("config", {}), Mapping):
                raise BadCard("The config of a card must be an object.")
            return cls(**read)
        except (KeyError, TypeError, ValueError) as error:
            raise BadCard(f"The card lacks a value or has an unusable one: {error}") from error


def draft_card(
    encoder_id: str,
    architecture: str,
    *,
    licence: str,
    paper: str = "",
    description: str = "",
    windows: tuple[str, ...] = ("abdomen", "lung"),
    input_size: int = 224,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> EncoderCard:
    """Returns the card of a trained slice encoder for `loading.install_encoder`, which fills in what the weights say.

    Raises:
        BadCard: A value is out of range.
    """
    return EncoderCard(
        id=encoder_id,
        architecture=architecture,
        dim=1,
        level=EncoderLevel.SLICE,
        input_kind=InputKind.GRAY8,
        input_size=input_size,
        mean=mean,
        std=std,
        windows=windows,
        licence=licence,
        paper=paper,
        description=description,
        parameters=0,
        weights=WeightsState.MISSING,
        weights_digest="",
        weights_file="weights.safetensors",
    )


def draft_scan_card(
    encoder_id: str, architecture: str, volume: VolumeSpec, *, licence: str, paper: str = "", description: str = ""
) -> EncoderCard:
    """Returns the card of a trained scan encoder, as `draft_card` does that of a slice encoder.

    Raises:
        BadCard: A value is out of range.
    """
    return EncoderCard(
        id=encoder_id,
        architecture=architecture,
        dim=1,
        level=EncoderLevel.SCAN,
        input_kind=InputKind.VOLUME,
        input_size=0,
        mean=(),
        std=(),
        windows=(),
        licence=licence,
        paper=paper,
        description=description,
        parameters=0,
        weights=WeightsState.MISSING,
        weights_digest="",
        weights_file="weights.safetensors",
        volume=volume,
    )
