from __future__ import annotations

import structlog

from tests.service.support import Api


def test_requests_are_logged_by_route_and_never_by_path(empty_api: Api) -> None:
    with structlog.testing.capture_logs() as logs:
        empty_api.get("/v1/series/1.2.840.4711", params={"patient": "MRN-4711"}, headers={"X-Request-ID": "mine"})
    (entry,) = [item for item in logs if item["event"] == "request"]
    assert (entry["method"], entry["status"]) == ("GET", 404)
    assert entry["route"].endswith("/series/{series_uid}")
    assert "4711" not in repr(logs)
