"""Why `slicebank serve` does not start.

ServeError
├── AlreadyServing      another supervisor holds the data folder
├── BrokerUnavailable   no broker could be started
├── PortTaken           the asked port is in use
└── StartFailed         the API did not answer in time
"""

from __future__ import annotations

from typing import ClassVar


class ServeError(Exception):
    """Anything that keeps `slicebank serve` from starting; its text is what the user reads."""

    code: ClassVar[str] = "serve_error"


class AlreadyServing(ServeError):
    """Another supervisor holds the data folder."""

    code = "already_serving"


class BrokerUnavailable(ServeError):
    """No broker could be started."""

    code = "broker_unavailable"


class PortTaken(ServeError):
    """The asked port is in use."""

    code = "port_taken"


class StartFailed(ServeError):
    """The API did not answer in time."""

    code = "start_failed"
