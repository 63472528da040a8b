"""Metrics in Prometheus' text format; they tell how busy a site is, so the key is asked for."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from slicebank_service.context import Ctx

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(context: Ctx) -> Response:
    """Tells Prometheus what this API process counts; each process answers for itself."""
    return Response(generate_latest(context.metrics.registry), media_type=CONTENT_TYPE_LATEST)
