"""Bags made elsewhere: from the body of a request to a bag like our own."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from slicebank_service import __version__
from slicebank_service.context import Context
from slicebank_store.blobs.keys import bag_key
from slicebank_store.catalogue import BagRecord
from slicebank_store.errors import BagConflict
from slicebank_store.external import external_recipe, folder_name
from slicebank_store.identity import bag_id as bag_id_of
from slicebank_store.identity import new_id

if TYPE_CHECKING:
    from slicebank_store.bags import BagHeader
    from slicebank_store.bags.foreign import ForeignBag, ForeignLimits
    from slicebank_store.catalogue.incoming import IncomingSeries

log = structlog.get_logger()

_STACK = 0


@dataclass(frozen=True, slots=True)
class BroughtAs:
    """What the sender says of a bag.

    Attributes:
        encoder: `external:NAME`.
        series_uid: as the sender calls it; None where it is to be made up of the values.
        study_uid: the same.
        patient: PatientID, or a pseudonym as answers show it; None where the study stands for the patient.
    """

    encoder: str
    series_uid: str | None = None
    study_uid: str | None = None
    patient: str | None = None


def bring_bag(context: Context, path: Path, said: BroughtAs, folder: Path) -> BagRecord:
    """Takes a file in: opened in a process that reaches nothing, its values copied into a bag of our own.

    The same file brought twice is one bag.

    Args:
        context: the application's collaborators.
        path: the file, as it came.
        said: what the sender says of it.
        folder: where files in the making lie; removed by the caller.

    Raises:
        BadForeignBag: the file is not taken.
        BagConflict: it does not fit what is there.
    """
    # Here, because they bring h5py and numpy, and a service should start without them.
    from slicebank_store.bags.foreign import read_foreign, write_foreign

    with tempfile.TemporaryDirectory(dir=folder, prefix="reading-") as reading:
        foreign = read_foreign(path, Path(reading), limits_of(context))
        bag, incoming = _named(context, foreign, said)
        _check_owner(context, bag, said)
        file = write_foreign(Path(reading) / "bag.part", foreign, _header(context, foreign, bag))
        bag = replace(bag, sha256=file.sha256, size_bytes=file.size_bytes)
        context.blobs.put_file(bag.blob_key, file.path)
    try:
        stored = context.catalogue.bringing.add(bag, incoming)
    except BaseException:
        context.blobs.delete(bag.blob_key)
        raise
    if stored.blob_key != bag.blob_key:
        context.blobs.delete(bag.blob_key)
    log.info("bag_brought", bag_id=stored.bag_id, encoder=stored.encoder, rows=stored.n_rows, dim=stored.dim)
    return stored


def _check_owner(context: Context, bag: BagRecord, said: BroughtAs) -> None:
    """Refuses a bag whose series is known with another patient or study than the sender says."""
    known = context.catalogue.series.get(context.project, bag.series_uid)
    if known is None:
        return
    # A patient may be named as an export names it, where the series has its study for one.
    whose = context.pseudonyms.exported
    if (said.patient is not None and whose(bag.patient) != whose(known.patient)) or (
        said.study_uid is not None and bag.study_uid != known.study_uid
    ):
        raise BagConflict(
            f"Series {bag.series_uid[:64]} is known with another patient or study: leave patient and study_uid out, or name another series."
        )


def limits_of(context: Context) -> ForeignLimits:
    """What reading one file may cost."""
    from slicebank_store.bags.foreign import ForeignLimits

    return ForeignLimits(values_bytes=context.settings.max_foreign_bag_bytes)


def _named(context: Context, foreign: ForeignBag, said: BroughtAs) -> tuple[BagRecord, IncomingSeries]:
    """The bag and its series, as the catalogue calls them."""
    from slicebank_imaging.uids import derived_uid
    from slicebank_store.catalogue.incoming import IncomingSeries, IncomingStack

    names = context.pseudonyms
    made_up = names.uid(derived_uid("slicebank foreign", said.encoder, foreign.digest))
    series_uid = made_up if said.series_uid is None else names.uid_asked(said.series_uid)
    study_uid = names.uid(derived_uid("slicebank foreign study", series_uid))
    if said.study_uid is not None:
        study_uid = names.uid_asked(said.study_uid)
    patient = study_uid if said.patient is None else names.patient_asked(said.patient)
    dim = int(foreign.features.shape[1])
    recipe = external_recipe(said.encoder, dim=dim, level=foreign.level)
    bag_id = bag_id_of(context.project, series_uid, foreign.digest, recipe.digest)
    bag = BagRecord(
        project=context.project,
        bag_id=bag_id,
        series_uid=series_uid,
        study_uid=study_uid,
        patient=patient,
        revision=1,
        stack=_STACK,
        encoder=said.encoder,
        recipe=recipe.as_dict(),
        recipe_digest=recipe.digest,
        weights_digest=recipe.weights_digest,
        content_digest=foreign.digest,
        level=foreign.level,
        n_rows=len(foreign.features),
        n_slices=len(foreign.slices),
        dim=dim,
        dtype="float32",
        windows=[],
        sha256="",
        size_bytes=0,
        # No job of ours made it; a name of its own keeps two that bring the same bag at once from each other's files.
        blob_key=bag_key(context.project, folder_name(said.encoder), bag_id, new_id(), 0),
        created_at=time.time(),
    )
    stack = IncomingStack(
        stack=_STACK,
        slices=[],
        slice_digests=(),
        content_digest=foreign.digest,
        n_slices=len(foreign.slices),
        geometry={},
        rescale={},
        rows=0,
        columns=0,
        field_of_view_mm=_tile_mm(foreign),
        axial=True,
    )
    incoming = IncomingSeries(
        project=context.project,
        series_uid=series_uid,
        study_uid=study_uid,
        patient=patient,
        body_part="",
        stacks=(stack,),
        default_stack=_STACK,
        options={"made": "elsewhere"},
    )
    return bag, incoming


def _header(context: Context, foreign: ForeignBag, bag: BagRecord) -> BagHeader:
    from slicebank_store.bags import BagHeader
    from slicebank_store.recipe import Recipe

    recipe = Recipe.from_dict(bag.recipe)
    # Names of instances are hashed where the project hashes them: the file may hold the hospital's own.
    slices = tuple(
        replace(item, sop_instance_uid=context.pseudonyms.uid_asked(item.sop_instance_uid))
        if item.sop_instance_uid
        else item
        for item in foreign.slices
    )
    return BagHeader(
        name=bag.bag_id,
        series_uid=bag.series_uid,
        revision=bag.revision,
        stack=bag.stack,
        level=bag.level,
        recipe=recipe,
        content_digest=bag.content_digest,
        slices=slices,
        geometry={},
        rescale={},
        rows=recipe.size,
        columns=recipe.size,
        field_of_view_mm=_tile_mm(foreign),
        software=f"slicebank {__version__}",
        created_at=bag.created_at,
    )


def _tile_mm(foreign: ForeignBag) -> float:
    from slicebank_store.bags.foreign.writing import UNKNOWN_TILE_UM

    return (foreign.tile_size_um or UNKNOWN_TILE_UM) / 1000
