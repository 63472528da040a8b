"""The report of a head: one page with everything that a reader of its figures asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_service.answers.times import iso, iso_or_none
from slicebank_service.context import Context
from slicebank_service.reports.attended import attended_slices, headline
from slicebank_service.reports.measures import DASH, measures_in, number
from slicebank_service.reports.pages import figure_markup, render
from slicebank_service.reports.plots import PLOTS, POOLED, TEST, draw_plot
from slicebank_store.catalogue import HeadRecord, PredictionRecord

JSON = dict[str, Any]
Rows = list[tuple[str, str]]

# A page of tables longer than these is no reading matter; predictions.csv has every case.
_CASES_SHOWN = 500
_LABELS_SHOWN = 100
_SLICES_SHOWN = 6
_LABEL_MEASURES = ("auroc", "auprc", "f1", "sensitivity_at_90_specificity", "brier", "mae", "r2")
_PART_TITLES = {POOLED: "Out-of-fold predictions", TEST: "Test patients"}
# Figures of several panels, which get a row of their own.
_WIDE_INCHES = 6.0


def head_report(context: Context, head: HeadRecord, report: JSON, answers: list[PredictionRecord]) -> str:
    """Writes the page.

    Args:
        context: the application's collaborators.
        head: the version.
        report: what its training wrote; a key that an older format lacks leaves its place empty.
        answers: predictions whose slices are shown.
    """
    task = TaskSpec.parse({key: head.task[key] for key in ("kind", "labels")})
    pooled, test = report.get("pooled") or {}, report.get("test")
    mean, sd = report.get("mean") or {}, report.get("sd") or {}
    folds: list[JSON] = report.get("folds") or []
    measures = measures_in(pooled, mean, test)
    by_label: Mapping[str, JSON] = pooled.get("labels") or {}
    present = measures_in(*by_label.values())
    without_probabilities = task.kind in (TaskKind.REGRESSION, TaskKind.SURVIVAL)
    calibration = {} if without_probabilities else report.get("calibration") or {}
    shown = _cases(report, task)
    return render(
        "head.html",
        head=head,
        task=task,
        outputs=task.outputs,
        warnings=_warnings(head, report),
        measures=measures,
        pooled=pooled,
        test=test,
        mean=mean,
        sd=sd,
        labels=list(by_label.items())[:_LABELS_SHOWN],
        label_measures=[key for key in _LABEL_MEASURES if key in present],
        figures=_figures(report),
        calibration=calibration,
        calibration_sentence=calibration_sentence(calibration),
        calibration_rows=_calibration_rows(calibration),
        tested=bool(report.get("test")),
        attended=[_answer(context, report, answer) for answer in answers],
        data=_data(head, report),
        folds=folds,
        fold_measures=measures_in(*folds),
        cases=shown,
        cases_title=f"Cases with their predictions ({len(shown)}{'' if len(shown) < _CASES_SHOWN else ' first'})",
        made=_made(head, report),
        settings=_settings(head, report),
    )


def calibration_sentence(calibration: Mapping[str, Any]) -> str:
    """How the served probabilities were calibrated, in a sentence."""
    method = calibration.get("method")
    if not method or method == "none":
        return "Probabilities are as the head gives them, not calibrated."
    fitted_on = calibration.get("fitted_on")
    about = fitted_on if isinstance(fitted_on, Mapping) else {"predictions": fitted_on}
    if not about.get("predictions"):
        return f"Served probabilities are calibrated: {method}."
    many = f"{about['n_units']} " if about.get("n_units") else ""
    return f"Served probabilities are calibrated: {method}, fitted on {many}{str(about['predictions']).replace('_', '-')} predictions."


def _figures(report: JSON) -> list[tuple[str, str, list[JSON]]]:
    """Sections of figures: key, title, and what is in each."""
    sections = [
        (part, title, [_shown(report, name, part) for name, plot in PLOTS.items() if plot.by_part])
        for part, title in _PART_TITLES.items()
    ]
    sections.append(("course", "Training", [_shown(report, name) for name, plot in PLOTS.items() if not plot.by_part]))
    return [(key, title, drawn) for key, title, found in sections if (drawn := [plot for plot in found if plot])]


def _shown(report: JSON, name: str, part: str = POOLED) -> JSON | None:
    figure = draw_plot(report, name, part)
    if figure is None:
        return None
    title = PLOTS[name].title
    return {
        "svg": figure_markup(figure, f"{part}-{name}", title),
        "title": title,
        "about": PLOTS[name].about,
        "wide": figure.get_figwidth() > _WIDE_INCHES,
    }


def _warnings(head: HeadRecord, report: JSON) -> list[str]:
    said = [str(sentence) for sentence in report.get("warnings") or ()]
    if head.training_data_deleted:
        said.append(
            "Series that this version learnt from were deleted since: its training cannot be done again as it was."
        )
    return said


def _calibration_rows(calibration: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    before, after = calibration.get("before") or {}, calibration.get("after") or {}
    return [(key, before.get(key), after.get(key)) for key in measures_in(before, after)]


def _answer(context: Context, report: JSON, answer: PredictionRecord) -> JSON:
    return {
        "outputs": headline(answer.outputs),
        "series": answer.series_uid,
        "learnt": "learnt from" if answer.about.get("in_training") else "",
        "slices": attended_slices(context, answer, _SLICES_SHOWN),
    }


def _data(head: HeadRecord, report: JSON) -> Rows:
    pooled, test = report.get("pooled") or {}, report.get("test") or {}
    splits = report.get("splits") or {}
    rows = [
        ("Cases", number(report.get("n_cases", head.n_cases))),
        ("What labels name", number(report.get("n_units"))),
        ("Patients", number(report.get("n_patients"))),
        ("Patients held out for the test", number(len(splits["test"])) if "test" in splits else DASH),
    ]
    for label, values in list((pooled.get("labels") or {}).items())[:_LABELS_SHOWN]:
        in_test = (test.get("labels") or {}).get(label) or {}
        text = _positives(values)
        rows.append((label, f"{text}; test: {_positives(in_test)}" if in_test else text))
    if digest := report.get("data_digest") or _digest(report.get("bag_digests")):
        rows.append(("Digest of the data", digest))
    return rows


def _digest(of_bags: object) -> str:
    """One digest of the digests of all bags; empty where there are none."""
    return hashlib.sha256(json.dumps(of_bags, sort_keys=True).encode()).hexdigest() if of_bags else ""


def _positives(values: Mapping[str, Any]) -> str:
    if "positives" in values:
        return f"{number(values['positives'])} positive of {number(values.get('n'))}"
    return f"{number(values.get('n'))} known"


def _made(head: HeadRecord, report: JSON) -> Rows:
    rows = [
        ("Head", f"{head.name} v{head.version}, {head.head_id}"),
        ("State", f"{head.state.value}{', what its name means' if head.promoted else ''}"),
        ("Encoder", f"{head.encoder}, rows of {head.dim}, {head.level.value} level"),
        ("Recipe", head.recipe_digest),
        ("Windows", ", ".join(str(window["name"]) for window in head.recipe.get("windows") or ())),
        ("Weights of the head", head.sha256),
        ("Made", f"{iso(head.created_at)}, ready {iso_or_none(head.finished_at) or DASH}"),
        ("Training took", f"{number(report['seconds'], 1)} s" if report.get("seconds") is not None else ""),
        ("Device", report.get("device")),
        ("Versions", ", ".join(f"{name} {version}" for name, version in (report.get("versions") or {}).items())),
    ]
    return [(name, str(value)) for name, value in rows if value]


def _settings(head: HeadRecord, report: JSON) -> list[tuple[str, Rows]]:
    found = [
        ("Head", report.get("head") or head.head),
        ("Training, with its seed", report.get("training") or head.training),
        ("Protocol", report.get("protocol") or head.protocol),
    ]
    calibration = (report.get("calibration") or {}).get("parameters")
    if isinstance(calibration, Mapping):
        found.append(("Calibration", dict(calibration)))
    return [(title, [(name, _setting(value)) for name, value in values.items()]) for title, values in found if values]


def _setting(value: object) -> str:
    if value is None:
        return DASH
    if isinstance(value, Mapping | list):
        text = json.dumps(value)
        return text if len(text) <= 300 else f"{text[:297]}..."
    return str(value)


def _cases(report: JSON, task: TaskSpec) -> list[JSON]:
    """Cases without their patients, in the order of the report."""
    known: list[JSON] = report.get("cases") or []
    found = []
    for row in [*(report.get("out_of_fold") or ()), *(report.get("test_predictions") or ())][:_CASES_SHOWN]:
        outputs = row.get("outputs") or row.get("probabilities") or ()
        if len(outputs) != task.n_outputs:
            continue
        case = known[row["index"]] if isinstance(row.get("index"), int) and row["index"] < len(known) else {}
        found.append(
            {
                "series": case.get("series_uid", row.get("index", "")),
                "part": "test" if row.get("fold") is None else f"fold {row['fold']}",
                "known": _known(task, row.get("target") or ()),
                "outputs": outputs,
            }
        )
    return found


def _known(task: TaskSpec, target: Any) -> str:
    values = list(target)
    if task.kind is TaskKind.MULTICLASS:
        return DASH if not values or values[0] is None else task.labels[int(values[0])]
    if task.kind is TaskKind.SURVIVAL and len(values) == 2:
        return f"{number(values[0])}{'' if values[1] else ' (censored)'}"
    if task.kind is TaskKind.REGRESSION:
        return ", ".join(number(value) for value in values)
    return ", ".join(DASH if value is None else f"{value:g}" for value in values)
