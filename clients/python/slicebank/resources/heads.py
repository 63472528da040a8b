"""`client.heads`: training heads on stored bags, and asking them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from slicebank.errors import InputError, UnexpectedAnswer
from slicebank.labels import labels_payload
from slicebank.records import Head, HeadTraining, Plot, Prediction, Task, decode, decode_all
from slicebank.resources.download import save_bytes
from slicebank.resources.head_serving import HeadServing, Labels
from slicebank.resources.jobs import JobsResource, OnJob
from slicebank.resources.paging import paged
from slicebank.resources.path import url_part
from slicebank.resources.predictions import PredictionsResource
from slicebank.transport import Transport


class HeadsResource(HeadServing):
    """Heads: train, look up, promote, remove, and predict."""

    def __init__(self, transport: Transport, jobs: JobsResource, predictions: PredictionsResource) -> None:
        self._transport = transport
        self._jobs = jobs
        self._predictions = predictions

    def train(
        self,
        name: str,
        encoder: str | None,
        task: Task | Mapping[str, Any],
        labels: Labels,
        training: Mapping[str, Any] | None = None,
        *,
        head: Mapping[str, Any] | None = None,
        protocol: Mapping[str, Any] | None = None,
        strict: bool = False,
        key: str = "series_uid",
    ) -> HeadTraining:
        """Queue the training of a head on the bags that exist; wait for it with `client.jobs.wait(training.job_id)`.

        Args:
            name: groups the versions of a head.
            encoder: the encoder whose bags are read; None for the server's default.
            task: kind (binary, multilabel, multiclass, regression or survival) and labels; without labels, all columns of the
                table.
            labels: path of a CSV, CSV text, rows as mappings, or a mapping from key to label value (or to a mapping
                from label to value). In a table, the first column is series_uid, study_uid or patient.
            training: any of lr, batch_size, max_epochs, patience, weight_decay, folds, seed, max_rows, windows and
                test_fraction; the published protocol stands for the rest.
            head: any of architecture, width, dropout, instance_weight and instances; the published head otherwise.
            protocol: how it is judged: any of validation, repeats, stratify, preserve_sites, site_column, pooling, calibration,
                bootstrap and splits.
            strict: refuse when a row has no bag, instead of leaving it out.
            key: what the keys are where labels are a mapping by key.

        Raises:
            BadLabels: the table cannot be read.
            InvalidRequest: no row matches a bag, one class only, or an unknown training key.
        """
        chosen = {"kind": task.kind, "labels": list(task.labels)} if isinstance(task, Task) else dict(task)
        body = {
            "name": name,
            **({} if encoder is None else {"encoder": encoder}),
            "task": chosen,
            "labels": labels_payload(labels, names=tuple(chosen.get("labels") or ()), key=key),
            "training": dict(training or {}),
            **({} if head is None else {"head": dict(head)}),
            **({} if protocol is None else {"protocol": dict(protocol)}),
            "strict": strict,
        }
        return decode(HeadTraining, self._transport.send("POST", "/v1/heads", body=body))

    def list(self, *, name: str | None = None, limit: int | None = None) -> Iterator[Head]:
        """Walk the heads of the project."""
        return paged(self._transport, "/v1/heads", Head, {"name": name}, limit=limit)

    def get(self, head: str) -> Head:
        """One head by id, or the promoted version of a name.

        Raises:
            NotFound: no such head.
        """
        return decode(Head, self._transport.get(f"/v1/heads/{url_part(head)}"))

    def delete(self, head: str) -> None:
        """Remove a head; removing it twice is no error."""
        self._transport.send("DELETE", f"/v1/heads/{url_part(head)}")

    def promote(self, head_id: str) -> Head:
        """Make a version the one its name stands for."""
        answer = self._transport.send("POST", f"/v1/heads/{url_part(head_id)}/promote", repeatable=True)
        return decode(Head, answer) if "head_id" in answer else self.get(head_id)

    def report(self, head: str, path: str | PathLike[str] | None = None) -> str:
        """Everything about a head version as one HTML page that loads nothing; also written to `path` when one is given.

        Raises:
            NotFound: no such head.
            Conflict: it is not trained.
            InputError: the path cannot be written.
        """
        page = self._transport.get_bytes(f"/v1/heads/{url_part(head)}/report", accept="text/html")
        if path is not None:
            save_bytes(Path(path).expanduser(), page)
        return page.decode()

    def plots(self, head: str) -> tuple[Plot, ...]:
        """The figures of a head version.

        Raises:
            NotFound: no such head.
            Conflict: it is not trained.
        """
        return decode_all(Plot, self._transport.get(f"/v1/heads/{url_part(head)}/plots").get("items"))

    def plot(self, head: str, name: str, path: str | PathLike[str] | None = None, *, part: str = "pooled") -> bytes:
        """One figure as SVG; also written to `path` when one is given.

        Args:
            head: id or name.
            name: of the figure, as `plots` gives it.
            path: of the file.
            part: `pooled` for out-of-fold predictions, or `test`.

        Raises:
            NotFound: no such head or figure.
            InputError: the path cannot be written.
        """
        drawn = self._transport.get_bytes(
            f"/v1/heads/{url_part(head)}/plots/{url_part(name)}", accept="image/svg+xml", query={"part": part}
        )
        if path is not None:
            save_bytes(Path(path).expanduser(), drawn)
        return drawn

    def predict(
        self,
        head: str,
        series_uid: str | None = None,
        *,
        bag_id: str | None = None,
        study_uid: str | None = None,
        timeout: float | None = None,
        on_progress: OnJob | None = None,
    ) -> Prediction:
        """Ask a head about one series, bag or study; where a bag must be made first, wait for that.

        Args:
            head: id or name.
            series_uid: the series, or one of the two below instead.
            bag_id: a bag of the head's recipe.
            study_uid: a study; the answer names the series that was used.
            timeout: seconds to wait where a job is needed.
            on_progress: called with that job after every answer.

        Raises:
            InputError: not exactly one of the three was given.
            NotFound: no such head, series, bag or study.
            Conflict: the series has no bag of the head's recipe and its pixels were not kept.
            JobFailed, WaitTimedOut: about the job that was needed.
        """
        wanted = {"series_uid": series_uid, "bag_id": bag_id, "study_uid": study_uid}
        body = {name: value for name, value in wanted.items() if value is not None}
        if len(body) != 1:
            raise InputError(
                "A prediction is about exactly one series, bag or study.", hint="Give one of the three ids."
            )
        answer = self._transport.send("POST", f"/v1/heads/{url_part(head)}/predictions", body=body, repeatable=True)
        if "outputs" in answer:
            return decode(Prediction, answer)
        job_id = answer.get("job_id")
        if not isinstance(job_id, str):
            raise UnexpectedAnswer("The server neither answered the prediction nor named a job for it.")
        job = self._jobs.wait(job_id, timeout=timeout, on_progress=on_progress)
        prediction_id = job.result.get("prediction_id") or answer.get("prediction_id")
        if not isinstance(prediction_id, str):
            raise UnexpectedAnswer(f"Job {job_id} succeeded without naming its prediction.")
        return self._predictions.get(prediction_id)
