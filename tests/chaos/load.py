"""The load: small series, each another patient, uploaded by a few clients at once while things break."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slicebank import UploadedSeries
from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from tests.cluster.spreading import SpreadClient

WINDOWS = 2
NETWORK = "mambaout_femto.untrained"
SLEEPER = "sleep"

_MATRIX = 64
_SLICES = (6, 7, 8, 9, 10)


@dataclass(frozen=True, slots=True)
class Piece:
    """One series to embed.

    Attributes:
        folder: its files.
        n_slices: how many.
        encoder: with which.
    """

    folder: Path
    n_slices: int
    encoder: str

    @property
    def rows(self) -> int:
        """Rows of its bag."""
        return self.n_slices * WINDOWS


def write_load(folder: Path, *, series: int, with_network: int, times_longer: int = 1) -> list[Piece]:
    """Writes phantoms that all differ; those for the network are spread evenly among the others.

    Args:
        folder: one subfolder a series is made in it.
        series: how many.
        with_network: how many of them a network embeds.
        times_longer: than 6 to 10 slices a series, so that workers are busy for longer.
    """
    step = max(1, series // max(1, with_network))
    pieces = []
    for number in range(series):
        n_slices = _SLICES[number % len(_SLICES)] * times_longer
        place = folder / f"{number:03d}"
        spec = PhantomSpec(seed=1000 + number, n_slices=n_slices, size=_MATRIX, slice_spacing_mm=5.0)
        write_dicom(make_phantom(spec, []), place)
        network = number % step == 0 and number // step < with_network
        pieces.append(Piece(place, n_slices, NETWORK if network else SLEEPER))
    return pieces


class Load:
    """Client threads that upload pieces in order; use it as a context manager.

    Attributes:
        accepted: what was acknowledged, by folder.
        errors: what ended a client thread; must stay empty.
    """

    def __init__(
        self, client: SpreadClient, pieces: Sequence[Piece], *, clients: int, pause_s: float, patience_s: float
    ) -> None:
        """Prepares the threads.

        Args:
            client: sends.
            pieces: what to send.
            clients: how many threads.
            pause_s: seconds that each of them waits between two uploads.
            patience_s: how long one upload is tried.
        """
        self._client = client
        self._pause_s = pause_s
        self._patience_s = patience_s
        self._pending: queue.SimpleQueue[Piece] = queue.SimpleQueue()
        for piece in pieces:
            self._pending.put(piece)
        self._stopped = False
        self._threads = [threading.Thread(target=self._run, name=f"client-{n}") for n in range(clients)]
        self.accepted: dict[Path, tuple[Piece, UploadedSeries]] = {}
        self.errors: list[BaseException] = []

    @property
    def done(self) -> bool:
        """Whether every piece was acknowledged, or an error ended the sending."""
        return not any(thread.is_alive() for thread in self._threads)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stopped:
            try:
                piece = self._pending.get_nowait()
            except queue.Empty:
                return
            try:
                upload = self._client.upload(piece.folder, encoder=piece.encoder, patience_s=self._patience_s)
            except Exception as error:  # noqa: BLE001 - the test shows it
                self.errors.append(error)
                return
            (series,) = upload.series
            self.accepted[piece.folder] = (piece, series)
            time.sleep(self._pause_s)


def rows_of(pieces: Iterable[Piece]) -> int:
    """Rows of all bags."""
    return sum(piece.rows for piece in pieces)
