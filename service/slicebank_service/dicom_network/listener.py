"""The listening socket, a thread for each association, and their end."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable

import structlog

from slicebank_service.dicom_network.association import Association, Rules
from slicebank_service.dicom_network.metrics import ListenerMetrics
from slicebank_service.dicom_network.reception import Reception
from slicebank_service.dicom_network.settings import ListenerSettings
from slicebank_service.dicom_network.wire import Wire

log = structlog.get_logger()

# Connections beyond the associations that may be open: each is told so, which takes a moment.
_BEYOND = 16
_BACKLOG = 128
# From the connection to the end of the negotiation (PS3.8 section 9.1.5, ARTIM), TLS included; senders need a few round trips.
_NEGOTIATION_SECONDS = 30.0
# A socket that was shut down wakes its thread at once; what it then does is remove a file.
_LAST_SECONDS = 5.0


class Listener:
    """Accepts associations until it is stopped. The calling process starts and stops it; threads of its own do the rest.

    Attributes:
        address: host and port where it listens.
    """

    def __init__(
        self, settings: ListenerSettings, port: int, reception: Callable[[], Reception], metrics: ListenerMetrics
    ) -> None:
        """Binds the socket; nobody is served before `start`.

        Args:
            settings: who may connect, and how much.
            port: 0 takes a free one.
            reception: makes the taker of one association's instances.
            metrics: counts.

        Raises:
            OSError: the address cannot be had, or a TLS file cannot be read.
        """
        self._settings = settings
        self._rules = Rules(
            aet=settings.listen_aet,
            require_called=settings.listen_require_called_aet,
            calling=settings.calling_aets,
            max_pdu_bytes=settings.listen_max_pdu_bytes,
        )
        self._peers = settings.peers
        self._reception = reception
        self._metrics = metrics
        self._tls = _tls_context(settings)
        family = socket.AF_INET6 if ":" in settings.listen_host else socket.AF_INET
        self._socket = socket.create_server((settings.listen_host, port), family=family, backlog=_BACKLOG)
        host, bound = self._socket.getsockname()[:2]
        self.address: tuple[str, int] = (host, bound)
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._stopping = threading.Event()
        self._acceptor = threading.Thread(target=self._accept, name="listener", daemon=True)

    def start(self) -> None:
        """Begins to accept."""
        self._acceptor.start()

    def stop(self, *, grace_s: float) -> None:
        """Accepts no more, gives open associations a time to end, then cuts them; what was acknowledged is kept."""
        self._stopping.set()
        try:
            # close alone does not wake a thread that accepts.
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            log.debug("listener_was_closed", reason=type(error).__name__)
        self._socket.close()
        if self._acceptor.ident is not None:
            self._acceptor.join()
        self._wait(grace_s)
        with self._lock:
            left = dict(self._open)
        for connection in left.values():
            _shut(connection)
        if left:
            log.warning("associations_cut", associations=len(left))
            self._wait(_LAST_SECONDS)

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._lock:
            threads = list(self._open)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, address = self._socket.accept()
            except OSError as error:
                if not self._stopping.is_set():
                    # Too many open files, mostly; they go.
                    log.warning("accept_failed", reason=error.strerror or type(error).__name__)
                    self._stopping.wait(0.2)
                continue
            peer = str(address[0])
            with self._lock:
                others = len(self._open)
            if not self._may_connect(peer) or others >= self._settings.listen_max_associations + _BEYOND:
                log.warning("connection_refused", peer=peer)
                self._metrics.ended("refused")
                connection.close()
                continue
            full = others >= self._settings.listen_max_associations
            thread = threading.Thread(
                target=self._serve, args=(connection, peer, full), name="association", daemon=True
            )
            with self._lock:
                self._open[thread] = connection
            try:
                thread.start()
            except RuntimeError as error:
                # The system has no thread to give; they come back as associations end.
                with self._lock:
                    del self._open[thread]
                log.warning("connection_refused", peer=peer, reason=type(error).__name__)
                self._metrics.ended("refused")
                connection.close()

    def _serve(self, connection: socket.socket, peer: str, full: bool) -> None:
        try:
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.settimeout(self._settings.listen_idle_seconds)
                with self._metrics.open.track_inprogress():
                    self._associate(connection, peer, full)
        except OSError as error:
            # A TLS handshake that failed, or a peer that went at once.
            log.warning("connection_failed", peer=peer, reason=type(error).__name__)
            self._metrics.ended("failed")
        finally:
            with self._lock:
                del self._open[threading.current_thread()]

    def _associate(self, connection: socket.socket, peer: str, full: bool) -> None:
        secured = connection
        if self._tls is not None:
            secured = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with secured:
            if isinstance(secured, ssl.SSLSocket):
                # The socket is this one's from now on, and `stop` must be able to cut it, in the handshake too.
                with self._lock:
                    self._open[threading.current_thread()] = secured
            # One that comes byte by byte is never silent, and would keep its place for ever.
            late = threading.Timer(min(self._settings.listen_idle_seconds, _NEGOTIATION_SECONDS), _shut, (secured,))
            late.daemon = True
            late.start()
            try:
                self._serve_association(secured, peer, full, negotiated=late.cancel)
            finally:
                late.cancel()

    def _serve_association(
        self, secured: socket.socket, peer: str, full: bool, *, negotiated: Callable[[], None]
    ) -> None:
        if isinstance(secured, ssl.SSLSocket):
            secured.do_handshake()
        wire = Wire(secured, idle_s=self._settings.listen_idle_seconds)
        try:
            Association(wire, peer, self._rules, self._reception(), self._metrics, full, negotiated).serve()
        finally:
            wire.close()

    def _may_connect(self, peer: str) -> bool:
        address = ipaddress.ip_address(peer.split("%", maxsplit=1)[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return not self._peers or any((mapped or address) in network for network in self._peers)


def _tls_context(settings: ListenerSettings) -> ssl.SSLContext | None:
    if settings.listen_tls_certificate is None:
        return None
    # TLS 1.2 and later, as the profile of BCP 195 asks for (PS3.15 annex B.12).
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.listen_tls_certificate, settings.listen_tls_key)
    if settings.listen_tls_ca is not None:
        context.load_verify_locations(settings.listen_tls_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _shut(connection: socket.socket) -> None:
    try:
        # Of the socket below TLS, whose state belongs to the association's thread.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError as error:
        log.debug("association_was_closed", reason=type(error).__name__)
