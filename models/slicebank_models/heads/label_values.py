"""What a cell of a labels table says, or a sentence about what to fix in it. No torch here."""

import math
import re

from slicebank_models.errors import MalformedLabels

POSITIVE = frozenset({"1", "1.0", "true", "yes", "positive"})
NEGATIVE = frozenset({"0", "0.0", "false", "no", "negative"})
MISSING = frozenset({"", "na", "n/a", "nan", "none", "null"})

# What spreadsheets make of 1-2, 3/4 or 2021-03-01: ISO and slashed dates with or without a time, 1.2.2024, 01-Feb, Feb 24.
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = re.compile(
    rf"\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}([ t].*)?|\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{2,4}}([ t].*)?"
    rf"|\d{{1,4}}[- ]{_MONTH}([- ]\d{{2,4}})?|{_MONTH}[- ]\d{{1,4}}",
    re.IGNORECASE,
)


def refuse_dates(text: str, number: int, column: str) -> None:
    """Raises MalformedLabels if a cell is a date, which labels never are and spreadsheets make of much else."""
    if _DATE.fullmatch(text.strip()):
        raise MalformedLabels(
            f"{column!r} of case {number} is the date {text[:64]!r}. Spreadsheets turn what looks like a date into one: "
            "format the column as text, enter the label again, and save as CSV."
        )


def read_answer(text: str, number: int, column: str) -> int | None:
    """Returns 0 or 1, or None where it is not known.

    Raises:
        MalformedLabels: It is neither.
    """
    word = text.strip().lower()
    if word in MISSING:
        return None
    if word in POSITIVE or word in NEGATIVE:
        return int(word in POSITIVE)
    refuse_dates(text, number, column)
    raise MalformedLabels(f"{column!r} of case {number} is {text[:64]!r}; use 1, 0, or nothing where it is not known.")


def read_number(text: str, number: int, column: str) -> float | None:
    """Returns a finite number, or None where it is not known.

    Raises:
        MalformedLabels: It is none.
    """
    word = text.strip()
    if word.lower() in MISSING:
        return None
    where = f"{column!r} of case {number} is {text[:64]!r}"
    refuse_dates(text, number, column)
    if re.fullmatch(r"[+-]?\d+(\.\d{3})*,\d*|[+-]?\d{1,3}(,\d{3})+(\.\d*)?", word):
        raise MalformedLabels(f"{where}; write numbers with a decimal point and no other separators, as in 1234.5.")
    try:
        value = float(word) if word.isascii() and "_" not in word else math.nan
    except ValueError:
        value = math.nan
    # Training computes in float32, and squares.
    if not abs(value) < 1e18:
        raise MalformedLabels(f"{where}; use a plain number without a unit, or nothing where it is not known.")
    return value


def read_survival(
    time: str, event: str, number: int, time_column: str, event_column: str
) -> tuple[float | None, float | None]:
    """Returns the time and whether the event happened then (1) or the case was censored (0); both None if not known.

    Raises:
        MalformedLabels: A time that is no positive number, an event that is not 0 or 1, or one without the other.
    """
    duration, happened = read_number(time, number, time_column), read_answer(event, number, event_column)
    if (duration is None) != (happened is None):
        has, lacks = (event_column, time_column) if duration is None else (time_column, event_column)
        raise MalformedLabels(
            f"Case {number} has {has!r} and no {lacks!r}; give both, or neither where it is not known."
        )
    if duration is not None and duration <= 0:
        raise MalformedLabels(
            f"{time_column!r} of case {number} is {time[:64]!r}; the time to the event or to censoring must be above 0. "
            "Name the column of times first, that of events second."
        )
    return duration, happened
