"""A client of several APIs, as a load balancer would serve it: what one cannot answer is sent to the next."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from slicebank import Client, Upload
from slicebank.errors import ApiError, ServerFault, SlicebankError, TooManyRequests, TransportError

# Long enough for an API to load again, short against a test's patience.
_PAUSE_S = 0.2


class SpreadClient:
    """Sends each upload to one API after another until one acknowledges it. Any thread may use it.

    Attributes:
        refusals: how often an upload was not acknowledged, by the reason: an error code of the service, or a transport error's name.
        faults: answers that no outage explains: 5xx other than 503.
    """

    def __init__(self, urls: Sequence[str], api_key: str) -> None:
        """Prepares a client for each API."""
        self._clients = [Client(url, api_key, timeout=10.0) for url in urls]
        self._turn = itertools.count()
        self._lock = threading.Lock()
        self.refusals: Counter[str] = Counter()
        self.faults: list[str] = []

    def upload(self, folder: Path, *, encoder: str, patience_s: float) -> Upload:
        """Sends a folder until it is acknowledged.

        Raises:
            SlicebankError: it was refused for what it is, or nobody acknowledged it in `patience_s`.
        """
        deadline = time.monotonic() + patience_s
        while True:
            client = self._clients[next(self._turn) % len(self._clients)]
            try:
                return client.series.upload(folder, encoder=encoder)
            except (TransportError, ServerFault, TooManyRequests) as error:
                self._note(error)
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)

    def _note(self, error: SlicebankError) -> None:
        with self._lock:
            self.refusals[error.code if isinstance(error, ApiError) else type(error).__name__] += 1
            if isinstance(error, ServerFault) and error.status != 503:
                self.faults.append(f"{error.status} {error.code}: {error}")

    def __enter__(self) -> SpreadClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for client in self._clients:
            client.close()
