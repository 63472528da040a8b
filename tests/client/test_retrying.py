"""When a request is made again, how long it waits, and what is said in the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from slicebank import Client, Retries, Waiting, errors
from slicebank.cli.output import Output
from slicebank.cli.session import TELL_AGAIN_SECONDS, PatienceNotes
from slicebank.errors import ConnectionFailed, RequestTimedOut, SlicebankError, api_error
from slicebank.retrying import JITTER, LONGEST_NAMED_S, Retrier
from tests.client.shell import Run
from tests.client.speaking_server import KEY, Reply, Request, SpeakingServer, problem

UPLOADED = {"series": [{"series_uid": "1.2", "study_uid": "1", "n_slices": 1, "job_id": "j", "state": "queued"}]}


def refused(status: int, retry_after: float | None = None, code: str = "x") -> SlicebankError:
    return api_error(status, {"code": code, "detail": "Because."}, retry_after)


class Clock:
    """Sleeping takes no time and is remembered."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def run(
    *answers: SlicebankError | str,
    repeatable: bool = True,
    known: bool = False,
    greeted: bool = True,
    retries: Retries | None = None,
) -> tuple[Clock, str | SlicebankError]:
    clock, left = Clock(), list(answers)
    retrier = Retrier(retries or Retries(), sleep=clock.sleep, clock=clock)
    if greeted:
        retrier.run(lambda _: "hello", repeatable=True)

    def attempt(_: int) -> str:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, SlicebankError):
            raise answer
        return answer

    try:
        return clock, retrier.run(attempt, repeatable=repeatable, known=known)
    except SlicebankError as error:
        return clock, error


ONCE = ConnectionFailed("Nobody answers.")
BROKEN = ConnectionFailed("It broke.", reached=True)
LATE = RequestTimedOut("Too late.")


@pytest.mark.parametrize(
    ("error", "options", "again"),
    [
        (refused(429), {"repeatable": False, "greeted": False}, True),
        (refused(503), {"repeatable": False, "greeted": False}, True),
        (refused(502), {}, True),
        (refused(502), {"repeatable": False}, False),
        (refused(500), {}, False),
        (refused(500), {"known": True}, True),
        (refused(507), {"known": True}, False),
        (refused(404), {"known": True}, False),
        (ONCE, {"greeted": False}, False),
        (ONCE, {"greeted": False, "known": True}, True),
        (ONCE, {"repeatable": False}, True),
        (BROKEN, {}, True),
        (BROKEN, {"repeatable": False}, False),
        (LATE, {}, True),
        (LATE, {"repeatable": False}, False),
        (errors.FileChanged("It changed."), {"known": True}, False),
    ],
)
def test_what_is_tried_again(error: SlicebankError, options: dict[str, bool], again: bool) -> None:
    clock, answer = run(error, "done", **options)  # type: ignore[arg-type]
    assert (answer == "done", len(clock.slept)) == (again, int(again))


def test_pauses_are_those_that_the_server_names_or_grow() -> None:
    clock, _ = run(refused(429, 7.0), refused(429, 10_000.0), refused(429, 0.0), "done")
    for pause, named in zip(clock.slept, (7.0, LONGEST_NAMED_S, 0.0), strict=True):
        assert named <= pause <= named * (1 + JITTER)
    clock, _ = run(*[refused(503)] * 7, "done")
    bounds = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
    assert all(least <= pause <= least * (1 + JITTER) for pause, least in zip(clock.slept, bounds, strict=True))


def test_the_end_is_bounded_and_told() -> None:
    clock, error = run(refused(503, 9.0), retries=Retries(outage=30.0))
    assert isinstance(error, errors.ServerFault)
    assert sum(clock.slept) <= 30
    assert str(error) == error.detail == f"Because. Tried {len(clock.slept) + 1} times in {clock.now:.0f} s."
    clock, error = run(refused(429, 60.0))
    assert 3000 < sum(clock.slept) <= 3600, "a full queue is waited for longer"
    clock, error = run(refused(503), retries=Retries(0.0, 0.0))
    assert (clock.slept, str(error)) == ([], "Because.")


def test_an_outage_after_a_long_queue_has_its_own_time() -> None:
    clock, answer = run(*[refused(429, 60.0)] * 30, *[refused(503, 5.0)] * 5, "done")
    assert answer == "done"
    assert clock.now > 1800


def upload_of(server: SpeakingServer, tmp_path: Path, *replies: Reply) -> tuple[list[Waiting], list[Request], object]:
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM" + bytes(1000))
    answers = list(replies)
    waits: list[Waiting] = []

    def take(request: Request) -> Reply:
        if not request.body:
            return problem(400, "empty_body", "The body is empty.")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    server.on("POST /v1/series", take)
    with Client(server.url, KEY, timeout=5, on_wait=waits.append) as client:
        try:
            answer: object = client.series.upload(tmp_path)
        except SlicebankError as error:
            answer = error
    return waits, server.asked("POST /v1/series"), answer


def busy(seconds: int = 0) -> Reply:
    reply = problem(429, "queue_full", "20 jobs are queued, and no more may.")
    return Reply(429, reply.body, reply.content_type, {"Retry-After": str(seconds)})


def test_an_upload_is_sent_again_whole(server: SpeakingServer, tmp_path: Path) -> None:
    waits, requests, _ = upload_of(server, tmp_path, busy(), Reply(202, UPLOADED))
    assert [wait.busy for wait in waits] == [True]
    first, probe, second = requests
    assert first.body == second.body
    assert list(first.members.values()) == [bytes(128) + b"DICM" + bytes(1000)]
    assert (probe.body, probe.query) == (b"", first.query)


def test_a_full_disk_is_not_waited_for(server: SpeakingServer, tmp_path: Path) -> None:
    waits, requests, error = upload_of(server, tmp_path, problem(507, "storage_full", "The disk is full."))
    assert (waits, len(requests)) == ([], 1)
    assert isinstance(error, errors.ServerFault)
    assert error.code == "storage_full"


def test_a_server_that_stays_full_is_asked_without_the_files(server: SpeakingServer, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM" + bytes(1000))
    server.on("POST /v1/series", busy(), busy(), busy(), Reply(202, UPLOADED), Reply(202, UPLOADED))
    with Client(server.url, KEY, timeout=5) as client:
        client.series.upload(tmp_path)
    sizes = [len(request.body) > 0 for request in server.asked("POST /v1/series")]
    assert sizes == [True, False, False, False, True]


def test_the_command_line_says_why_it_waits(
    slicebank: Callable[..., Run], server: SpeakingServer, tmp_path: Path
) -> None:
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM" + bytes(1000))
    server.on("POST /v1/series", busy(1), Reply(400, problem(400, "empty_body", "-").body), Reply(202, UPLOADED))
    answer = slicebank("upload", tmp_path, "--no-wait")
    assert answer.status == 0
    assert "The service asks to wait 1 s: 20 jobs are queued, and no more may." in answer.err


def test_a_person_is_told_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    note = PatienceNotes(Output(), clock)
    for _ in range(5):
        note(Waiting(5.0, 1, refused(429)))
        clock.now += 5
    assert capsys.readouterr().err.count("asks to wait 5 s: Because.") == 1
    note(Waiting(2.0, 1, ONCE))
    clock.now += TELL_AGAIN_SECONDS
    note(Waiting(2.0, 1, ONCE))
    assert capsys.readouterr().err.count("Trying again in 2 s: Nobody answers.") == 2


def test_questions_whether_it_is_ready_take_the_first_answer(client: Client, server: SpeakingServer) -> None:
    server.on("GET /ready", problem(503, "not_ready", "Not ready."))
    with pytest.raises(errors.ServerFault):
        client.ready()
    assert len(server.asked("GET /ready")) == 1
