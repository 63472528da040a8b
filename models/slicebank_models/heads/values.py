"""Settings given by name, read strictly. No torch here."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from slicebank_models.errors import BadTrainingValue

Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Range:
    """What a number may be.

    Attributes:
        whole: Whether it must be a whole number.
        lowest: It may be this.
        highest: It may be this.
    """

    whole: bool
    lowest: float
    highest: float


def number(name: str, value: object, within: Range) -> float | int:
    """Returns a number of the range.

    Raises:
        BadTrainingValue: It is none.
    """
    wanted = f"{name} must be a {'whole ' if within.whole else ''}number from {within.lowest:g} to {within.highest:g}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadTrainingValue(f"{wanted}, not {_shown(value)}.")
    # The range comes first: it refuses NaN and infinity, and compares whole numbers that no float can hold.
    if not within.lowest <= value <= within.highest or (within.whole and value != int(value)):
        raise BadTrainingValue(f"{wanted}, not {_shown(value)}.")
    return int(value) if within.whole else float(value)


def flag(name: str, value: object) -> bool:
    """Returns true or false.

    Raises:
        BadTrainingValue: It is neither.
    """
    if not isinstance(value, bool):
        raise BadTrainingValue(f"{name} must be true or false, not {_shown(value)}.")
    return value


def choice(name: str, value: object, among: type[Choice]) -> Choice:
    """Returns one of the choices.

    Raises:
        BadTrainingValue: It is none of them.
    """
    try:
        return among(str(value))
    except ValueError as error:
        raise BadTrainingValue(f"{name} must be one of {', '.join(among)}, not {_shown(value)}.") from error


def _shown(value: object) -> str:
    # Lists and objects may be as large and as deep as a request may be.
    return repr(value)[:40] if value is None or isinstance(value, str | int | float) else type(value).__name__
