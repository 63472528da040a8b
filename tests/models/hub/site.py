"""A registry, and where it pulls from."""

from __future__ import annotations

from typing import NamedTuple

from slicebank_models.hub.access import HubAccess
from slicebank_models.hub.planning import plan_pull
from slicebank_models.hub.published import PullPlan
from slicebank_models.hub.pulling import Pulled, pull
from slicebank_models.hub.references import parse_reference
from slicebank_models.registry import EncoderRegistry


class Stopped(Exception):
    """As of a process that is killed."""


class Site(NamedTuple):
    registry: EncoderRegistry
    access: HubAccess

    def plan(self, reference: str, **options: str) -> PullPlan:
        return plan_pull(parse_reference(reference), self.registry, self.access, **options)

    def pull(self, reference: str, *, accepted: bool = True, stop_at: int | None = None, **options: str) -> Pulled:
        def on_bytes(done: int, total: int) -> None:
            assert 0 <= done <= total
            if stop_at is not None and done >= stop_at:
                raise Stopped

        plan = self.plan(reference, **options)
        return pull(plan, self.registry, self.access.open(), accepted=accepted, on_bytes=on_bytes)

    def left(self) -> list[str]:
        """What lies in the encoders folder besides encoders."""
        folder = self.registry.folder
        assert folder is not None
        return sorted(path.name for path in folder.glob(".*"))
