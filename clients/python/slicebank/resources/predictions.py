"""`client.predictions`: answers that were given before, as pages, pictures and DICOM objects."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from slicebank.errors import PathNotFound
from slicebank.records import Prediction, Pushed, decode
from slicebank.resources.download import save_bytes
from slicebank.resources.path import url_part
from slicebank.transport import Transport

# The header of a DICOM file, which has the patient, precedes its pixels.
_HEADER_BYTES = 4 << 20
_DICOM = "application/dicom"


class PredictionsResource:
    """Predictions: their attention pictures, reports, and objects for the PACS."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, prediction_id: str) -> Prediction:
        """One prediction.

        Raises:
            NotFound: no such prediction.
        """
        return decode(Prediction, self._transport.get(f"/v1/predictions/{url_part(prediction_id)}"))

    def attention_png(self, prediction_id: str, path: str | PathLike[str] | None = None) -> bytes:
        """The attention curve per window over the slices as a PNG; also written to `path` when one is given.

        Raises:
            NotFound: no such prediction.
            InputError: the path cannot be written.
        """
        picture = self._transport.get_bytes(
            f"/v1/predictions/{url_part(prediction_id)}/attention.png", accept="image/png"
        )
        if path is not None:
            save_bytes(Path(path).expanduser(), picture)
        return picture

    def report(self, prediction_id: str, path: str | PathLike[str] | None = None, *, top: int = 8) -> str:
        """Everything about a prediction as one HTML page that loads nothing; also written to `path` when one is given.

        Args:
            prediction_id: which.
            path: of the file.
            top: slices shown, most attended first.

        Raises:
            NotFound: no such prediction.
            InputError: the path cannot be written.
        """
        page = self._transport.get_bytes(
            f"/v1/predictions/{url_part(prediction_id)}/report", accept="text/html", query={"top": top}
        )
        if path is not None:
            save_bytes(Path(path).expanduser(), page)
        return page.decode()

    def structured_report(
        self,
        prediction_id: str,
        path: str | PathLike[str] | None = None,
        *,
        like: str | PathLike[str] | None = None,
        top: int = 5,
    ) -> bytes:
        """A DICOM structured report (TID 1500) that names the most attended slices; also written to `path` when one is given.

        Args:
            prediction_id: which.
            path: of the file.
            like: a DICOM file of the study, whose patient it is for; its first 4 MiB are sent and not kept there. Without one
                it names nobody.
            top: slices named, most attended first.

        Raises:
            NotFound: no such prediction.
            Conflict: the project replaces UIDs, or the series has none.
            InvalidRequest: `like` is no DICOM file, or of another study.
            InputError: a path cannot be read or written.
        """
        return self._object("sr", prediction_id, path, like, top)

    def secondary_capture(
        self,
        prediction_id: str,
        path: str | PathLike[str] | None = None,
        *,
        like: str | PathLike[str] | None = None,
        top: int = 5,
    ) -> bytes:
        """The attention picture as a DICOM secondary capture; arguments and errors are those of `structured_report`, `top` at most 8."""
        return self._object("sc", prediction_id, path, like, top)

    def push(self, prediction_id: str, pacs: str, *, objects: Sequence[str] = ("sr", "sc"), top: int = 5) -> Pushed:
        """Have the server send the objects of a prediction to a PACS of its settings, which says whose they are.

        Args:
            prediction_id: which.
            pacs: name of a PACS of kind dicomweb; see `client.imports.sources()`.
            objects: `sr`, `sc` or both.
            top: slices named and shown, at most 8.

        Raises:
            NotFound: no such prediction or PACS, or the PACS does not have the study.
            Conflict: the project replaces UIDs, or the PACS is named by DIMSE.
            ServerFault: the PACS does not answer, or does not take them.
        """
        body = {"pacs": pacs, "objects": list(objects), "top": top}
        path = f"/v1/predictions/{url_part(prediction_id)}/push"
        # The same objects have the same UIDs, so that sending them twice is as good as once.
        return decode(Pushed, self._transport.send("POST", path, body=body, repeatable=True))

    def _object(
        self,
        kind: str,
        prediction_id: str,
        path: str | PathLike[str] | None,
        like: str | PathLike[str] | None,
        top: int,
    ) -> bytes:
        made = self._transport.get_bytes(
            f"/v1/predictions/{url_part(prediction_id)}/{kind}",
            accept=_DICOM,
            query={"top": top},
            given=None if like is None else _header(Path(like).expanduser()),
            given_type=_DICOM,
        )
        if path is not None:
            save_bytes(Path(path).expanduser(), made)
        return made


def _header(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEADER_BYTES)
    except OSError as error:
        raise PathNotFound(f"{path} cannot be read: {error.strerror or error}.") from error
