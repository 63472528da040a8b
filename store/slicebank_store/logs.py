"""Logging of every slicebank process: one JSON object a line, on standard output."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping

import structlog


def configure_logging(level: str, *, quieter: Mapping[str, int] | None = None) -> None:
    """Sends structlog and the standard library's loggers to standard output as JSON.

    Args:
        level: debug, info, warning or error.
        quieter: loggers that say too much, and the least level of theirs that is let through.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    renderers: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(),
    ]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=renderers, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.getLevelNamesMapping()[level.upper()])
    for name, least in (quieter or {}).items():
        logging.getLogger(name).setLevel(least)
