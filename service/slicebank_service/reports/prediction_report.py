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
    # Ranks of the list below: slices of other series are not in the figure.
    marked = {item.rank: item.slice_index for item in slices if item.series_uid == prediction.series_uid}
    shares = [row["weight"] for row in prediction.attention["rows"]]
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
        curves=_curves(prediction, shares, marked, "attention", "Attention over the slices"),
        by_label=[
            (label, drawn)
            for place, (label, weights) in enumerate(_by_label(prediction))
            if (drawn := _curves(prediction, weights, marked, f"label{place}", f"Attention for {label}")) is not None
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


def _by_label(prediction: PredictionRecord) -> list[tuple[str, list[float]]]:
    """Attention of the most probable labels, in the order of the rows, where the head has one for each."""
    weights = {item["label"]: item["weights"] for item in prediction.attention.get("labels") or ()}
    ranked = sorted(prediction.outputs, key=lambda output: -(output.get("probability") or 0.0))
    return [(item["label"], weights[item["label"]]) for item in ranked[:_LABELS_DRAWN] if item["label"] in weights]


def _curves(
    prediction: PredictionRecord, weights: Sequence[float], marked: Mapping[int, int], name: str, title: str
) -> Markup | None:
    """Attention over the slices as a part of the page; of several series over those of the one with the most slices.

    Args:
        prediction: with its rows.
        weights: attention, in the order of the rows.
        marked: slices by their ranks.
        name: of the figure in the page.
        title: of the figure.
    """
    rows: list[JSON] = prediction.attention["rows"]
    windows = list(dict.fromkeys(str(row["window"]) for row in rows))
    mine = [place for place, row in enumerate(rows) if row.get("series_uid") in (None, prediction.series_uid)]
    if not mine:
        return None
    figure = attention_figure(
        AttentionCurves(
            windows=windows,
            slice_index=np.array([rows[place]["slice_index"] for place in mine], np.int32),
            window_index=np.array([windows.index(str(rows[place]["window"])) for place in mine], np.int8),
            weights=np.array([weights[place] for place in mine], np.float64),
            top=marked,
        )
    )
    return None if figure is None else figure_markup(figure, name, title)


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
