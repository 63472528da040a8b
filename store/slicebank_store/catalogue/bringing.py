"""Bags made elsewhere, brought into the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection, select

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.incoming import IncomingSeries
from slicebank_store.catalogue.jobs.effects import add_bag
from slicebank_store.catalogue.on_embedded import ask_heads
from slicebank_store.catalogue.records import BagRecord
from slicebank_store.catalogue.revisions import add_revision, load_revision, lock_series
from slicebank_store.catalogue.rows import to_record
from slicebank_store.catalogue.tables import bags
from slicebank_store.errors import BagConflict


class Bringing:
    """Adds bags that no job of ours made."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def add(self, bag: BagRecord, incoming: IncomingSeries) -> BagRecord:
        """Adds a bag to its series, which is made where there is none.

        A series that is known keeps its patient and study; the bag hangs on its current revision and default stack, whatever that holds.

        Args:
            bag: its blob is stored; revision and stack are found here.
            incoming: the series as the file tells it.

        Returns:
            The bag; where one of the same content is there already, that one.

        Raises:
            BagConflict: the series has another bag of this encoder, or the encoder's bags have rows of another kind.
        """

        def bring(connection: Connection) -> BagRecord:
            owner = lock_series(connection, bag.project, bag.series_uid)
            same = select(bags).where(bags.c.project == bag.project, bags.c.bag_id == bag.bag_id)
            known = connection.execute(same).mappings().first()
            if known is not None:
                return to_record(BagRecord, known)
            _check_kind(connection, bag)
            if owner is None:
                revision = add_revision(connection, None, incoming, self._clock())
                mine = replace(bag, revision=revision.revision, stack=revision.default_stack)
            else:
                _check_series(connection, bag)
                current = load_revision(connection, owner, owner["current_revision"])
                assert current is not None  # noqa: S101 - the series names it
                mine = replace(
                    bag,
                    revision=current.revision,
                    stack=current.default_stack,
                    study_uid=owner["study_uid"],
                    patient=owner["patient"],
                )
            if add_bag(connection, mine):
                ask_heads(connection, mine, self._clock())
            return mine

        return self._database.transact(bring)


def _check_kind(connection: Connection, bag: BagRecord) -> None:
    query = select(bags.c.dim, bags.c.level).where(
        bags.c.project == bag.project, bags.c.encoder == bag.encoder, bags.c.recipe_digest != bag.recipe_digest
    )
    other = connection.execute(query.limit(1)).first()
    if other is not None:
        msg = (
            f"The bags of {bag.encoder} have rows of {other.dim} numbers, of a {other.level} each; this one has {bag.dim}, of a "
            f"{bag.level.value} each: give it another encoder name."
        )
        raise BagConflict(msg)


def _check_series(connection: Connection, bag: BagRecord) -> None:
    query = select(bags.c.bag_id).where(
        bags.c.project == bag.project,
        bags.c.series_uid == bag.series_uid,
        bags.c.recipe_digest == bag.recipe_digest,
    )
    other = connection.execute(query.limit(1)).scalar_one_or_none()
    if other is not None:
        msg = (
            f"Series {bag.series_uid[:64]} has a bag of {bag.encoder} with other values, {other}: remove that first, or give this one another "
            "encoder name."
        )
        raise BagConflict(msg)
