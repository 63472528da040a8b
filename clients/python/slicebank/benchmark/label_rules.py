"""From what a data set says of a case to the labels of a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from slicebank.benchmark.case import Case

Answers = Mapping[str, str]
_MISSING = frozenset({"", "na", "nan", "none", "null"})


@dataclass(frozen=True, slots=True)
class LabelRule:
    """How one label follows from columns.

    Attributes:
        columns: Patterns of column names, `*` for anything; `[*]` is an asterisk itself.
        positive: Values that mean yes, in any of the columns. None of them and of `negative`: the first value stands as it is.
        negative: Values that mean no; where there are none, every other known value does.
    """

    columns: tuple[str, ...]
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()

    def answer(self, facts: Mapping[str, Sequence[str]]) -> str:
        """Yes as 1, no as 0, or a value as it stands; empty where it is not known."""
        known = [
            value.strip()
            for column, values in facts.items()
            if matches(column, self.columns)
            for value in values
            if value.strip().lower() not in _MISSING
        ]
        if not known:
            return ""
        if not (self.positive or self.negative):
            return known[0]
        if any(value in self.positive for value in known):
            return "1"
        if not self.negative or any(value in self.negative for value in known):
            return "0"
        return ""


def matches(column: str, patterns: Iterable[str]) -> bool:
    """Whether a column is one of those named by patterns."""
    return any(fnmatchcase(column, pattern) for pattern in patterns)


def answers_of(case: Case, rules: Mapping[str, LabelRule]) -> Answers:
    """The labels of one case; without rules, what the data set says stands as it is."""
    if not rules:
        return {column: values[0] if values else "" for column, values in case.facts.items()}
    return {label: rule.answer(case.facts) for label, rule in rules.items()}
