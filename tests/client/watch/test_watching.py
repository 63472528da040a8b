"""Watching a folder: sent when quiet, once, again when changed, through outages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from slicebank import NothingToUpload, NothingUsable, Upload
from slicebank.errors import ConnectionFailed
from slicebank.records import UploadedSeries
from slicebank.state import Ledger
from slicebank.watch import Event, Watcher, WatchOptions
from tests.client.resources.test_series import DICOM, accepted
from tests.client.shell import Run
from tests.client.speaking_server import Reply, SpeakingServer, problem


class Site:
    """A folder, a clock that moves when somebody sleeps, and what was sent."""

    def __init__(self, root: Path) -> None:
        self.root = root / "inbox"
        self.root.mkdir()
        self.state = root / "state" / "ledger"
        self.now = 0.0
        self.sent: list[tuple[str, float]] = []
        self.faults: list[Exception] = []
        self.during: Callable[[], object] = lambda: None

    def send(self, path: Path) -> Upload:
        self.sent.append((path.relative_to(self.root).as_posix(), self.now))
        if self.faults:
            raise self.faults.pop(0)
        return Upload((UploadedSeries("1.2", n_slices=7, job_id="j"),))

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.during()

    def watch(self, **options: object) -> list[Event]:
        chosen = WatchOptions(settle_seconds=30.0, every_seconds=5.0, once=True, **options)  # type: ignore[arg-type]
        watcher = Watcher(self.root, self.send, chosen, Ledger(self.state), sleep=self.sleep, clock=lambda: self.now)
        return list(watcher.run())

    def put(self, *names: str) -> None:
        for name in names:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(DICOM)


def test_each_folder_with_files_is_sent_once(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.put("a/1", "a/deep/2", "b/1", ".hidden/1")
    events = site.watch()
    assert [(event.event, event.folder, event.series, event.slices) for event in events] == [
        ("sent", "a", 1, 7),
        ("sent", "a/deep", 1, 7),
        ("sent", "b", 1, 7),
    ]
    assert site.watch() == [], "it is remembered by the next start"
    site.put("b/2")
    assert [event.folder for event in site.watch()] == ["b"]
    assert "deep" not in site.state.read_text()


def test_a_folder_that_is_written_to_waits(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.put("a/1", "b/1")

    def write() -> None:
        if site.now <= 50:
            site.put(f"a/{site.now}")

    site.during = write
    site.watch()
    assert [folder for folder, _ in site.sent] == ["b", "a"]
    assert site.sent[0][1] == 30.0
    assert site.sent[1][1] >= 80.0


def test_outages_are_waited_out(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.put("a/1")
    site.faults = [ConnectionFailed("Nobody answers."), ConnectionFailed("Nobody answers.")]
    assert [event.event for event in site.watch()] == ["waiting", "waiting", "sent"]


def test_done_and_refused_move_apart(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.put("a/1", "b/1", "c/1")
    refused = [{"name": "1", "code": "not_ct", "detail": "MR."}]
    site.faults = [
        NothingToUpload("Nothing."),
        NothingUsable("No.", status=422, code="nothing_usable", problem={"rejected": refused}),
    ]
    done, bad = site.root / "done", tmp_path / "refused"
    (bad / "b").mkdir(parents=True)
    (bad / "b" / "1").write_bytes(b"in the way")
    events = site.watch(move_done=done, move_refused=bad)
    assert [(event.event, event.folder, event.code) for event in events] == [
        ("nothing", "a", ""),
        ("refused", "b", "not_ct"),
        ("moved", "b", ""),
        ("sent", "c", ""),
        ("moved", "c", ""),
    ]
    assert (done / "c" / "1").read_bytes() == (bad / "b" / "1.1").read_bytes() == DICOM
    assert (bad / "b" / "1").read_bytes() == b"in the way"
    assert not (site.root / "c").exists()
    assert site.watch(move_done=done, move_refused=bad) == []


def test_half_a_line_is_no_note(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    Ledger(path).put("k", "done:1")
    with path.open("a") as file:
        file.write("\nk done:2")
    assert Ledger(path).get("k") == "done:1"
    Ledger(path).put("k", "done:3")
    assert Ledger(path).get("k") == "done:3"


def test_the_command(slicebank: Callable[..., Run], server: SpeakingServer, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.put("a/1")
    server.on("POST /v1/series", Reply(202, accepted()))
    run = slicebank("watch", site.root, "--once", "--settle", "0", "--every", "0.1", "--json")
    assert run.status == 0
    [line] = run.out.splitlines()
    assert {**json.loads(line), "at": ""} == {
        "at": "",
        "event": "sent",
        "folder": "a",
        "files": 1,
        "series": 1,
        "slices": 2,
        "job_ids": ["job-1.2.3"],
    }
    server.on("POST /v1/series", problem(422, "nothing_usable", "No.", rejected=[{"name": "a/2", "code": "not_ct"}]))
    site.put("a/2")
    run = slicebank("watch", site.root, "--once", "--settle", "0", "--every", "0.1")
    assert run.status == 1
    assert "refused" in run.out
