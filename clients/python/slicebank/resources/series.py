"""`client.series`: CT series in and out of the bank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from slicebank.records import JSON, Series, Upload, UploadedSeries, decode
from slicebank.resources.paging import paged
from slicebank.resources.path import url_part
from slicebank.transport import Transport
from slicebank.upload import OnUpload, Sending, intake_query, send_upload

PathLikes = str | PathLike[str] | Sequence[str | PathLike[str]]


class SeriesResource:
    """CT series: upload, look up, remove, and embed again where the pixels were kept."""

    def __init__(self, transport: Transport, state_dir: Path) -> None:
        self._transport = transport
        self._state_dir = state_dir

    def upload(
        self,
        paths: PathLikes,
        *,
        encoder: str | None = None,
        embed: bool = True,
        retain: bool = False,
        stack: int | Literal["all"] | None = None,
        priority: Literal["interactive", "bulk"] | None = None,
        patient: str | None = None,
        study_uid: str | None = None,
        assume_rescale: tuple[float, float] | None = None,
        force: str | None = None,
        check: bool = True,
        resumable: bool | None = None,
        below: bool = True,
        on_progress: OnUpload | None = None,
    ) -> Upload:
        """Send DICOM files, folder trees of them, archives or NIfTI volumes, and queue their embedding.

        Folders travel as tar streams made on the way, in constant memory. A large tree becomes several requests that
        never split a folder, so the files of a series must lie in one folder or the tree be smaller than 1 GiB.
        What the server knows is not sent; sending the same series again computes nothing. A large request that breaks,
        or whose client is killed, goes on where it stopped when the same upload is called again.

        Args:
            paths: one path or several.
            encoder: id of the encoder; the server's default otherwise.
            embed: False keeps the pixels and embeds nothing yet.
            retain: keep the pixels (int16 HU), so that another encoder can be run without the files.
            stack: number of the stack to embed where a series holds several; "all" embeds each.
            priority: "bulk" lets interactive uploads of others go first.
            patient: PatientID to use for every file, hashed on arrival.
            study_uid: StudyInstanceUID to use for every file.
            assume_rescale: slope and intercept for files that state none.
            force: "not_hu" takes volumes that are not in HU.
            check: ask first what the server knows, by digests of the files, and do not send that.
            resumable: True for sending in parts that can be resumed, False for not; requests above 64 MB are by default.
            below: False for the files of the folders named alone, without what lies in folders in them.
            on_progress: called with an `UploadProgress` before each request and after each chunk.

        Raises:
            PathNotFound, NothingToUpload, FileChanged: about the paths.
            NothingUsable: every file was refused; the error lists each with its reason.
            UploadInterrupted: the connection broke after a part had been taken in; the error says which.
        """
        query = intake_query(
            encoder=encoder,
            embed=embed,
            retain=retain,
            stack=stack,
            priority=priority,
            patient=patient,
            study_uid=study_uid,
            assume_rescale=assume_rescale,
            force=force,
        )
        several = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
        chosen = [Path(path).expanduser() for path in several]
        sending = Sending(self._state_dir, check=check, resumable=resumable, below=below)
        return send_upload(self._transport, chosen, query, sending, on_progress=on_progress)

    def list(
        self, *, study_uid: str | None = None, patient: str | None = None, limit: int | None = None
    ) -> Iterator[Series]:
        """Walk the series of the project, newest first."""
        query = {"study_uid": study_uid, "patient": patient}
        return paged(self._transport, "/v1/series", Series, query, limit=limit)

    def get(self, series_uid: str) -> Series:
        """One series with its current revision.

        Raises:
            NotFound: no such series.
        """
        return decode(Series, self._transport.get(f"/v1/series/{url_part(series_uid)}"))

    def delete(self, series_uid: str) -> None:
        """Remove a series with its bags, predictions, thumbnails and pixels; removing it twice is no error."""
        self._transport.send("DELETE", f"/v1/series/{url_part(series_uid)}")

    def embed(
        self,
        series_uid: str,
        *,
        encoder: str | None = None,
        windows: Sequence[str | JSON] | None = None,
        precision: Literal["standard", "fp32", "int8"] | None = None,
        stack: int | None = None,
    ) -> UploadedSeries:
        """Make another bag of a series whose pixels were kept.

        Args:
            series_uid: the series.
            encoder: id of the encoder; the server's default otherwise.
            windows: names of windows, or mappings with name, low and high (HU); the encoder's own otherwise.
            precision: requested precision class.
            stack: number of the stack; the default one otherwise.

        Raises:
            Conflict: code `pixels_not_kept`; upload the series again, with `retain=True`.
        """
        wanted: Mapping[str, Any] = {
            "encoder": encoder,
            "windows": None if windows is None else [*windows],
            "precision": precision,
            "stack": stack,
        }
        body = {name: value for name, value in wanted.items() if value is not None}
        answer = self._transport.send("POST", f"/v1/series/{url_part(series_uid)}/bags", body=body, repeatable=True)
        return decode(UploadedSeries, {"series_uid": series_uid, **answer})
