"""Exports: a cohort for other people's software."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fastapi import APIRouter
from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse

from slicebank_service.context import Context, Ctx
from slicebank_service.exports.contents import Extras
from slicebank_service.exports.request import ExportRequest
from slicebank_service.exports.selecting import select
from slicebank_service.exports.streaming import stream
from slicebank_service.exports.tables import check_labels
from slicebank_service.routers.heads import find_head
from slicebank_store.identity import prediction_id

router = APIRouter(prefix="/exports", tags=["exports"])

N_BAGS = "X-Slicebank-Bags"
N_UNMATCHED = "X-Slicebank-Unmatched"


@router.post("", response_class=Response, responses={200: {"content": {"application/x-tar": {}}}})
def export(context: Ctx, request: ExportRequest) -> Response:
    """Gives the bags of one recipe as a tar archive in the layout of STAMP, TRIDENT, CLAM or CLEAR, or as Parquet, with its tables."""
    head_id = None if request.attention_of is None else find_head(context, request.attention_of).head_id
    selection = select(context, request)
    check_labels(selection)

    def attention(bag_id: str) -> Mapping[int, float] | None:
        return None if head_id is None else _attention(context, head_id, bag_id)

    blocks: Iterator[bytes] = stream(
        context.blobs,
        selection,
        skip=frozenset(request.skip),
        extras=Extras(thumbnails=request.thumbnails, attention=head_id is not None),
        attention=attention,
    )
    return StreamingResponse(
        blocks,
        media_type="application/x-tar",
        headers={
            "Content-Disposition": f'attachment; filename="{request.layout.value}.tar"',
            N_BAGS: str(len(selection.bags)),
            N_UNMATCHED: str(len(selection.unmatched)),
        },
        background=BackgroundTask(_close, blocks),
    )


def _close(blocks: Iterator[bytes]) -> None:
    """Ends a generator that was not read to its end, so that its folder goes."""
    close = getattr(blocks, "close", None)
    if close is not None:
        close()


def _attention(context: Context, head_id: str, bag_id: str) -> dict[int, float] | None:
    found = context.catalogue.predictions.get(context.project, prediction_id(context.project, head_id, bag_id))
    if found is None:
        return None
    return {int(row["row"]): float(row["weight"]) for row in found.attention["rows"]}
