"""Bags: what is stored, and their files."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Query, Request, Response

from slicebank_service.answers.bags import BagPage, BagView, bag_view, write_npz
from slicebank_service.answers.files import file_response
from slicebank_service.context import (
    ENCODER_PATTERN,
    EXTERNAL_PATTERN,
    ID_PATTERN,
    AskedSeriesUid,
    AskedStudyUid,
    Context,
    Ctx,
    Identifier,
)
from slicebank_service.errors import BagNotReady, UnknownBag, UnsupportedMedia
from slicebank_service.exports.contents import Extras, write_content
from slicebank_service.exports.layouts import Content, exported_bag
from slicebank_service.intake.staged import staged
from slicebank_service.removal import remove_files
from slicebank_service.routers.jobs import show
from slicebank_store.blobs import BlobReader, FileReader
from slicebank_store.catalogue import BagRecord

router = APIRouter(prefix="/bags", tags=["bags"])


# What curl says of any file, and what says nothing, too: the bytes decide.
_HDF5_TYPES = frozenset(
    {
        "application/x-hdf5",
        "application/x-hdf",
        "application/hdf5",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "",
    }
)


class BagFormat(StrEnum):
    """In what form a bag's file is wanted."""

    H5 = "h5"
    NPZ = "npz"
    PT = "pt"
    PARQUET = "parquet"


_MEDIA_TYPES = {
    BagFormat.NPZ: "application/x-npz",
    BagFormat.PT: "application/octet-stream",
    BagFormat.PARQUET: "application/vnd.apache.parquet",
}


@router.get("")
def list_bags(
    context: Ctx,
    series_uid: AskedSeriesUid,
    study_uid: AskedStudyUid,
    encoder: Annotated[str | None, Query(pattern=ENCODER_PATTERN)] = None,
    recipe_digest: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
) -> BagPage:
    """Lists bags, the newest first."""
    page = context.catalogue.bags.list(
        context.project,
        series_uid=series_uid,
        study_uid=study_uid,
        encoder=encoder,
        recipe_digest=recipe_digest,
        limit=limit,
        cursor=cursor,
    )
    return BagPage(items=[bag_view(bag) for bag in page.items], next_cursor=page.next_cursor)


@router.post(
    "",
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/x-hdf5": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def bring(
    context: Ctx,
    request: Request,
    encoder: Annotated[
        str, Query(pattern=EXTERNAL_PATTERN, description="`external:NAME`; all bags of a NAME have rows of one kind.")
    ],
    series_uid: Annotated[
        str | None, Query(pattern=ID_PATTERN, description="Made up of the values where left out.")
    ] = None,
    study_uid: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
    patient: Annotated[
        str | None, Query(min_length=1, max_length=256, description="PatientID; hashed on arrival.")
    ] = None,
) -> BagView:
    """Takes a bag made elsewhere: HDF5 in the layout of STAMP, TRIDENT or CLAM; heads learn from it and answer about it like from our own."""
    # Here, because they bring pydicom and numpy, and a service should answer before its first upload.
    from slicebank_service.bringing import BroughtAs, bring_bag
    from slicebank_service.intake.receive import receive

    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type not in _HDF5_TYPES:
        raise UnsupportedMedia("this Content-Type is not taken here; send the HDF5 file itself as application/x-hdf5")
    await anyio.to_thread.run_sync(context.admission.check_disks)
    said = BroughtAs(encoder, series_uid, study_uid, patient)
    async with staged(context) as upload:
        received = await receive(
            request.stream(),
            upload.folder,
            content_type="application/octet-stream",
            content_encoding=request.headers.get("content-encoding", ""),
            content_digest=request.headers.get("content-digest", ""),
            max_bytes=context.settings.max_foreign_bag_bytes,
            max_files=1,
            check_room=context.admission.check_disks,
        )
        bag = await anyio.to_thread.run_sync(
            bring_bag, context, received.files[0].path, said, upload.folder, limiter=context.intake_limiter
        )
    return bag_view(bag)


@router.get("/{bag_id}")
def get_bag(context: Ctx, bag_id: Identifier) -> BagView:
    """Shows a bag."""
    return bag_view(find_bag(context, bag_id))


@router.delete("/{bag_id}", status_code=204)
def delete_bag(context: Ctx, bag_id: Identifier) -> Response:
    """Removes a bag and its predictions; removing what is not there is no error."""
    remove_files(context, context.catalogue.deletions.delete_bag(context.project, bag_id))
    return Response(status_code=204)


@router.get("/{bag_id}/file", response_class=Response)
def bag_file(
    context: Ctx, request: Request, bag_id: Identifier, kind: Annotated[BagFormat, Query(alias="format")] = BagFormat.H5
) -> Response:
    """Gives a bag's file, whole or in part: the HDF5 as stored, its arrays as npz, its rows as a tensor (pt) or as Parquet."""
    bag = find_bag(context, bag_id)
    with ExitStack() as stack:
        reader: BlobReader
        if kind is BagFormat.H5:
            reader = stack.enter_context(context.blobs.open_reader(bag.blob_key))
            etag, media_type = bag.sha256, "application/x-hdf5"
        else:
            path = stack.enter_context(context.blobs.open_local(bag.blob_key))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slicebank-")))
            made = folder / f"bag.{kind.value}"
            write_as(bag, path, made, kind)
            reader = FileReader(stack.enter_context(made.open("rb")), made.name)
            etag, media_type = f"{bag.sha256}-{kind.value}", _MEDIA_TYPES[kind]
        return file_response(
            reader,
            request.headers,
            etag=etag,
            media_type=media_type,
            filename=f"{bag.bag_id}.{kind}",
            stack=stack.pop_all(),
        )


def write_as(bag: BagRecord, source: Path, target: Path, kind: BagFormat) -> None:
    """Writes a stored bag in another form; the same bag gives the same bytes."""
    if kind is BagFormat.NPZ:
        write_npz(bag, source, target)
        return
    content = Content.PT if kind is BagFormat.PT else Content.PARQUET
    write_content(exported_bag(bag, patient=bag.patient), content, source, target, extras=Extras())


def find_bag(context: Context, bag_id: str) -> BagRecord:
    """A stored bag.

    Raises:
        BagNotReady: its job is at work, or came to no good end; the error carries the job.
        UnknownBag: nothing is known of it.
    """
    bag = context.catalogue.bags.get(context.project, bag_id)
    if bag is not None:
        return bag
    job = context.catalogue.jobs.latest_for_bag(context.project, bag_id)
    if job is None:
        raise UnknownBag(f"There is no bag {bag_id[:40]}: see the list of bags, or upload its series.")
    view = show(context, job)
    if job.state.final:
        raise UnknownBag(
            f"There is no bag {bag_id[:40]}: its job {job.job_id} is {job.state.value}.", job=view.model_dump()
        )
    raise BagNotReady(
        f"The bag is being made by job {job.job_id}: wait for that, then ask again.", job=view.model_dump()
    )
