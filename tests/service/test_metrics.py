"""What Prometheus is told, read as Prometheus reads it."""

from __future__ import annotations

import time
from dataclasses import replace

import anyio
import anyio.from_thread
from prometheus_client.parser import text_string_to_metric_families

from slicebank_service.metrics import StoreCollector
from slicebank_store.errors import CatalogueUnavailable
from tests.service.support import Api, FakeWorker, MakeFiles, World, assert_problem, serving
from tests.service.test_jobs import uploaded_job, wait_and_work


def scrape(api: Api) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    response = api.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(response.text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(api: Api, name: str, **labels: str) -> float | None:
    return scrape(api).get((name, tuple(sorted(labels.items()))))


def test_the_key_is_asked_for(empty_api: Api) -> None:
    assert_problem(empty_api.get("/metrics", key=None), 401, "unauthorized")


def test_requests_and_uploads_are_counted(api: Api, make_files: MakeFiles) -> None:
    files = make_files()
    api.upload(files)
    api.upload({"a.dcm": b"no DICOM"})
    api.get("/v1/nothing/1.2.840")
    api.request("BREW", "/v1/series")
    route = {"method": "POST", "route": "/v1/series"}
    assert value(api, "slicebank_http_requests_total", **route, status="202") == 1
    assert value(api, "slicebank_http_requests_total", **route, status="422") == 1
    assert value(api, "slicebank_http_requests_total", method="GET", route="unmatched", status="404") == 1
    assert value(api, "slicebank_http_request_seconds_count", **route) == 2
    assert (value(api, "slicebank_http_received_bytes_total", **route) or 0) > sum(map(len, files.values()))
    assert value(api, "slicebank_uploads_accepted_total") == 1
    assert value(api, "slicebank_uploads_refused_total", code="nothing_usable") == 1
    assert value(api, "slicebank_http_requests_total", method="other", route="/v1/series", status="405") == 1
    assert "1.2.840" not in api.get("/metrics").text
    assert "BREW" not in api.get("/metrics").text


def test_the_queue_is_told_with_its_age(api: Api, worker: FakeWorker, make_files: MakeFiles) -> None:
    running = uploaded_job(api, make_files)
    uploaded_job(api, make_files, 1, priority="bulk")
    uploaded_job(api, make_files, 2, priority="bulk")
    worker.claim(running)
    bulk = {"kind": "embed", "priority": "bulk", "state": "queued"}
    assert value(api, "slicebank_queue_jobs", **bulk) == 2
    assert value(api, "slicebank_queue_jobs", kind="embed", priority="interactive", state="running") == 1
    assert 0 <= (value(api, "slicebank_queue_oldest_seconds", **bulk) or -1) < 60
    assert value(api, "slicebank_catalogue_up") == 1
    assert value(api, "slicebank_staging_bytes") is not None
    assert (value(api, "slicebank_disk_free_bytes", disk="staging") or 0) > 0
    assert value(api, "slicebank_disk_free_bytes", disk="blobs") is not None


def test_who_waits_is_told_and_not_counted_as_slow(api: Api, world: World, make_files: MakeFiles) -> None:
    job_id = uploaded_job(api, make_files)
    seen: list[tuple[float, float]] = []

    def look(metric: str) -> None:
        families = api.app.state.context.metrics.registry
        seen.append((families.get_sample_value("slicebank_long_polls"), families.get_sample_value(metric)))

    def poll_and_cancel() -> None:
        look("slicebank_event_streams")
        anyio.from_thread.run(anyio.sleep, 1.0)
        world.catalogue.jobs.request_cancel("default", job_id)

    started = time.perf_counter()
    api.call(wait_and_work, api, f"/v1/jobs/{job_id}?wait=60", poll_and_cancel)
    took = time.perf_counter() - started
    assert seen == [(1, 0)]
    seconds = value(api, "slicebank_http_request_seconds_sum", method="GET", route="/v1/jobs/{job_id}")
    assert seconds is not None
    assert seconds < took - 0.9, "what was asked for, to wait, is not the service's slowness"
    other = uploaded_job(api, make_files, 1)

    def stream_and_cancel() -> None:
        look("slicebank_event_streams")
        world.catalogue.jobs.request_cancel("default", other)

    api.call(wait_and_work, api, f"/v1/jobs/{other}/events", stream_and_cancel)
    assert seen[1] == (0, 1)
    assert (value(api, "slicebank_long_polls"), value(api, "slicebank_event_streams")) == (0, 0)


def test_the_scrape_answers_while_the_catalogue_is_away() -> None:
    def away() -> list[object]:
        raise CatalogueUnavailable("away")

    collector = StoreCollector(away, lambda: 5, lambda: {"staging": 7})  # type: ignore[arg-type]
    samples = {s.name: s.value for metric in collector.collect() for s in metric.samples}
    assert samples == {"slicebank_catalogue_up": 0, "slicebank_staging_bytes": 5, "slicebank_disk_free_bytes": 7}


def test_several_scrapes_cost_one_query() -> None:
    asked: list[None] = []

    def depths() -> list[object]:
        asked.append(None)
        return []

    collector = StoreCollector(depths, lambda: 0, dict)  # type: ignore[arg-type]
    for _ in range(5):
        list(collector.collect())
    assert len(asked) == 1


def test_two_applications_of_one_process_count_apart(world: World, make_files: MakeFiles) -> None:
    with serving(world.app()) as first, serving(replace(world).app()) as second:
        first.upload(make_files())
        assert value(first, "slicebank_uploads_accepted_total") == 1
        assert value(second, "slicebank_uploads_accepted_total") == 0
