"""`client.predictions`: answers that were given before."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from slicebank.records import Prediction, decode
from slicebank.resources.download import save_bytes
from slicebank.resources.path import url_part
from slicebank.transport import Transport


class PredictionsResource:
    """Predictions and their attention pictures."""

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
