"""From columns to labels."""

from __future__ import annotations

import pytest

from slicebank.benchmark.case import Case
from slicebank.benchmark.label_rules import LabelRule, answers_of, matches
from slicebank.benchmark.task_file import read_task, task_text

STAGE = LabelRule(("Overall.Stage",), ("IIIa", "IIIb"), ("I", "II"))


@pytest.mark.parametrize(
    ("rule", "facts", "answer"),
    [
        (STAGE, {"Overall.Stage": ("IIIb",)}, "1"),
        (STAGE, {"Overall.Stage": ("II",)}, "0"),
        (STAGE, {"Overall.Stage": ("NA",)}, ""),
        (STAGE, {"Overall.Stage": ("IVc",)}, ""),
        (STAGE, {"Stage": ("I",)}, ""),
        (LabelRule(("type",), ("2",)), {"type": ("1", "2")}, "1"),
        (LabelRule(("type",), ("2",)), {"type": ("1", "3")}, "0"),
        (LabelRule(("type",), ("2",)), {"type": ()}, ""),
        (LabelRule(("time",)), {"time": (" 2165 ",)}, "2165"),
        (LabelRule(("time",)), {"time": ("nan",)}, ""),
        (LabelRule(("a[*]*",), ("1",)), {"a*left": ("0",), "a*right": ("1",), "ab*left": ("1",)}, "1"),
        (LabelRule(("a[*]*",), ("1",)), {"a*left": ("0",), "ab*left": ("1",)}, "0"),
    ],
)
def test_answers(rule: LabelRule, facts: dict[str, tuple[str, ...]], answer: str) -> None:
    assert rule.answer(facts) == answer


def test_a_nodule_is_no_large_nodule() -> None:
    rule = read_task(task_text("radchest_findings")).rules["Lung Nodule"]
    assert matches("nodule*left_lung", rule.columns)
    assert not matches("nodulegr1cm*left_lung", rule.columns)


def test_without_rules_columns_are_labels() -> None:
    assert answers_of(Case("a", "p", {"grade": ("2",), "empty": ()}), {}) == {"grade": "2", "empty": ""}
