"""`slicebank predict --cohort`: a head asked about many cases, as one group of jobs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from slicebank.cli.progress import CohortBar
from slicebank.cli.session import Session
from slicebank.errors import BadTable
from slicebank.records import Output

_KEYS = ("series_uid", "study_uid", "bag_id")


def predict_cohort(session: Session, head: str, cohort: Path, table: Path | None) -> None:
    """Asks, waits, and prints or saves the answers; those without one are said with why.

    Raises:
        BadTable: the file has no column that names cases.
    """
    output = session.output
    with session.client() as client:
        group = client.heads.predict_cohort(head, read_cases(cohort))
        bar = CohortBar(output)
        with bar:
            client.cohorts.wait(group.group_id, on_progress=bar)
        answers = client.heads.cohort_predictions(group.group_id)
        if table is not None:
            client.heads.cohort_table(group.group_id, table)
    if output.as_json:
        output.json({"group_id": group.group_id, "items": answers})
        return
    failed = [answer for answer in answers if answer.error]
    if table is None:
        labels = list(dict.fromkeys(item.label for answer in answers for item in answer.outputs))
        rows = []
        for answer in answers:
            by_label = {item.label: item.figure for item in answer.outputs}
            rows.append((answer.case, answer.series_uid, *(by_label.get(label) for label in labels), answer.state))
        output.table(("case", "series", *labels, "state"), rows, empty="There is no case.")
    else:
        output.say(f"{len(answers) - len(failed)} answers: {table}")
    for answer in failed[:10]:
        output.note(escape(f"Case {answer.case}: {answer.error.get('detail')} [{answer.error.get('code')}]"))
    learnt = sum(answer.in_training is True for answer in answers)
    if learnt:
        output.note(f"[yellow]Warning:[/] the head has learnt from the patients of {learnt} cases.")


def read_cases(path: Path) -> list[dict[str, str]]:
    """Cases of a CSV by its first column, whatever else it holds.

    Raises:
        BadTable: that column is not series_uid, study_uid or bag_id, or there are no rows.
    """
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    first = text.lstrip().split("\n", 1)[0]
    delimiter = max((",", ";", "\t"), key=first.count)
    header, *rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(row)] or [[]]
    key = header[0].strip().lower() if header else ""
    if key not in _KEYS:
        raise BadTable(
            f"The first column of {path.name} must be series_uid, study_uid or bag_id, and the first line must say which."
        )
    cases = [{key: row[0].strip()} for row in rows if row and row[0].strip()]
    if not cases:
        raise BadTable(f"{path.name} has a header and no cases.")
    return cases


def figure_name(outputs: Sequence[Output]) -> str:
    """What the answers are: probabilities, calibrated or not, or values."""
    if outputs and outputs[0].probability is None:
        return "value"
    return "calibrated probability" if outputs and outputs[0].calibrated else "probability"
