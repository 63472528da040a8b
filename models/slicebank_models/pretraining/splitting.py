"""Which patients' slices are trained on and which are kept out. No torch here."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from slicebank_models.errors import BadPretrainingSetting

# Keeps the stream apart from others that are keyed by seed and a count.
_STREAM = int.from_bytes(b"split", "big")


class SplitCache(Protocol):
    """What of a slice cache decides a split."""

    @property
    def patients(self) -> NDArray[np.int32]:
        """(n,) number of each slice's patient."""
        ...

    @property
    def annotated(self) -> NDArray[np.bool_]:
        """(n,) whether a slice has a lesion box."""
        ...


def split_patients(cache: SplitCache, fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draws patients to keep out, the same share of those with and of those without boxes.

    Cache and seed decide the draw. At least one patient is on either side where there are two and `fraction` is above 0.

    Args:
        cache: The slices.
        fraction: Share of the patients to keep out, from 0 to below 1.
        seed: Of the draw.

    Returns:
        Places of the slices to train on, and of those of the patients kept out; ascending, disjoint, together all.

    Raises:
        BadPretrainingSetting: `fraction` is none.
    """
    if not 0.0 <= fraction < 1.0:
        raise BadPretrainingSetting(f"run.validation_fraction must be from 0 to below 1, not {fraction!r}.")
    patients = np.asarray(cache.patients)
    names = np.unique(patients)
    with_boxes = np.isin(names, patients[np.asarray(cache.annotated, bool)])
    stream = np.random.Philox(key=np.array([seed, 0], np.uint64), counter=np.array([0, 0, 0, _STREAM], np.uint64))
    generator = np.random.Generator(stream)
    # Both kinds are drawn from in turn, those with boxes first, so that every share of the drawn order holds both evenly;
    # the only one of its kind is trained on.
    order = np.empty(0, names.dtype)
    rank = np.empty(0, np.float64)
    for kind in (names[with_boxes], names[~with_boxes]):
        order = np.append(order, generator.permutation(kind))
        rank = np.append(rank, np.arange(len(kind)) / len(kind) if len(kind) > 1 else np.ones(len(kind)))
    drawn = order[np.argsort(rank, kind="stable")]
    count = round(fraction * len(names))
    if fraction > 0 and len(names) > 1:
        count = min(max(count, 1), len(names) - 1)
    held_out = np.isin(patients, drawn[:count]) if len(names) > 1 else np.zeros(len(patients), bool)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
