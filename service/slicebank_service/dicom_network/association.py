"""One association, from its request to its end (PS3.8 section 9.2, as an acceptor; PS3.7 as an SCP)."""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from slicebank_service.dicom_network.errors import AssociationError, PeerGone, ProtocolError, Rejected
from slicebank_service.dicom_network.messages import Command, CommandField, parse_command, response
from slicebank_service.dicom_network.metrics import ListenerMetrics
from slicebank_service.dicom_network.negotiation import Context, Request, accept, parse_request
from slicebank_service.dicom_network.reception import Incoming, Reception
from slicebank_service.dicom_network.statuses import (
    PROCESSING_FAILED,
    TAKEN,
    UNKNOWN_OPERATION,
    WRONG_CONTEXT,
    Answer,
)
from slicebank_service.dicom_network.wire import PduType, Wire

log = structlog.get_logger()

# 128 presentation contexts of 13 transfer syntaxes each take some 110 kB; role selection as much again.
_LONGEST_REQUEST_BYTES = 1024 * 1024
_LONGEST_COMMAND_BYTES = 16 * 1024

# Bits of a message control header (PS3.8 annex E.2).
_IS_COMMAND, _IS_LAST = 1, 2


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may associate, and how.

    Attributes:
        aet: the listener's own AE title.
        require_called: whether a request must name it.
        calling: AE titles that may send; empty for all.
        max_pdu_bytes: longest unit asked for.
    """

    aet: str
    require_called: bool
    calling: frozenset[str]
    max_pdu_bytes: int


@dataclass(slots=True)
class _Message:
    """A request of which a data set is still coming; without `incoming` the data set is dropped."""

    context_id: int
    command: Command
    incoming: Incoming | None
    answer: Answer

    def write(self, block: memoryview) -> None:
        if self.incoming is not None:
            self.incoming.write(block)


@dataclass(slots=True)
class Association:
    """Serves one association on the thread that calls `serve`.

    Attributes:
        wire: the connection.
        peer: its address, for the log.
        rules: who may associate.
        reception: takes the instances.
        metrics: counts them.
        full: whether there are as many associations as may be, so that this one is refused.
        negotiated: called when the association stands.
    """

    wire: Wire
    peer: str
    rules: Rules
    reception: Reception
    metrics: ListenerMetrics
    full: bool = False
    negotiated: Callable[[], None] = lambda: None
    _calling: str = ""
    _contexts: Mapping[int, Context] = field(default_factory=dict)
    _command: bytearray = field(default_factory=bytearray)
    _message: _Message | None = None
    _codes: Counter[str] = field(default_factory=Counter)
    _bytes: int = 0

    def serve(self) -> None:
        """Returns when the association has ended, in whatever way."""
        began = time.monotonic()
        outcome, why = "failed", ""
        try:
            self._negotiate()
            self.negotiated()
            outcome = self._serve_messages()
        except Rejected as error:
            outcome, why = "rejected", str(error)
        except PeerGone as error:
            outcome, why = "lost", str(error)
        except ProtocolError as error:
            outcome, why = "protocol_error", str(error)
        finally:
            self._drop_message()
            self.reception.close()
            self.metrics.ended(outcome)
            log.info(
                "association_ended",
                calling_aet=self._calling,
                peer=self.peer,
                outcome=outcome,
                why=why,
                instances=dict(self._codes),
                size_bytes=self._bytes,
                seconds=round(time.monotonic() - began, 3),
            )

    def _negotiate(self) -> None:
        kind, length = self.wire.next_unit()
        if kind is not PduType.ASSOCIATE_RQ or length > _LONGEST_REQUEST_BYTES:
            raise self._aborted("no association request")
        try:
            request = parse_request(self.wire.read(length))
            self._calling = request.calling
            self._admit(request)
        except Rejected as error:
            body = struct.pack(">xBBB", error.result, error.source, error.reason)
            self.wire.send(PduType.ASSOCIATE_RJ, body)
            raise
        except ProtocolError as error:
            raise self._aborted(str(error)) from error
        self._contexts, body = accept(request, max_pdu_bytes=self.rules.max_pdu_bytes)
        self.wire.send(PduType.ASSOCIATE_AC, body)

    def _admit(self, request: Request) -> None:
        rules = self.rules
        if self.full:
            raise Rejected("too_many_associations", result=2, source=3, reason=2)
        if rules.require_called and request.called != rules.aet:
            raise Rejected("called_aet", result=1, source=1, reason=7)
        if rules.calling and request.calling not in rules.calling:
            raise Rejected("calling_aet", result=1, source=1, reason=3)

    def _serve_messages(self) -> str:
        while True:
            kind, length = self.wire.next_unit()
            if kind is PduType.DATA:
                try:
                    self._read_values(length)
                except ProtocolError as error:
                    raise self._aborted(str(error)) from error
            elif kind is PduType.RELEASE_RQ:
                self.wire.send(PduType.RELEASE_RP, bytes(4))
                return "released"
            elif kind is PduType.ABORT:
                return "aborted"
            else:
                raise self._aborted("a unit that has no place in an association")

    def _read_values(self, left: int) -> None:
        """Reads the presentation data values of one unit of `left` bytes."""
        while left:
            if left < 6:
                raise ProtocolError("a unit that is cut off")
            size, context_id, control = struct.unpack(">IBB", self.wire.read(6))
            if size < 2 or size + 4 > left:
                raise ProtocolError("a value longer than its unit")
            left -= size + 4
            if control & _IS_COMMAND:
                self._read_command(size - 2, context_id, last=bool(control & _IS_LAST))
            elif self._message is None or self._message.context_id != context_id:
                raise ProtocolError("a data set that nobody announced")
            else:
                self.wire.stream(size - 2, self._message.write)
                if control & _IS_LAST:
                    self._finish(self._message)

    def _read_command(self, size: int, context_id: int, *, last: bool) -> None:
        if self._message is not None or len(self._command) + size > _LONGEST_COMMAND_BYTES:
            raise ProtocolError("a command in the middle of a data set, or one without end")
        self._command += self.wire.read(size)
        if not last:
            return
        command = parse_command(bytes(self._command))
        self._command.clear()
        context = self._contexts.get(context_id)
        if context is None:
            raise ProtocolError("a presentation context that was not accepted")
        if command.field & 0x8000 or command.field == CommandField.C_CANCEL:
            return  # nothing was asked of the peer, and nothing here lasts long enough to be cancelled
        self._message = self._begin(context_id, context, command)
        if not command.has_data_set:
            self._finish(self._message)

    def _begin(self, context_id: int, context: Context, command: Command) -> _Message:
        if command.field == CommandField.C_ECHO:
            return _Message(context_id, command, None, TAKEN)
        if command.field != CommandField.C_STORE:
            return _Message(context_id, command, None, UNKNOWN_OPERATION)
        if command.sop_class != context.abstract_syntax:
            return _Message(context_id, command, None, WRONG_CONTEXT)
        if not command.has_data_set:
            raise ProtocolError("a C-STORE without a data set")
        try:
            incoming = self.reception.begin(command, context.transfer_syntax)
        except OSError as error:
            log.exception("instance_failed", ordinal=self._codes.total() + 1, reason=type(error).__name__)
            return _Message(context_id, command, None, PROCESSING_FAILED)
        return _Message(context_id, command, incoming, TAKEN)

    def _finish(self, message: _Message) -> None:
        answer = message.answer
        if message.incoming is not None:
            answer = self._finish_instance(message.incoming, message.command)
        self._message = None
        if message.command.field == CommandField.C_STORE:
            size = 0 if message.incoming is None else message.incoming.size
            self._codes[answer.code] += 1
            self._bytes += size
            self.metrics.received(answer.code, size)
            if not answer.taken:
                log.warning(
                    "instance_refused", code=answer.code, status=f"{answer.status:04X}", ordinal=self._codes.total()
                )
        body = response(message.command, answer)
        head = struct.pack(">IBB", len(body) + 2, message.context_id, _IS_COMMAND | _IS_LAST)
        self.wire.send(PduType.DATA, head + body)

    def _finish_instance(self, incoming: Incoming, command: Command) -> Answer:
        try:
            return self.reception.finish(incoming, command)
        except Exception:
            # One instance never harms another: the sender hears of it, and the log says why.
            log.exception("instance_failed", ordinal=self._codes.total() + 1)
            return PROCESSING_FAILED

    def _drop_message(self) -> None:
        if self._message is not None and self._message.incoming is not None:
            self._message.incoming.close()

    def _aborted(self, why: str) -> AssociationError:
        """Sends an A-ABORT of the provider's (PS3.8 section 9.3.8), for reasons of protocol."""
        try:
            self.wire.send(PduType.ABORT, struct.pack(">xxBB", 2, 0))
        except PeerGone:
            return ProtocolError(f"{why}; and the peer is gone")
        return ProtocolError(why)
