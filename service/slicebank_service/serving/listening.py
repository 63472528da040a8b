"""The API's listening socket: bound by the supervisor, so that an API that is restarted keeps its port."""

from __future__ import annotations

import errno
import socket
from contextlib import closing

from slicebank_service.serving.errors import PortTaken

DEFAULT_PORT = 8000
# So many ports from the default on are tried where none is asked for.
_PORTS_TRIED = 100
# Connections that may wait while the API starts again.
_BACKLOG = 2048


def listen(host: str, port: int | None) -> closing[socket.socket]:
    """Opens the listening socket; to be used in a `with`.

    Args:
        host: name or address to listen on.
        port: 0 takes a free one; None takes 8000 or the next free one.

    Raises:
        PortTaken: the asked port, or every port tried, is in use, or the host is not one of this machine.
    """
    tried = [port] if port is not None else range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED)
    try:
        family, _, _, _, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise PortTaken(f"{host} is not an address of this machine; give --host 127.0.0.1 or 0.0.0.0") from error
    for number in tried:
        try:
            return closing(socket.create_server((address[0], number), family=family, backlog=_BACKLOG))
        except PermissionError as error:
            raise PortTaken(
                f"port {number} needs rights that this user lacks; choose one above 1023, or --port 0"
            ) from error
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise PortTaken(
                    f"cannot listen on {host}: {error.strerror}; give --host 127.0.0.1 or 0.0.0.0"
                ) from error
    what = (
        f"port {port} is"
        if port is not None
        else f"the ports {DEFAULT_PORT} to {DEFAULT_PORT + _PORTS_TRIED - 1} are all"
    )
    raise PortTaken(f"{what} in use; choose another with --port, or --port 0 for any free one")


def check_free(host: str, port: int) -> None:
    """Looks whether a port that a child process will open can be had now, so that whoever starts the service hears of it.

    Raises:
        PortTaken: it is in use, or the host is not one of this machine.
    """
    with listen(host, port):
        pass


def url_of(listening: socket.socket) -> str:
    """The URL by which a client on this machine reaches a listening socket."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
