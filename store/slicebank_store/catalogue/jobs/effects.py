"""What a success writes beside the job: a bag, a head, a prediction, kept pixels.

Each is refused where the thing it hangs on was deleted while the job ran, so that a deleted series never comes back.
"""

from __future__ import annotations

from sqlalchemy import Connection, RowMapping, Table, and_, exists, func, insert, select, update

from slicebank_store.catalogue.jobs.outcome import HeadOutcome
from slicebank_store.catalogue.promotions import Reason, promote
from slicebank_store.catalogue.records import BagRecord, HeadRecord, PredictionRecord
from slicebank_store.catalogue.rows import to_record, to_row
from slicebank_store.catalogue.serving_tables import prediction_bags
from slicebank_store.catalogue.tables import bags, head_reports, head_series, heads, manifests, predictions, stacks
from slicebank_store.types import HeadPart, HeadState

# SQLite before 3.32 takes 999 parameters in a statement.
_IN_CHUNK = 500


def add_bag(connection: Connection, bag: BagRecord) -> bool:
    """Writes the bag's row; False where its series is gone. A bag that is there already is never replaced."""
    if _present(connection, bags, project=bag.project, bag_id=bag.bag_id):
        return True
    stack = select(stacks.c.stack).where(
        stacks.c.project == bag.project,
        stacks.c.series_uid == bag.series_uid,
        stacks.c.revision == bag.revision,
        stacks.c.stack == bag.stack,
    )
    # Held where the database can: the series must not be deleted between this look and the insert. No stronger lock: another job may
    # be noting the pixels of the same stack.
    if connection.execute(stack.with_for_update(read=True, key_share=True)).first() is None:
        return False
    connection.execute(insert(bags).values(to_row(bag)))
    return True


def add_prediction(connection: Connection, prediction: PredictionRecord) -> bool:
    """Writes the prediction's row; False where its bag or head is gone. One that is there already is never replaced."""
    if _present(connection, predictions, project=prediction.project, prediction_id=prediction.prediction_id):
        return True
    wanted = sorted(prediction.bag_ids)
    asked = select(bags.c.bag_id).where(bags.c.project == prediction.project, bags.c.bag_id.in_(wanted))
    head = select(heads.c.head_id).where(heads.c.project == prediction.project, heads.c.head_id == prediction.head_id)
    held = asked.order_by(bags.c.bag_id).with_for_update(read=True, key_share=True)  # until the commit, as above
    if len(connection.execute(held).all()) != len(wanted):
        return False
    if connection.execute(head.with_for_update(read=True, key_share=True)).first() is None:
        return False
    connection.execute(insert(predictions).values(to_row(prediction)))
    if len(wanted) > 1:
        mine = {"project": prediction.project, "prediction_id": prediction.prediction_id}
        connection.execute(insert(prediction_bags), [{**mine, "bag_id": bag_id} for bag_id in wanted])
    return True


def keep_pixels(connection: Connection, row: RowMapping, key: str) -> bool:
    """Notes where the pixels of a job's stack are kept; False where its series is gone."""
    query = select(manifests.c.manifest).where(
        manifests.c.project == row["project"], manifests.c.job_id == row["job_id"]
    )
    manifest = connection.execute(query).scalar_one()
    which = and_(
        stacks.c.project == row["project"],
        stacks.c.series_uid == row["series_uid"],
        stacks.c.revision == manifest["revision"],
        stacks.c.stack == manifest["stack"],
    )
    # Pixels kept before stay: jobs made from them name their key.
    known = func.coalesce(stacks.c.pixels_key, key)
    return connection.execute(update(stacks).where(which).values(pixels_key=known)).rowcount == 1


def complete_head(connection: Connection, project: str, outcome: HeadOutcome, now: float) -> bool:
    """Makes a head version ready, and what its name means if the name means nothing yet; False where it was deleted."""
    this = and_(heads.c.project == project, heads.c.head_id == outcome.head_id)
    name = connection.execute(select(heads.c.name).where(this)).scalar_one_or_none()
    named = select(heads.c.head_id).where(heads.c.project == project, heads.c.name == name)
    # All versions in the order of their ids, so that two trainings that end together do not wait for each other.
    locked = connection.execute(named.order_by(heads.c.head_id).with_for_update()).scalars().all()
    if outcome.head_id not in locked:
        return False
    promoted = connection.execute(named.where(heads.c.promoted.is_(True))).first()
    connection.execute(
        update(heads)
        .where(this)
        .values(
            state=HeadState.READY.value,
            metrics=outcome.metrics,
            blob_key=outcome.blob_key,
            sha256=outcome.sha256,
            size_bytes=outcome.size_bytes,
        )
    )
    connection.execute(insert(head_reports).values(project=project, head_id=outcome.head_id, report=outcome.report))
    _note_test_part(connection, project, outcome)
    if promoted is None:
        head = to_record(HeadRecord, connection.execute(select(heads).where(this)).mappings().one())
        promote(connection, head, Reason.TRAINED, now)
    return True


def _note_test_part(connection: Connection, project: str, outcome: HeadOutcome) -> None:
    """Of patients that were held out for testing nothing was learnt."""
    patients = list((outcome.report.get("splits") or {}).get("test") or ())
    mine = and_(head_series.c.project == project, head_series.c.head_id == outcome.head_id)
    for start in range(0, len(patients), _IN_CHUNK):
        held_out = head_series.c.patient.in_(patients[start : start + _IN_CHUNK])
        connection.execute(update(head_series).where(mine, held_out).values(part=HeadPart.TEST.value))


def _present(connection: Connection, table: Table, **key: str) -> bool:
    found = exists().where(*(table.c[name] == value for name, value in key.items()))
    return bool(connection.execute(select(found)).scalar())
