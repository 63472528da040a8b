"""The settings of a pre-training run, read strictly from a file and from overrides. No torch here."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, get_type_hints

from slicebank_models.errors import BadPretrainingSetting

JSON = dict[str, Any]


class Method(StrEnum):
    """How the two views of a slice are made, and so what the method is called."""

    MOCO = "moco"
    LECL = "lecl"


class LesionLoss(StrEnum):
    """What the lesion weight multiplies: the sum over lesion keys (eq. 2), or their logits, as the published code has it."""

    PRINTED = "printed"
    PUBLISHED_CODE = "published_code"


class Optimiser(StrEnum):
    """Optimisers of MoCo v3."""

    ADAMW = "adamw"
    LARS = "lars"


class Precision(StrEnum):
    """What the networks compute in; losses and statistics are float32."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The networks.

    Attributes:
        architecture: Name of a slice encoder's architecture, such as `mambaout_tiny` or `timm:NAME`.
        input_size: Side of the views, pixels; a multiple of 32.
        projection_dim: Length of queries and keys.
        hidden_dim: Width of the hidden layers of projector and predictor.
        initial_weights: safetensors or torch file to begin with; empty for random weights.
    """

    architecture: str = "mambaout_tiny"
    input_size: int = field(default=224, metadata={"range": (32, 1024)})
    projection_dim: int = field(default=256, metadata={"range": (1, 65_536)})
    hidden_dim: int = field(default=4096, metadata={"range": (1, 65_536)})
    initial_weights: str = ""


@dataclass(frozen=True, slots=True)
class LossSettings:
    """The contrastive loss.

    Attributes:
        method: LECL, or MoCo v3, which takes no notice of boxes.
        lesion_weight: Lambda of eq. 2; 0 keeps the lesion view alone.
        lesion_loss: As printed, or as the published code computes it.
        temperature: Of the softmax.
    """

    method: Method = Method.LECL
    lesion_weight: float = field(default=0.0, metadata={"range": (0.0, 1000.0)})
    lesion_loss: LesionLoss = LesionLoss.PRINTED
    temperature: float = field(default=1.0, metadata={"range": (0.001, 100.0)})


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """How two views of a slice are drawn; every augmentation is switched off by its probability 0.

    Attributes:
        windows: Names of the windows; each view draws one.
        same_window: Whether both views of a slice show one window.
        crop_min: Smallest share of the area that a random crop keeps; the lesion view's side is drawn from
            [sqrt(crop_min) * side, side).
        crop_ratio: Largest ratio of a random crop's sides.
        flip: Probability of a flip from side to side.
        jitter: Probability of a change of brightness and contrast.
        brightness: Largest relative change of brightness.
        contrast: Largest relative change of contrast.
        blur: Probability of a Gaussian blur, in view 1 and in view 2.
        blur_sigma: Smallest and largest standard deviation, pixels of a view of 224.
        solarise: Probability that the upper half of the grey levels is inverted, in view 1 and in view 2.
    """

    windows: tuple[str, ...] = ("abdomen", "lung")
    same_window: bool = False
    crop_min: float = field(default=0.08, metadata={"range": (0.001, 1.0)})
    crop_ratio: float = field(default=4.0 / 3.0, metadata={"range": (1.0, 10.0)})
    flip: float = field(default=0.5, metadata={"range": (0.0, 1.0)})
    jitter: float = field(default=0.8, metadata={"range": (0.0, 1.0)})
    brightness: float = field(default=0.4, metadata={"range": (0.0, 1.0)})
    contrast: float = field(default=0.4, metadata={"range": (0.0, 1.0)})
    blur: tuple[float, ...] = field(default=(1.0, 0.1), metadata={"range": (0.0, 1.0), "length": 2})
    blur_sigma: tuple[float, ...] = field(default=(0.1, 2.0), metadata={"range": (0.0, 32.0), "length": 2})
    solarise: tuple[float, ...] = field(default=(0.0, 0.2), metadata={"range": (0.0, 1.0), "length": 2})


@dataclass(frozen=True, slots=True)
class OptimiserSettings:
    """How weights move; the paper's values, MoCo v3's where it says none.

    Attributes:
        name: AdamW or LARS.
        lr: Learning rate for a batch of 256; multiplied by batch_size / 256.
        weight_decay: Of weights; biases, norms and other vectors have none.
        batch_size: Slices a step, over all processes and accumulated parts.
        accumulate: Parts that a process computes its share of a batch in. All parts' keys are the negatives of every query.
        epochs: Passes over the slices.
        warmup_epochs: During which the learning rate rises from 0.
        momentum: Of the momentum encoder at the beginning; rises to 1 by a cosine.
        freeze_patch_embedding: Whether the first layer of a plain ViT keeps its random weights.
    """

    name: Optimiser = Optimiser.ADAMW
    lr: float = field(default=1e-4, metadata={"range": (0.0, 10.0)})
    weight_decay: float = field(default=0.1, metadata={"range": (0.0, 10.0)})
    batch_size: int = field(default=1024, metadata={"range": (2, 65_536)})
    accumulate: int = field(default=1, metadata={"range": (1, 4096)})
    epochs: int = field(default=100, metadata={"range": (1, 100_000)})
    warmup_epochs: float = field(default=10.0, metadata={"range": (0.0, 100_000.0)})
    momentum: float = field(default=0.99, metadata={"range": (0.0, 1.0)})
    freeze_patch_embedding: bool = True


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a run goes about it.

    Attributes:
        seed: Decides initial weights, order and views.
        precision: auto is bf16 where the device multiplies it, fp32 elsewhere.
        deterministic: Whether only deterministic kernels are used; slower on a GPU.
        validation_fraction: Share of the patients whose slices are kept out, for the linear probe.
        checkpoint_steps: Steps between checkpoints; one is always written at the end.
        log_steps: Steps between lines of metrics.csv.
        probe_epochs: Epochs between linear probes; 0 for none.
        probe_slices: Most slices that a probe embeds on either side; on the side of training also no more than a quarter of
            the slices where that is above 256, so that probes stay cheap.
        max_steps: Ends the run early; 0 for never. The schedules are those of the whole run.
        readers: Threads that read and prepare batches ahead.
        compile: Whether torch.compile translates the encoder; takes minutes at the start, for a faster step on a GPU.
    """

    seed: int = field(default=0, metadata={"range": (0, 2**31 - 1)})
    precision: Precision = Precision.AUTO
    deterministic: bool = False
    validation_fraction: float = field(default=0.1, metadata={"range": (0.0, 0.9)})
    checkpoint_steps: int = field(default=500, metadata={"range": (1, 10**9)})
    log_steps: int = field(default=10, metadata={"range": (1, 10**9)})
    probe_epochs: int = field(default=1, metadata={"range": (0, 100_000)})
    probe_slices: int = field(default=2048, metadata={"range": (16, 65_536)})
    max_steps: int = field(default=0, metadata={"range": (0, 10**9)})
    readers: int = field(default=2, metadata={"range": (1, 64)})
    compile: bool = False


@dataclass(frozen=True, slots=True)
class PretrainingSpec:
    """Everything that decides a run, beside its slices; the defaults are the paper's, where it says what they are."""

    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    views: ViewSettings = ViewSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    run: RunSettings = RunSettings()

    def __post_init__(self) -> None:
        if self.optimiser.warmup_epochs > self.optimiser.epochs:
            raise BadPretrainingSetting(
                f"optimiser.warmup_epochs, {self.optimiser.warmup_epochs:g}, must not exceed optimiser.epochs, "
                f"{self.optimiser.epochs}."
            )
        if self.model.input_size % 32:
            raise BadPretrainingSetting(f"model.input_size must be a multiple of 32, not {self.model.input_size}.")
        if self.views.blur_sigma[0] > self.views.blur_sigma[1]:
            raise BadPretrainingSetting("views.blur_sigma must be the smallest and the largest value, in this order.")
        if not self.views.windows:
            raise BadPretrainingSetting("views.windows must name at least one window.")

    def as_dict(self) -> JSON:
        """Returns the settings as JSON-able values; `parse` reads them back."""
        return {table: {k: _plain(v) for k, v in values.items()} for table, values in asdict(self).items()}

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "PretrainingSpec":
        """Reads `{"model": {...}, "loss": {...}, ...}`; what is left out keeps its default.

        Raises:
            BadPretrainingSetting: A table or key that is none, or a value of the wrong type or out of range.
        """
        return _over(cls(), values)

    @classmethod
    def from_toml(cls, text: str, overrides: Sequence[str] = ()) -> "PretrainingSpec":
        """Reads a file's text, then overrides such as `loss.lesion_weight=3`, whose values are written as in the file.

        A value that is not TOML is taken for a string, so that `model.architecture=vmamba_tiny` needs no quotes.

        Raises:
            BadPretrainingSetting: As `parse`; also text that is no TOML, and overrides without a `=`.
        """
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise BadPretrainingSetting(f"The settings file is no TOML: {error}.") from error
        for override in overrides:
            name, equals, value = override.partition("=")
            table, dot, key = name.strip().partition(".")
            if not equals or not dot:
                raise BadPretrainingSetting(f"{override!r} must read TABLE.KEY=VALUE, such as loss.lesion_weight=3.")
            if not isinstance(values.setdefault(table, {}), dict):
                raise BadPretrainingSetting(f"{table} must be a table of settings.")
            values[table][key] = _toml_value(value.strip())
        # All at once, so that settings that bound each other may come in any order.
        return cls.parse(values)


def _over(spec: PretrainingSpec, values: Mapping[str, Any]) -> PretrainingSpec:
    tables = [entry.name for entry in fields(spec)]
    read: JSON = {}
    for table, given in values.items():
        if table not in tables:
            raise BadPretrainingSetting(f"There is no table {table!r}; there are {', '.join(tables)}.")
        if not isinstance(given, Mapping):
            raise BadPretrainingSetting(f"{table} must be a table of settings.")
        settings = getattr(spec, table)
        types, known = get_type_hints(type(settings)), {entry.name: entry for entry in fields(settings)}
        for key in given:
            if key not in known:
                raise BadPretrainingSetting(f"There is no setting {table}.{key}; {table} has {', '.join(known)}.")
        read[table] = replace(
            settings,
            **{key: _checked(f"{table}.{key}", value, types[key], known[key].metadata) for key, value in given.items()},
        )
    return replace(spec, **read)


def _checked(name: str, value: Any, wanted: Any, limits: Mapping[str, Any]) -> Any:
    if wanted in (tuple[str, ...], tuple[float, ...]):
        item = str if wanted == tuple[str, ...] else float
        length = limits.get("length")
        if not isinstance(value, list | tuple) or (length is not None and len(value) != length):
            raise BadPretrainingSetting(f"{name} must be a list{f' of {length}' if length else ''}, not {value!r:.60}.")
        return tuple(
            _checked(name, entry, item, {"range": limits["range"]} if "range" in limits else {}) for entry in value
        )
    if isinstance(wanted, type) and issubclass(wanted, StrEnum):
        try:
            return wanted(value)
        except ValueError:
            raise BadPretrainingSetting(f"{name} must be one of {', '.join(wanted)}, not {value!r:.60}.") from None
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    right = {
        bool: isinstance(value, bool),
        str: isinstance(value, str),
        float: numeric,
        int: numeric and value == value // 1,
    }[wanted]
    if not right:
        kind = {bool: "true or false", str: "a string", float: "a number", int: "a whole number"}[wanted]
        raise BadPretrainingSetting(f"{name} must be {kind}, not {value!r:.60}.")
    if "range" in limits:
        low, high = limits["range"]
        if not low <= value <= high:
            raise BadPretrainingSetting(f"{name} must be from {low:g} to {high:g}, not {value!r:.60}.")
    return wanted(value)


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    return list(value) if isinstance(value, tuple) else value
