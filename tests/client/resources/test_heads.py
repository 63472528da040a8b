"""Training and asking heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slicebank import Client, Task, errors
from tests.client.speaking_server import Reply, SpeakingServer, job

ANSWER: dict[str, Any] = {
    "prediction_id": "p",
    "head_id": "h",
    "bag_id": "b",
    "outputs": [{"label": "lesion", "probability": 0.9, "logit": 2.2, "fold_std": 0.05}],
    "attention": {
        "rows": [
            {
                "row": 0,
                "slice_index": 0,
                "window": "full",
                "sop_instance_uid": "1",
                "weight": 0.25,
                "logit": 0.1,
                "z_mm": 0,
            },
            {
                "row": 1,
                "slice_index": 1,
                "window": "full",
                "sop_instance_uid": "2",
                "weight": 0.75,
                "logit": 1.2,
                "z_mm": 5,
            },
        ],
        "slices": [
            {"slice_index": 0, "sop_instance_uid": "1", "weight": 0.25, "rank": 2},
            {"slice_index": 1, "sop_instance_uid": "2", "weight": 0.75, "rank": 1},
        ],
    },
}
STARTED = Reply(202, {"head_id": "h", "job_id": "j", "unmatched": ["1.9"], "warnings": ["few cases"]})


def test_train_sends_what_was_chosen(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("POST /v1/heads", STARTED)
    path = tmp_path / "labels.csv"
    path.write_text("series_uid,lesion\n1.2,1\n1.3,0\n")
    started = client.heads.train("liver", "hu_statistics", Task("binary", ("lesion",)), path, {"folds": 3}, strict=True)
    assert (started.head_id, started.job_id, started.unmatched) == ("h", "j", ("1.9",))
    assert server.requests[0].json == {
        "name": "liver",
        "encoder": "hu_statistics",
        "task": {"kind": "binary", "labels": ["lesion"]},
        "labels": "series_uid,lesion\n1.2,1\n1.3,0\n",
        "training": {"folds": 3},
        "strict": True,
    }


def test_head_and_protocol_are_sent_where_they_are_given(client: Client, server: SpeakingServer) -> None:
    server.on("POST /v1/heads", STARTED)
    client.heads.train(
        "liver", "dummy", Task(), {"1.2": 1}, head={"architecture": "clam_sb"}, protocol={"validation": "nested"}
    )
    sent = server.requests[0].json
    assert sent["head"] == {"architecture": "clam_sb"}
    assert sent["protocol"] == {"validation": "nested"}


def test_labels_by_key(client: Client, server: SpeakingServer) -> None:
    server.on("POST /v1/heads", STARTED)
    client.heads.train("liver", None, {"kind": "binary", "labels": ["lesion"]}, {"1.2": 1, "1.3": 0}, key="study_uid")
    sent = server.requests[0].json
    assert sent["labels"] == [{"study_uid": "1.2", "lesion": 1}, {"study_uid": "1.3", "lesion": 0}]
    assert "encoder" not in sent


def test_predict_from_a_stored_bag(client: Client, server: SpeakingServer) -> None:
    server.on("POST /v1/heads/liver/predictions", ANSWER)
    found = client.heads.predict("liver", "1.2")
    assert server.requests[0].json == {"series_uid": "1.2"}
    assert [output.probability for output in found] == [0.9]
    assert sum(row.weight for row in found.attention) == pytest.approx(1.0)
    assert [item.slice_index for item in found.attention.top(1)] == [1]
    assert found.attention.rows[1].z_mm == 5.0


def test_predict_waits_for_the_bag(client: Client, server: SpeakingServer) -> None:
    server.on("POST /v1/heads/liver/predictions", Reply(202, {"job_id": "j", "prediction_id": "p"}))
    server.on("GET /v1/jobs/j", job("j", "running"), job("j", "succeeded", result={"prediction_id": "p"}))
    server.on("GET /v1/predictions/p", ANSWER)
    assert client.heads.predict("liver", bag_id="b").prediction_id == "p"


@pytest.mark.parametrize("given", [{}, {"bag_id": "b", "study_uid": "s"}])
def test_predict_is_about_one_thing(client: Client, given: dict[str, str]) -> None:
    with pytest.raises(errors.InputError):
        client.heads.predict("liver", **given)  # type: ignore[arg-type]


def test_an_answer_without_prediction_and_job(client: Client, server: SpeakingServer) -> None:
    server.on("POST /v1/heads/liver/predictions", Reply(202, {}))
    with pytest.raises(errors.UnexpectedAnswer):
        client.heads.predict("liver", "1.2")


def test_get_list_promote_delete(client: Client, server: SpeakingServer) -> None:
    head = {"head_id": "h", "name": "liver", "task": {"kind": "binary", "labels": ["lesion"]}, "metrics": None}
    server.on("GET /v1/heads", {"items": [head], "next_cursor": None})
    server.on("GET /v1/heads/liver", {**head, "versions": [{"head_id": "h", "version": 1}]})
    server.on("POST /v1/heads/h/promote", {**head, "promoted": True})
    server.on("DELETE /v1/heads/h", Reply(204))
    [found] = client.heads.list()
    assert found.task == Task("binary", ("lesion",))
    assert client.heads.get("liver").versions == ({"head_id": "h", "version": 1},)
    assert client.heads.promote("h").promoted
    client.heads.delete("h")


def test_attention_picture(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("GET /v1/predictions/p/attention.png", Reply(200, b"\x89PNG", "image/png"))
    assert client.predictions.attention_png("p", tmp_path / "new" / "a.png") == b"\x89PNG"
    assert (tmp_path / "new" / "a.png").read_bytes() == b"\x89PNG"
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.InputError):
        client.predictions.attention_png("p", tmp_path / "file" / "a.png")
