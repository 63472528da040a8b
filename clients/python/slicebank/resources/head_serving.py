"""What is done with trained heads: rolling back, measuring elsewhere, asking about cohorts and every new bag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from slicebank.labels import labels_payload
from slicebank.records import (
    CasePrediction,
    Cohort,
    Evaluation,
    EvaluationStarted,
    Head,
    HeadComparison,
    decode,
    decode_all,
)
from slicebank.resources.download import save_bytes
from slicebank.resources.paging import paged
from slicebank.resources.path import url_part
from slicebank.transport import Transport

Labels = str | PathLike[str] | Sequence[Mapping[str, Any]] | Mapping[str, Any]


class HeadServing:
    """The part of `client.heads` that serves."""

    _transport: Transport

    def rollback(self, head: str) -> Head:
        """Make a name mean the version that it meant before; again, the one before that.

        Raises:
            NotFound: no such head.
            Conflict: it meant no other version before that is still there.
        """
        return decode(Head, self._transport.send("POST", f"/v1/heads/{url_part(head)}/rollback"))

    def evaluate(
        self,
        head: str,
        labels: Labels,
        *,
        name: str = "",
        strict: bool = False,
        keep_learnt: bool = False,
        bootstrap: int | None = None,
        key: str = "series_uid",
    ) -> EvaluationStarted:
        """Queue measuring a head on another labelled cohort; wait for it with `client.jobs.wait(started.job_id)`.

        Args:
            head: id or name.
            labels: as for training, with the head's labels as columns.
            name: what you call the cohort.
            strict: refuse when a row has no bag or no label.
            keep_learnt: measure patients that the head has learnt from too; they are left out, and counted, otherwise.
            bootstrap: resamplings of patients for 95 % intervals; the server's default otherwise.
            key: what the keys are where labels are a mapping by key.

        Raises:
            BadLabels: the table cannot be read.
            InvalidRequest: no row matches a bag, or the head has learnt from all of them.
        """
        body = {
            "labels": labels_payload(labels, names=(), key=key),
            "name": name,
            "strict": strict,
            "keep_learnt": keep_learnt,
            **({} if bootstrap is None else {"bootstrap": bootstrap}),
        }
        return decode(
            EvaluationStarted, self._transport.send("POST", f"/v1/heads/{url_part(head)}/evaluations", body=body)
        )

    def evaluations(self, head: str, *, limit: int | None = None) -> Iterator[Evaluation]:
        """Walk the evaluations of a head version, newest first."""
        return paged(self._transport, f"/v1/heads/{url_part(head)}/evaluations", Evaluation, {}, limit=limit)

    def evaluation(self, evaluation_id: str) -> Evaluation:
        """One evaluation with the prediction of every case.

        Raises:
            NotFound: no such evaluation.
        """
        return decode(Evaluation, self._transport.get(f"/v1/evaluations/{url_part(evaluation_id)}"))

    def compare(self, head: str, other: str, *, part: str = "pooled") -> HeadComparison:
        """Compare two heads of one task on the cases that both measured: DeLong's test for AUROC, else a paired bootstrap.

        Args:
            head: id or name.
            other: id or name of the second head.
            part: `pooled` for out-of-fold predictions, or `test`.

        Raises:
            NotFound: no such head.
            Conflict: they are of different tasks, or measured no case in common.
        """
        path = f"/v1/heads/{url_part(head)}/comparison"
        return decode(HeadComparison, self._transport.get(path, {"other": other, "part": part}))

    def predict_cohort(self, head: str, cases: Sequence[str | Mapping[str, str]]) -> Cohort:
        """Ask a head about many cases as one group; wait for it with `client.cohorts.wait(cohort.group_id)`.

        Args:
            head: id or name.
            cases: series UIDs, or mappings of one of series_uid, study_uid and bag_id; at most 10,000.

        Raises:
            NotFound: no such head.
        """
        wanted = [case if isinstance(case, str) else dict(case) for case in cases]
        path = f"/v1/heads/{url_part(head)}/predictions"
        return decode(Cohort, self._transport.send("POST", path, body={"cohort": wanted}, repeatable=True))

    def cohort_predictions(self, group_id: str) -> tuple[CasePrediction, ...]:
        """What a head said of each case of a cohort.

        Raises:
            NotFound: no such cohort.
        """
        return decode_all(
            CasePrediction, self._transport.get(f"/v1/groups/{url_part(group_id)}/predictions").get("items")
        )

    def cohort_table(self, group_id: str, path: str | PathLike[str] | None = None) -> str:
        """The same as CSV; also written to `path` when one is given.

        Raises:
            NotFound: no such cohort.
            InputError: the path cannot be written.
        """
        table = self._transport.get_bytes(f"/v1/groups/{url_part(group_id)}/predictions.csv", accept="text/csv")
        if path is not None:
            save_bytes(Path(path).expanduser(), table)
        return table.decode()

    def on_embedded(self) -> tuple[str, ...]:
        """Names and ids of the heads that answer about every new bag of their recipe."""
        return self._named(self._transport.get("/v1/on_embedded"))

    def set_on_embedded(self, heads: Sequence[str]) -> tuple[str, ...]:
        """Name them anew; none for none.

        Raises:
            NotFound: no such head.
        """
        return self._named(self._transport.send("PUT", "/v1/on_embedded", body={"heads": list(heads)}, repeatable=True))

    @staticmethod
    def _named(answer: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(str(item["head"]) for item in answer.get("items") or ())
