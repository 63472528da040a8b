"""The loop: look, wait until a folder is quiet, send it, remember it, perhaps move it away."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from slicebank.errors import (
    InputError,
    InvalidRequest,
    NothingToUpload,
    NothingUsable,
    ServerFault,
    TooManyRequests,
    TransportError,
)
from slicebank.records import Upload
from slicebank.state import Ledger, digest_of
from slicebank.watch.folders import Seen, Settling, look

DONE, REFUSED, NOTHING = "done", "refused", "nothing"


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How a folder is watched.

    Attributes:
        settle_seconds: a folder is sent when nothing in it was written to for so long.
        every_seconds: between two looks.
        once: end when everything that is there was tried.
        move_done: where folders go of which something was taken in.
        move_refused: where folders go of which nothing was.
    """

    settle_seconds: float = 30.0
    every_seconds: float = 5.0
    once: bool = False
    move_done: Path | None = None
    move_refused: Path | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """What became of one folder: sent, refused, nothing (no file could be CT), waiting (the server is away) or moved."""

    event: str
    folder: str
    files: int = 0
    series: int = 0
    slices: int = 0
    rejected: int = 0
    code: str = ""
    detail: str = ""
    job_ids: tuple[str, ...] = ()


class Watcher:
    """Sends each folder that has files of its own as one upload, once, until its files change."""

    def __init__(
        self,
        root: Path,
        send: Callable[[Path], Upload],
        options: WatchOptions,
        ledger: Ledger,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Looks at nothing yet.

        Args:
            root: the folder that is watched.
            send: uploads one folder, of its own files alone.
            options: how.
            ledger: what was sent before.
            sleep: pauses, seconds.
            clock: seconds; does not jump.
        """
        self._root = root.resolve()
        self._send = send
        self._options = options
        self._ledger = ledger
        self._sleep = sleep
        self._clock = clock
        goals = (options.move_done, options.move_refused)
        self._leave_out = frozenset(goal.resolve() for goal in goals if goal is not None)

    def run(self) -> Iterator[Event]:
        """Watch, and tell of each folder; ends only with `once`, or when it is interrupted."""
        settling = Settling(self._options.settle_seconds)
        while True:
            seen = list(look(self._root, self._leave_out))
            new = [item for item in seen if self._outcome(item) is None]
            if self._options.once and not new:
                return
            for item in settling.settled(new, self._clock()):
                yield from self._take(item)
            self._sleep(self._options.every_seconds)

    def _take(self, item: Seen) -> Iterator[Event]:
        name = self._name(item)
        try:
            event = self._sent(item, name, self._send(item.path))
            outcome = DONE
        except NothingToUpload:
            event, outcome = Event("nothing", name, item.files), NOTHING
        except NothingUsable as error:
            first = error.rejected[0] if error.rejected else error
            event = Event(
                "refused", name, item.files, rejected=len(error.rejected), code=first.code, detail=first.detail
            )
            outcome = REFUSED
        except (ServerFault, TooManyRequests, TransportError) as error:
            # Nothing is wrong with the folder: it is tried again with the next look.
            yield Event("waiting", name, item.files, code=error.code, detail=error.detail)
            return
        except (InputError, InvalidRequest) as error:
            event = Event("refused", name, item.files, code=error.code, detail=error.detail)
            outcome = REFUSED if isinstance(error, InvalidRequest) else ""
        if outcome:
            self._ledger.put(self._key(item), f"{outcome}:{item.mark}")
        yield event
        goal = {DONE: self._options.move_done, REFUSED: self._options.move_refused}.get(outcome)
        if goal is not None:
            yield from self._move(item, name, goal)

    def _sent(self, item: Seen, name: str, sent: Upload) -> Event:
        return Event(
            "sent",
            name,
            item.files,
            series=len({series.series_uid for series in sent.series}),
            slices=sum(series.n_slices for series in sent.series),
            rejected=len(sent.rejected),
            job_ids=sent.job_ids,
        )

    def _move(self, item: Seen, name: str, goal: Path) -> Iterator[Event]:
        """Move the files of a folder, whose sub-folders may hold others; one that is in the way is never overwritten."""
        place = goal / item.path.relative_to(self._root)
        try:
            place.mkdir(parents=True, exist_ok=True)
            for file in [path for path in item.path.iterdir() if path.is_file()]:
                target = place / file.name
                number = 1
                while target.exists():
                    target, number = place / f"{file.name}.{number}", number + 1
                shutil.move(file, target)
            if item.path != self._root and not any(item.path.iterdir()):
                item.path.rmdir()
        except OSError as error:
            yield Event("not_moved", name, item.files, code="not_moved", detail=str(error.strerror or error))
            return
        yield Event("moved", name, item.files)

    def _outcome(self, item: Seen) -> str | None:
        outcome, _, mark = (self._ledger.get(self._key(item)) or "").partition(":")
        return outcome if mark == item.mark else None

    def _name(self, item: Seen) -> str:
        return item.path.relative_to(self._root).as_posix()

    def _key(self, item: Seen) -> str:
        return digest_of(str(item.path))
