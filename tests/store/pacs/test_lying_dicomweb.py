"""DICOMweb servers that are broken or hostile: what they send ends in a sentence, in bounded memory and time."""

from __future__ import annotations

import gzip
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from slicebank_store.errors import PacsRefused, PacsUnavailable
from slicebank_store.pacs.basket import Basket
from slicebank_store.pacs.client import MOST_SERIES
from slicebank_store.pacs.dicomweb import DicomWebClient
from slicebank_store.pacs.selecting import SeriesRules
from slicebank_store.pacs.sources import DicomWebSource

SERIES = '{"0020000E": {"vr": "UI", "Value": ["1.2.3"]}, "%s": {"vr": "DS", "Value": [%s]}}'
Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def pacs(answer: Answer, *, timeout_seconds: float = 5.0) -> Iterator[DicomWebClient]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/dicom-web"
        source = DicomWebSource(kind="dicomweb", url=url, timeout_seconds=timeout_seconds)
        try:
            with DicomWebClient("archive", source) as client:
                yield client
        finally:
            server.shutdown()
            thread.join()


def saying(body: bytes, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@pytest.mark.parametrize("number", ["1e999", "NaN", "1" + "0" * 400, '"nan"', '"-inf"', "null", '"12x"'])
def test_a_number_that_is_none_is_unknown(number: str) -> None:
    """A thickness of NaN would pass every rule."""
    for tag in ("00180050", "00201209"):
        with pacs(saying(f"[{SERIES % (tag, number)}]".encode())) as client:
            (facts,) = client.find_series("1.2")
        assert (facts.thickness_mm, facts.n_images) == (None, None)
        assert SeriesRules(max_thickness_mm=2.0).undecided(facts) == "thickness"


def test_json_that_never_stops_nesting_is_refused() -> None:
    with pacs(saying(b"[" * 200_000)) as client, pytest.raises(PacsRefused, match="DICOM JSON"):
        client.find_series("1.2")


def test_packed_answers_are_refused_and_not_inflated() -> None:
    body = gzip.compress(bytes(1 << 20))
    with (
        pacs(saying(body, Content_Encoding="gzip")) as client,
        pytest.raises(PacsRefused, match="packs its answers"),
    ):
        client.find_studies({"PatientID": "1"}, 10)


def test_a_list_of_series_without_end_is_refused() -> None:
    pages = itertools.count()

    def answer(request: BaseHTTPRequestHandler) -> None:
        page = next(pages)
        items = [{"0020000E": {"vr": "UI", "Value": [f"1.2.{page}.{number}"]}} for number in range(200)]
        saying(json.dumps(items).encode())(request)

    with pacs(answer) as client, pytest.raises(PacsRefused, match="more series"):
        client.find_series("1.2")
    assert next(pages) == MOST_SERIES // 200 + 1


def test_an_answer_in_drops_comes_to_an_end() -> None:
    ended = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        # Each drop comes well before the PACS counts as silent.
        while not ended.wait(0.02):
            try:
                request.wfile.write(b" ")
            except OSError:
                return

    with pacs(answer, timeout_seconds=0.2) as client:
        try:
            with pytest.raises(PacsUnavailable, match="takes longer"):
                client.find_studies({"PatientID": "1"}, 10)
        finally:
            ended.set()


class Stopped(Exception):
    """The job was cancelled."""


def test_a_pull_is_stopped_while_drops_come(tmp_path: Path) -> None:
    ended = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", 'multipart/related; type="application/dicom"; boundary=x')
        request.end_headers()
        request.wfile.write(b"--x\r\n")
        ended.wait(30)

    def stop() -> None:
        raise Stopped

    basket = Basket(tmp_path / "pulled", max_bytes=1 << 30, max_files=10, check=stop)
    with pacs(answer, timeout_seconds=20) as client:
        try:
            with pytest.raises(Stopped):
                client.fetch_series("1.2", "1.2.3", basket.open("series"))
        finally:
            ended.set()


def test_a_redirection_is_not_followed() -> None:
    asked: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        request.send_response(302)
        request.send_header("Location", "http://127.0.0.1:9/elsewhere")
        request.send_header("Content-Length", "0")
        request.end_headers()

    with pacs(answer) as client, pytest.raises(PacsRefused, match="302"):
        client.find_series("1.2")
    assert len(asked) == 1
