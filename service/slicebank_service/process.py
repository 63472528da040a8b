"""An API process, from its settings to its end."""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from functools import partial

import uvicorn
from prometheus_client import disable_created_metrics

from slicebank_models.registry import EncoderRegistry
from slicebank_service.app import create_app
from slicebank_service.settings import ServiceSettings
from slicebank_store.blobs import open_blobs
from slicebank_store.catalogue import Catalogue
from slicebank_store.errors import StoreError
from slicebank_store.identity import ProjectKeys
from slicebank_store.intake import Staging
from slicebank_store.logs import configure_logging
from slicebank_store.notify import subscribe
from slicebank_store.queue import CeleryQueue
from slicebank_store.workers import read_workers

# Long-polls and event streams would otherwise hold a stopping process for as long as they like.
_GRACE_SECONDS = 5


# uvicorn's access log says with paths what the middleware says with patterns, and paths carry identifiers; the multipart
# parser logs a line for every byte that surprises it.
# Addresses of requests to a PACS carry what was asked, which may be a name.
_QUIETER = {
    "uvicorn.access": logging.WARNING,
    "python_multipart": logging.ERROR,
    "httptools": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "pydicom": logging.CRITICAL,
    "pynetdicom": logging.CRITICAL,
}


def run(arguments: list[str] | None) -> int:
    """Runs the API until it is told to stop; gives the exit status."""
    settings = ServiceSettings()
    parser = argparse.ArgumentParser(prog="slicebank_service", description="The slicebank API.")
    parser.add_argument("--host", default=settings.host, help="address to listen on")
    parser.add_argument("--port", type=int, default=settings.port, help="port to listen on")
    parser.add_argument("--fd", type=int, help="listen on this inherited socket instead")
    options = parser.parse_args(arguments)
    if settings.api_key is None or not settings.api_key.get_secret_value():
        sys.stderr.write(
            "Set SLICEBANK_API_KEY to the key that clients must send; `slicebank serve` makes one by itself.\n"
        )
        return 2
    configure_logging(settings.log_level, quieter=_QUIETER)
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a time beside every counter would double what Prometheus stores
    try:
        catalogue = Catalogue.open(settings.resolved_catalogue_url)
    except StoreError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    try:
        app = create_app(
            settings,
            catalogue=catalogue,
            blobs=open_blobs(settings),
            staging=Staging(settings.resolved_staging_dir),
            queue=CeleryQueue(settings.resolved_broker_url),
            registry=EncoderRegistry(settings.resolved_encoders_dir),
            keys=ProjectKeys(settings.resolved_keys_dir),
            notifications=partial(subscribe, settings.resolved_broker_url),
            living_workers=partial(read_workers, settings.resolved_broker_url),
        )
    except StoreError as error:
        # Of the settings: policies that the project was not made with, PACS that are not usable.
        sys.stderr.write(f"{error}\n")
        catalogue.close()
        return 1
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    sockets = None if options.fd is None else [socket.socket(fileno=options.fd)]
    try:
        uvicorn.Server(config).run(sockets=sockets)
    finally:
        catalogue.close()
    return 0
