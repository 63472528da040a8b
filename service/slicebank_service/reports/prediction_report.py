"""The report of a prediction: the answer, where the head looked, and what is to be known before it is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from slicebank_service.answers.times import iso
from slicebank_service.context import Context
from slicebank_service.reports.attended import attended_slices, headline
from slicebank_service.reports.course_figures import AttentionCurves, attention_figure
from slicebank_service.reports.head_report import calibration_sentence
from slicebank_service.reports.measures import DASH, measure_name, measures_in, number, with_interval
from slicebank_service.reports.pages import figure_markup, render
from slicebank_store.catalogue import BagRecord, HeadRecord, PredictionRecord

JSON = dict[str, Any]
Rows = list[tuple[str, str]]

_COLUMNS: Mapping[str, str] = {
    "probability": "probability",
    "raw_probability": "before calibration",
    "fold_std": "sd over folds",
    "value": "value",
    "logit": "logit",
}
# Of a task with more labels only those of the most probable answers get a figure of their own.
_LABELS_DRAWN = 6


def prediction_report(context: Context, prediction: PredictionRecord, top: int) -> str:
    """Writes the page.

    Args:
        context: the application's collaborators.
        prediction: its row.
        top: slices shown, most attended first.
    """
    head = context.catalogue.heads.get(context.project, prediction.head_id)
    bag = context.catalogue.bags.get(context.project, prediction.bag_id)
    report = (context.catalogue.heads.report(context.project, prediction.head_id) if head is not None else None) or {}
    slices = attended_slices(context, prediction, top)
    columns = [key for key in _COLUMNS if any(output.get(key) is not None for output in prediction.outputs)]
    marked = [item.slice_index for item in slices]
    return render(
        "prediction.html",
        headline=headline(prediction.outputs),
        series=prediction.series_uid,
        head_name=f"{head.name} v{head.version}" if head is not None else prediction.head_id,
        encoder=bag.encoder if bag is not None else "unknown",
        asked_at=iso(prediction.created_at),
        warnings=_warnings(prediction, head),
        columns=["label", *(_COLUMNS[key] for key in columns)],
        rows=[[output["label"], *(number(output.get(key)) for key in columns)] for output in prediction.outputs],
        calibration_sentence=_calibrated(prediction.outputs, report),
        curves=_curves(prediction, marked, None, "attention", "Attention over the slices"),
        by_label=[
            (label, drawn)
            for place, label in enumerate(_labels_drawn(prediction))
            if (drawn := _curves(prediction, marked, label, f"label{place}", f"Attention for {label}")) is not None
        ],
        slices=slices,
        head_facts=_head_facts(head, report),
        facts=_facts(prediction, bag),
    )


def _warnings(prediction: PredictionRecord, head: HeadRecord | None) -> list[str]:
    said = []
    if prediction.about.get("in_training"):
        said.append(
            "The head has learnt from this patient: the answer says nothing about how well it does on new ones."
        )
    if head is None:
        said.append("The head was removed since.")
    elif not head.promoted:
        said.append(f"This is version {head.version} of {head.name}, which is not the one that the name means now.")
    return said


def _calibrated(outputs: Sequence[Mapping[str, Any]], report: JSON) -> str:
    if all(output.get("probability") is None for output in outputs):
        return "Values are as the head gives them; of survival the logarithm of the hazard ratio against the mean of training."
    if any(output.get("calibrated") for output in outputs):
        return calibration_sentence(report.get("calibration") or {"method": "yes"})
    return calibration_sentence({})


def _labels_drawn(prediction: PredictionRecord) -> list[str]:
    rows = prediction.attention["rows"]
    if not rows or not isinstance(rows[0].get("labels"), Mapping):
        return []
    ranked = sorted(prediction.outputs, key=lambda output: -(output.get("probability") or 0.0))
    return [output["label"] for output in ranked[:_LABELS_DRAWN] if output["label"] in rows[0]["labels"]]


def _curves(
    prediction: PredictionRecord, marked: Sequence[int], label: str | None, name: str, title: str
) -> Markup | None:
    """Attention as a part of the page: of all labels together, or of one."""
    rows: list[JSON] = prediction.attention["rows"]
    windows = list(dict.fromkeys(str(row["window"]) for row in rows))
    # Of several series the one with the most slices: slices of different series share no axis.
    mine = [row for row in rows if row.get("bag_id") in (None, prediction.bag_id)]
    if not mine:
        return None
    weights = [_weight(row, label) for row in mine]
    figure = attention_figure(
        AttentionCurves(
            windows=windows,
            slice_index=np.array([row["slice_index"] for row in mine], np.int32),
            window_index=np.array([windows.index(str(row["window"])) for row in mine], np.int8),
            weights=np.array(weights, np.float64),
            top=marked,
        )
    )
    return None if figure is None else figure_markup(figure, name, title)


def _weight(row: JSON, label: str | None) -> float:
    return float(row["weight"] if label is None else row["labels"][label]["weight"])


def _head_facts(head: HeadRecord | None, report: JSON) -> Rows:
    if head is None:
        return [("Head", "removed")]
    pooled, test = report.get("pooled") or {}, report.get("test") or {}
    architecture = (report.get("head") or head.head or {}).get("architecture")
    rows = [
        ("Head", f"{head.name} v{head.version}, {head.head_id}"),
        ("Task", f"{head.task['kind']}: {', '.join(head.task['labels'])}"),
        ("Architecture", str(architecture or DASH)),
        (
            "Learnt from",
            f"{number(report.get('n_cases', head.n_cases))} cases of {number(report.get('n_patients'))} patients",
        ),
        ("Made", iso(head.created_at)),
        ("Recipe of its bags", head.recipe_digest),
    ]
    for key in measures_in(pooled)[:4]:
        text = with_interval(pooled, key)
        rows.append((f"{measure_name(key)}, out of fold", f"{text}; test {with_interval(test, key)}" if test else text))
    return rows


def _facts(prediction: PredictionRecord, bag: BagRecord | None) -> Rows:
    known = prediction.about.get("in_training")
    series = [str(item["series_uid"]) for item in prediction.about.get("series") or ()] or [prediction.series_uid]
    rows = [
        ("Prediction", prediction.prediction_id),
        ("Study", prediction.study_uid),
        ("Series", ", ".join(series)),
        ("How they were chosen", str(prediction.about.get("rule") or DASH)),
        ("Bag", prediction.bag_id),
        ("Learnt from by the head", "unknown" if known is None else "yes" if known else "no"),
    ]
    if bag is not None:
        rows.append(("Slices", f"{bag.n_slices}, {len(bag.skipped)} left out"))
        rows.append(("Recipe", bag.recipe_digest))
    return rows
