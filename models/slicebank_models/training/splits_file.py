"""Splits as people pass them on: ours, and the `splits.json` of STAMP. No torch and no NumPy here: a service reads them too.

Ours is `{"test": [...], "folds": [{"train": [...], "validation": [...], "stopping": [...], "repeat": 0}]}`, patients by name;
`stopping`, `repeat` and `test` may be left out. STAMP's is `{"splits": [{"train_patients": [...], "test_patients": [...]}]}`:
its test patients are what is measured in the fold. What we write holds both; STAMP ignores what it does not know.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from slicebank_models.errors import BadSplits, PatientLeak
from slicebank_models.heads.spec import TrainingSpec

JSON = dict[str, Any]

MAX_FOLDS = 1000  # 50 repeats of 20 folds; bounds the trainings that a file can ask for
_NAMED = 5  # patients named in an error: enough to find them


@dataclass(frozen=True, slots=True)
class GivenFold:
    """Patients of one fold by name; an empty `stopping` leaves the choice to the protocol."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    stopping: tuple[str, ...]
    repeat: int


@dataclass(frozen=True, slots=True)
class GivenSplits:
    """Splits by the names of patients."""

    test: tuple[str, ...]
    folds: tuple[GivenFold, ...]

    @property
    def patients(self) -> frozenset[str]:
        """Everybody whom the splits name."""
        inside = (part for fold in self.folds for part in (fold.train, fold.validation, fold.stopping))
        return frozenset(self.test).union(*inside)


def read_splits(splits: Mapping[str, Any]) -> GivenSplits:
    """Reads ours (`folds`) or STAMP's (`splits`); ours where both are there.

    Raises:
        BadSplits: It is neither, or a part of it is no list of names.
        PatientLeak: A patient is on both sides of a fold, or in the test part and in a fold.
    """
    if isinstance(folds := splits.get("folds"), list):
        read = tuple(_fold(at, fold, ("train", "validation", "stopping")) for at, fold in enumerate(folds))
        test = _names(splits.get("test", []), "test")
    elif isinstance(folds := splits.get("splits"), list):
        read = tuple(_fold(at, fold, ("train_patients", "test_patients", "")) for at, fold in enumerate(folds))
        test = ()
    else:
        raise BadSplits(
            'The splits have neither "folds" (ours) nor "splits" (STAMP\'s); send the object that splits.json holds.'
        )
    if not 1 <= len(read) <= MAX_FOLDS:
        raise BadSplits(f"The splits have {len(read)} folds; 1 to {MAX_FOLDS} can be used.")
    for at, fold in enumerate(read):
        _apart(fold.train, fold.validation, f"on both sides of fold {at}")
        _apart(fold.train, fold.stopping, f"learnt from and stopped on in fold {at}")
        _apart(fold.validation, fold.stopping, f"measured and stopped on in fold {at}")
        for part in (fold.train, fold.validation, fold.stopping):
            _apart(test, part, f"in the test part and in fold {at}")
    return GivenSplits(test, read)


def rename_patients(splits: Mapping[str, Any], rename: Callable[[str], str]) -> JSON:
    """Returns splits with other names of the patients, in our layout; for a service that knows patients by pseudonyms.

    Raises:
        BadSplits: See `read_splits`.
        PatientLeak: See `read_splits`.
    """
    given = read_splits(splits)

    def renamed(patients: Sequence[str]) -> list[str]:
        return [rename(patient) for patient in patients]

    return {
        "test": renamed(given.test),
        "folds": [
            {
                "repeat": fold.repeat,
                "train": renamed(fold.train),
                "validation": renamed(fold.validation),
                **({"stopping": renamed(fold.stopping)} if fold.stopping else {}),
            }
            for fold in given.folds
        ],
    }


def with_stamp_layout(splits: Mapping[str, Any]) -> JSON:
    """Returns our splits with STAMP's list beside them, so that one file serves both.

    STAMP learns from what our fold learns from or is stopped by, and measures what it measures; a held-out test part is in none of
    its lists.
    """
    folds = splits["folds"]
    stamp = [
        {
            "train_patients": sorted([*fold["train"], *fold.get("stopping", [])]),
            "test_patients": list(fold["validation"]),
        }
        for fold in folds
    ]
    return {**splits, "splits": stamp}


def check_given(splits: Mapping[str, Any], patients: Collection[str]) -> tuple[str, ...]:
    """Refuses given splits that leave a fold without labelled patients on a side, before any time is spent.

    Args:
        splits: `ProtocolSpec.splits`.
        patients: Those with a known label and a bag.

    Returns:
        Warnings about patients that are in one of both alone.

    Raises:
        BadSplits: A fold has nobody to learn from or nobody to measure; or see `read_splits`.
        PatientLeak: See `read_splits`.
    """
    given, known = read_splits(splits), set(patients)
    for at, fold in enumerate(given.folds):
        for verb, part in (("train on", fold.train), ("measure", fold.validation)):
            if known.isdisjoint(part):
                raise BadSplits(
                    f"Fold {at} of the given splits leaves no labelled patient to {verb} ({len(fold.train)} patients to train "
                    f"on and {len(fold.validation)} to measure are named). Check that patients are written as in the labels."
                )
    warnings = []
    if absent := len(given.patients - known):
        warnings.append(f"{absent} patients of the given splits have no labelled bag and are left out of them.")
    if left := len(known - given.patients):
        warnings.append(f"{left} labelled patients are in no part of the given splits and are left out.")
    return tuple(warnings)


def as_given(training: TrainingSpec, splits: Mapping[str, Any] | None) -> TrainingSpec:
    """Returns the settings with as many folds as given splits have and no test share, for checks before training.

    Args:
        training: Settings.
        splits: `ProtocolSpec.splits`; None leaves the settings as they are.

    Raises:
        BadSplits: See `read_splits`.
        PatientLeak: See `read_splits`.
    """
    if splits is None:
        return training
    folds = read_splits(splits).folds
    most = max(sum(fold.repeat == repeat for fold in folds) for repeat in {fold.repeat for fold in folds})
    return replace(training, folds=most, test_fraction=0.0)


def _fold(at: int, fold: object, keys: tuple[str, str, str]) -> GivenFold:
    if not isinstance(fold, dict):
        raise BadSplits(f"Fold {at} of the splits is no object.")
    train, validation, stopping = keys
    if absent := [key for key in (train, validation) if key not in fold]:
        raise BadSplits(f"Fold {at} of the splits has no {' and no '.join(absent)}.")
    repeat = fold.get("repeat", 0)
    if isinstance(repeat, bool) or not isinstance(repeat, int) or not 0 <= repeat < MAX_FOLDS:
        raise BadSplits(f"The repeat of fold {at} of the splits must be a whole number from 0 to {MAX_FOLDS - 1}.")
    return GivenFold(
        train=_names(fold[train], f"{train} of fold {at}"),
        validation=_names(fold[validation], f"{validation} of fold {at}"),
        stopping=_names(fold.get(stopping, []), f"{stopping} of fold {at}"),
        repeat=repeat,
    )


def _names(value: object, where: str) -> tuple[str, ...]:
    # Numbers are taken: tables of patients often hold nothing else, and JSON keeps them apart from text.
    if not isinstance(value, list) or not all(
        isinstance(name, str) or (isinstance(name, int) and not isinstance(name, bool)) for name in value
    ):
        raise BadSplits(f"{where[:64]} of the splits must be a list of patients.")
    return tuple(dict.fromkeys(str(name) for name in value))


def _apart(first: Sequence[str], second: Sequence[str], where: str) -> None:
    if shared := sorted(set(first) & set(second)):
        more = f" and {len(shared) - _NAMED} more" if len(shared) > _NAMED else ""
        named = ", ".join(patient[:64] for patient in shared[:_NAMED])
        raise PatientLeak(
            f"Patient {named}{more} of the given splits: {where}. What is measured must not have been learnt from; "
            "take the patient out of one side."
        )
