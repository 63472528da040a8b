"""What an ablation trains: MoCo v3 and LECL at several lesion weights, for several architectures and seeds. No torch here."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slicebank_models.errors import BadPretrainingSetting
from slicebank_models.pretraining.spec import Method, PretrainingSpec

JSON = dict[str, Any]

LESION_WEIGHTS = (0.0, 1.0, 3.0, 5.0)  # of the paper


@dataclass(frozen=True, slots=True)
class Variant:
    """What is compared.

    Attributes:
        architecture: Name of a slice encoder's architecture.
        method: MoCo v3, or LECL.
        lesion_weight: Lambda of eq. 2; 0 for MoCo v3.
    """

    architecture: str
    method: Method
    lesion_weight: float = 0.0

    @property
    def title(self) -> str:
        """Such as `MoCo` or `LECL-3`, as the paper has it."""
        return "MoCo" if self.method is Method.MOCO else f"LECL-{self.lesion_weight:g}"


@dataclass(frozen=True, slots=True)
class AblationRun:
    """One training of one variant.

    Attributes:
        variant: What is trained.
        seed: Of first weights, order and views.
        spec: Its settings.
    """

    variant: Variant
    seed: int
    spec: PretrainingSpec

    @property
    def name(self) -> str:
        """Of its folder."""
        architecture = re.sub("[^A-Za-z0-9._-]", "-", self.variant.architecture)
        return f"{architecture}-{self.variant.title.lower()}-seed{self.seed}"


@dataclass(frozen=True, slots=True)
class AblationPlan:
    """All runs of an ablation; every architecture is trained by MoCo v3 and by LECL at every weight.

    Attributes:
        spec: Settings that all runs share.
        architectures: At least one.
        lesion_weights: At least one.
        seeds: How many; they count up from `spec.run.seed`.

    Raises:
        BadPretrainingSetting: Nothing is to be compared, something is named twice, or a weight is out of range.
    """

    spec: PretrainingSpec
    architectures: Sequence[str]
    lesion_weights: Sequence[float] = LESION_WEIGHTS
    seeds: int = 1

    def __post_init__(self) -> None:
        if self.seeds < 1 or not self.architectures or not self.lesion_weights:
            raise BadPretrainingSetting("An ablation needs an architecture, a lesion weight and a seed at least.")
        for named in (self.architectures, self.lesion_weights):
            if len(set(named)) < len(named):
                raise BadPretrainingSetting("An ablation must name no architecture and no lesion weight twice.")
        self.runs()

    @property
    def variants(self) -> tuple[Variant, ...]:
        """By architecture; MoCo v3 first, then LECL by weight."""
        return tuple(
            variant
            for architecture in self.architectures
            for variant in (
                Variant(architecture, Method.MOCO),
                *(Variant(architecture, Method.LECL, float(weight)) for weight in sorted(self.lesion_weights)),
            )
        )

    def runs(self) -> tuple[AblationRun, ...]:
        """Seed by seed, so that what is there after a while compares all variants."""
        values = self.spec.as_dict()
        first = self.spec.run.seed
        return tuple(
            AblationRun(variant, seed, PretrainingSpec.parse(_of_variant(values, variant, seed)))
            for seed in range(first, first + self.seeds)
            for variant in self.variants
        )


def _of_variant(values: JSON, variant: Variant, seed: int) -> JSON:
    return {
        **values,
        "model": {**values["model"], "architecture": variant.architecture},
        "loss": {**values["loss"], "method": variant.method.value, "lesion_weight": variant.lesion_weight},
        "run": {**values["run"], "seed": seed},
    }
