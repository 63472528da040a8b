"""Bags: what is stored, and their files."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from slicebank_service.answers.bags import BagPage, BagView, bag_view, write_npz
from slicebank_service.answers.files import file_response
from slicebank_service.context import ID_PATTERN, AskedSeriesUid, AskedStudyUid, Context, Ctx, Identifier
from slicebank_service.errors import BagNotReady, UnknownBag
from slicebank_service.removal import remove_files
from slicebank_service.routers.jobs import show
from slicebank_store.blobs import BlobReader, FileReader
from slicebank_store.catalogue import BagRecord

router = APIRouter(prefix="/bags", tags=["bags"])


class BagFormat(StrEnum):
    """In what form a bag's file is wanted."""

    H5 = "h5"
    NPZ = "npz"


@router.get("")
def list_bags(
    context: Ctx,
    series_uid: AskedSeriesUid,
    study_uid: AskedStudyUid,
    encoder: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
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
    """Gives a bag's file, whole or in part: the HDF5 as stored, or its arrays as npz."""
    bag = find_bag(context, bag_id)
    with ExitStack() as stack:
        reader: BlobReader
        if kind is BagFormat.H5:
            reader = stack.enter_context(context.blobs.open_reader(bag.blob_key))
            etag, media_type = bag.sha256, "application/x-hdf5"
        else:
            path = stack.enter_context(context.blobs.open_local(bag.blob_key))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slicebank-")))
            write_npz(bag, path, folder / "bag.npz")
            reader = FileReader(stack.enter_context((folder / "bag.npz").open("rb")), "bag.npz")
            etag, media_type = f"{bag.sha256}-npz", "application/x-npz"
        return file_response(
            reader,
            request.headers,
            etag=etag,
            media_type=media_type,
            filename=f"{bag.bag_id}.{kind}",
            stack=stack.pop_all(),
        )


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
