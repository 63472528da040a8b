"""What the server knows is not sent."""

from __future__ import annotations

import hashlib
from pathlib import Path

from slicebank import Client
from tests.client.resources.test_series import DICOM, accepted, folder
from tests.client.speaking_server import Reply, Request, SpeakingServer

SHA = hashlib.sha256(DICOM).hexdigest()
DIGEST = hashlib.sha256(f"{SHA}\n{SHA}".encode()).hexdigest()
KNOWN = {"series_uid": "1.2.3", "study_uid": "1.2", "revision": 1, "stack": 0, "bag_id": "b", "job_id": "j"}


def knowing(request: Request) -> Reply:
    return Reply(body={"known": {digest: [{**KNOWN, "state": "succeeded"}] for digest in request.json["sha256"]}})


def test_a_known_folder_is_not_sent(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("POST /v1/series/check", knowing)
    [item] = client.series.upload(folder(tmp_path, "1", "2"), encoder="e")
    assert (item.series_uid, item.bag_id, item.job_id, item.known) == ("1.2.3", "b", "j", True)
    assert server.asked("POST /v1/series") == []
    assert server.requests[0].json == {"sha256": [DIGEST], "encoder": "e"}


def test_kept_pixels_are_asked_for_too(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("POST /v1/series/check", knowing)
    client.series.upload(folder(tmp_path, "1"), retain=True)
    assert [request.json for request in server.requests] == [
        {"sha256": [SHA_OF_ONE], "encoder": None},
        {"sha256": [SHA_OF_ONE]},
    ]


def test_what_is_not_known_is_sent_under_its_name(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("POST /v1/series/check", {"known": {}})
    server.on("POST /v1/series", Reply(202, accepted()))
    client.series.upload(folder(tmp_path, "1", "2"))
    assert server.asked("POST /v1/series")[0].query == {"digest": DIGEST}
    client.series.upload(folder(tmp_path, "1", "2"), patient="somebody")
    assert server.asked("POST /v1/series")[1].query["digest"] != DIGEST


def test_nobody_is_asked_where_that_is_not_wanted(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("POST /v1/series", Reply(202, accepted()))
    client.series.upload(folder(tmp_path, "1"), check=False)
    assert [request.path for request in server.requests] == ["/v1/series"]


SHA_OF_ONE = hashlib.sha256(SHA.encode()).hexdigest()
