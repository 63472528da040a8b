from __future__ import annotations

from slicebank_store.workers import WorkerStatus
from tests.service.support import Api, World, assert_problem

EMBED = WorkerStatus(
    name="host:embed:7",
    role="embed",
    device="cpu",
    started_at=0.25,
    seen_at=60.5,
    jobs=2,
    encoders=["dummy"],
    lacking=["biomedclip"],
    rows_total=4096,
    rows_per_second=81.5,
    window_s=10.0,
    utilisation=0.93,
    decode_share=0.4,
    batch_rows={"dummy": 64},
    bound_by="device",
)
TRAIN = WorkerStatus(name="host:train:8", role="train", device=None, started_at=1.0, seen_at=2.0)


def test_workers_are_shown_with_all_they_say(api: Api, world: World) -> None:
    assert api.get("/v1/workers").json() == {"items": []}
    world.board.workers = [EMBED, TRAIN]
    response = api.get("/v1/workers")
    assert response.status_code == 200
    assert response.json()["items"] == [
        {
            "name": "host:embed:7",
            "role": "embed",
            "device": "cpu",
            "started_at": "1970-01-01T00:00:00.250Z",
            "seen_at": "1970-01-01T00:01:00.500Z",
            "jobs": 2,
            "encoders": ["dummy"],
            "lacking": ["biomedclip"],
            "rows_total": 4096,
            "rows_per_second": 81.5,
            "window_s": 10.0,
            "utilisation": 0.93,
            "decode_share": 0.4,
            "batch_rows": {"dummy": 64},
            "bound_by": "device",
        },
        {
            "name": "host:train:8",
            "role": "train",
            "device": None,
            "started_at": "1970-01-01T00:00:01.000Z",
            "seen_at": "1970-01-01T00:00:02.000Z",
            "jobs": 0,
            "encoders": [],
            "lacking": [],
            "rows_total": 0,
            "rows_per_second": 0.0,
            "window_s": 0.0,
            "utilisation": None,
            "decode_share": None,
            "batch_rows": {},
            "bound_by": None,
        },
    ]


def test_every_field_of_a_status_is_shown_and_described(empty_api: Api) -> None:
    schema = empty_api.get("/openapi.json").json()["components"]["schemas"]["WorkerView"]
    assert set(schema["properties"]) == set(WorkerStatus.__dataclass_fields__)
    assert schema["properties"]["utilisation"]["description"]


def test_without_the_broker_nobody_knows(api: Api, world: World) -> None:
    world.board.down = True
    assert_problem(api.get("/v1/workers"), 503, "queue_unavailable")


def test_the_key_is_asked_for(empty_api: Api) -> None:
    assert_problem(empty_api.get("/v1/workers", key=None), 401, "unauthorized")
