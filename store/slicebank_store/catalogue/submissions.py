"""From an uploaded or kept series to its jobs, each in one transaction (DESIGN.md, "Words and identities")."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.groups import join_group
from slicebank_store.catalogue.incoming import EmbedRequest, IncomingSeries, IncomingStack, Submitted
from slicebank_store.catalogue.planning import Plan, plan_kept, plan_upload
from slicebank_store.catalogue.revisions import (
    Known,
    add_revision,
    load_revision,
    lock_series,
    rename_owner,
    repeated_by,
)
from slicebank_store.errors import PixelsNotKept, UnknownSeries, UnknownStack
from slicebank_store.recipe import Recipe
from slicebank_store.types import BagLevel, Priority


class Submissions:
    """Decides what an upload asks for that is not there yet."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def submit_series(
        self, incoming: IncomingSeries, request: EmbedRequest, now: float | None = None
    ) -> list[Submitted]:
        """Takes an uploaded series in, all or nothing.

        An upload whose slices a revision holds already is that revision, where this gives what was asked for: a bag
        that exists, a job at work on it, kept pixels, or a whole stack uploaded again. Anything else is a new revision.

        Args:
            incoming: the series.
            request: what to do with it.
            now: seconds since 1970; default: the clock.

        Returns:
            One answer per stack asked for, in the upload's order.

        Raises:
            UnknownStack: the upload has no stack of the number asked for.
        """
        moment = self._clock() if now is None else now

        def submit(connection: Connection) -> list[Submitted]:
            chosen = _chosen(incoming, request)
            owner = lock_series(connection, incoming.project, incoming.series_uid)
            if owner is not None and incoming.named_by_sender:
                owner = rename_owner(connection, owner, incoming)
            for known in [] if owner is None else repeated_by(connection, owner, incoming):
                plans = _plan_all(connection, known, chosen, request)
                if plans is not None:
                    break
            else:
                known = add_revision(connection, owner, incoming, moment)
                plans = _plan_all(connection, known, chosen, request) or []
            submitted = [plan.apply(connection, moment) for plan in plans]
            if request.group is not None:
                join_group(
                    connection, incoming.project, request.group, request.case, [item.job_id for item in submitted]
                )
            return submitted

        return self._database.transact(submit)

    def submit_kept(
        self,
        project: str,
        series_uid: str,
        *,
        recipe: Recipe,
        level: BagLevel,
        dim: int,
        stack: int | None = None,
        revision: int | None = None,
        priority: Priority = Priority.INTERACTIVE,
    ) -> Submitted:
        """Asks for a bag of a series whose pixels are kept.

        Args:
            project: the project.
            series_uid: the series.
            recipe: how to embed it.
            level: of the encoder.
            dim: D, length of the encoder's rows.
            stack: number of the stack; default: the revision's default.
            revision: default: the current one.
            priority: of the job.

        Raises:
            UnknownSeries: the project has no such series, or the series no such revision.
            UnknownStack: the revision has no such stack.
            PixelsNotKept: there is neither bag nor job nor pixels to make one from.
        """

        def submit(connection: Connection) -> Submitted:
            owner = lock_series(connection, project, series_uid)
            if owner is None:
                msg = f"There is no series {series_uid[:64]}: upload it first."
                raise UnknownSeries(msg)
            known = load_revision(connection, owner, owner["current_revision"] if revision is None else revision)
            if known is None:
                msg = f"The series {series_uid[:64]} has no revision {revision}: see its list of revisions."
                raise UnknownSeries(msg)
            row = known.rows.get(known.default_stack if stack is None else stack)
            if row is None:
                raise _unknown_stack(stack, sorted(known.rows))
            plan = plan_kept(connection, known, row, recipe, level, dim, priority)
            if plan is None:
                msg = "The pixels of this series are not kept: upload it again, with retain=true if more is to follow."
                raise PixelsNotKept(msg)
            return plan.apply(connection, self._clock())

        return self._database.transact(submit)


def _plan_all(
    connection: Connection, known: Known, chosen: list[IncomingStack], request: EmbedRequest
) -> list[Plan] | None:
    plans = [plan_upload(connection, known, stack, request) for stack in chosen]
    found = [plan for plan in plans if plan is not None]
    return found if len(found) == len(plans) else None


def _chosen(incoming: IncomingSeries, request: EmbedRequest) -> list[IncomingStack]:
    if request.stack == "all":
        return list(incoming.stacks)
    wanted = incoming.default_stack if request.stack is None else request.stack
    chosen = [stack for stack in incoming.stacks if stack.stack == wanted]
    if not chosen:
        raise _unknown_stack(wanted, sorted(stack.stack for stack in incoming.stacks))
    return chosen


def _unknown_stack(wanted: int | None, numbers: list[int]) -> UnknownStack:
    listed = ", ".join(str(number) for number in numbers)
    return UnknownStack(f"The series has no stack {wanted}: it has {listed}.")
