"""The SDK's one entry: a `Client` with a resource for each noun."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from slicebank.resources import (
    BagsResource,
    CohortsResource,
    EncodersResource,
    ExportsResource,
    HeadsResource,
    ImportsResource,
    JobsResource,
    PredictionsResource,
    SeriesResource,
    SourcesResource,
    WorkersResource,
)
from slicebank.retrying import OnWait, Retrier, Retries
from slicebank.settings import default_state_dir, find_connection
from slicebank.transport import Transport


class Client:
    """A slicebank server, as seen from Python.

    It finds its server by what is passed, then by SLICEBANK_URL and SLICEBANK_API_KEY, then by the client.json that
    `slicebank serve` leaves in its data folder. Safe to share between threads; use it as a context manager or close it.

    Attributes:
        series: upload, look up, remove, embed again.
        jobs: wait, follow, cancel, retry.
        cohorts: submit a table of cases, follow, cancel, retry.
        imports: have studies pulled from a PACS.
        sources: the PACS that the server knows.
        bags: download and load.
        exports: a cohort for other people's software.
        encoders: cards.
        heads: train, promote, predict.
        predictions: answers given before, and their attention pictures.
        workers: who is at work on the server, and how busy it is.

    Raises:
        ServerNotFound: no address is known; the hint says how to start a server.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        data_dir: str | PathLike[str] | None = None,
        state_dir: str | PathLike[str] | None = None,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        retries: Retries | None = None,
        on_wait: OnWait | None = None,
    ) -> None:
        """Find the server; no request is made yet.

        Args:
            url: address of the server, such as http://127.0.0.1:8000.
            api_key: its key.
            data_dir: data folder of a server on this machine; wins over the environment.
            state_dir: where unfinished uploads and cohorts are remembered; SLICEBANK_STATE_DIR or the platform's own by default.
            timeout: seconds to wait for an answer; waiting for jobs comes on top.
            transport: another way for httpx to reach the server, for tests and unix sockets.
            retries: how long a request is tried again while the server is away or asks for patience; a minute and an hour by default,
                `NO_RETRIES` for never.
            on_wait: called with a `Waiting` before each pause.
        """
        connection = find_connection(url, api_key, data_dir=None if data_dir is None else Path(data_dir))
        retrier = Retrier(Retries() if retries is None else retries, on_wait)
        self._transport = Transport(connection, timeout=timeout, transport=transport, retrier=retrier)
        self.jobs = JobsResource(self._transport)
        state = default_state_dir() if state_dir is None else Path(state_dir).expanduser()
        self.series = SeriesResource(self._transport, state)
        self.cohorts = CohortsResource(self._transport, state)
        self.imports = ImportsResource(self._transport)
        self.sources = SourcesResource(self._transport)
        self.bags = BagsResource(self._transport)
        self.exports = ExportsResource(self._transport)
        self.encoders = EncodersResource(self._transport)
        self.predictions = PredictionsResource(self._transport)
        self.workers = WorkersResource(self._transport)
        self.heads = HeadsResource(self._transport, self.jobs, self.predictions)

    @property
    def url(self) -> str:
        """Address of the server."""
        return self._transport.connection.url

    def ready(self) -> dict[str, Any]:
        """What the server says of its own readiness; needs no key.

        Raises:
            ServerFault: it runs and is not ready yet.
        """
        return self._transport.get_once("/ready")

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"
