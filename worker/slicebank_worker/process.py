"""A worker process, from its settings to its end."""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import ExitStack

from prometheus_client import disable_created_metrics

from slicebank_store.errors import StoreError
from slicebank_store.logs import configure_logging
from slicebank_store.workers import WorkerBoard
from slicebank_worker.allocator import keep_freed_memory
from slicebank_worker.app import build_app, run_app
from slicebank_worker.errors import WorkerError
from slicebank_worker.jobs.imports.hands import ImportHands
from slicebank_worker.metrics import metrics_served
from slicebank_worker.reporting import Reporter
from slicebank_worker.roles import open_role
from slicebank_worker.runtime import Role, open_runtime
from slicebank_worker.settings import WorkerSettings

# Addresses of requests to a PACS carry identifiers, and so do the library's lines about what it sends; those of a hub's files carry signatures.
_QUIETER = {
    "celery": logging.WARNING,
    "kombu": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
    "huggingface_hub": logging.ERROR,
    "filelock": logging.WARNING,
    "pydicom": logging.CRITICAL,
    "pynetdicom": logging.CRITICAL,
}


def run(arguments: list[str] | None) -> int:
    """Works until it is told to stop; gives the exit status."""
    parser = argparse.ArgumentParser(prog="slicebank_worker", description="One slicebank worker process.")
    parser.add_argument("role", type=Role, choices=list(Role), help="which jobs to run")
    role: Role = parser.parse_args(arguments).role
    settings = WorkerSettings()
    keep_freed_memory()
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a time beside every counter would double what Prometheus stores
    configure_logging(settings.log_level, quieter=_QUIETER)
    try:
        with ExitStack() as stack:
            runtime = stack.enter_context(open_runtime(settings, role))
            service = stack.enter_context(open_role(runtime, role))
            if role is Role.EMBED:
                stack.enter_context(ImportHands(runtime, service.runner, settings.imports_at_once))
            board = WorkerBoard(settings.resolved_broker_url)
            stack.callback(board.close)
            stack.enter_context(Reporter(board, service.describe, settings.report_seconds))
            stack.enter_context(metrics_served(runtime.metrics, settings.metrics_host, settings.metrics_port))
            app = build_app(runtime, role, service.runner)
            return run_app(
                app,
                role,
                concurrency=service.concurrency,
                log_level=settings.log_level,
                on_stop=runtime.leases.stopping.set,
            )
    except (StoreError, WorkerError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
