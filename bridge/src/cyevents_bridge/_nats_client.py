"""NATS's client with what the engine needs beyond its public interface. No other file uses its private parts.

The client has no public means for these, so this file uses private names. `tests/test_nats_client.py` checks that each
of them exists, and the requirement in `pyproject.toml` excludes versions that were not tested.

1. It fails at a message whose subject is not UTF-8 or holds a vertical tab, or whose headers are malformed. Its reader
   then ends unnoticed, or JetStream delivers the same message after every reconnection. `_Parser` reads everything that
   the server may send.
2. It closes itself for good when the server reports an error, and stays disconnected if its reader or its task that
   reconnects ends by an exception. `Client` connects again.
3. It sends its password without TLS to a server that does not ask for TLS.
4. It writes what its buffer held at the loss of a connection as the first thing over the next one: out of order.
5. It cannot be closed while the server reads nothing, and cannot stop a subscription without discarding what arrives
   until the server knows.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from nats import errors
from nats.aio.client import Client as BaseClient
from nats.protocol.parser import Parser

from .engine import times_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.subscription import Subscription

_LONGEST_LINE = 65536  # bytes; a server allows 4096 unless it is configured otherwise
_STATUS = re.compile(rb"NATS/1\.0 +(\d{3})(?!\d)")
_RETRY_PAUSE = 0.5  # seconds until reconnecting is tried again after an error that the client does not expect


class NoTLS(errors.Error):
    """TLS is wanted, and the server does not offer it."""


class Client(BaseClient):
    """The client. `wants_tls` and `report` are set before `connect` is called.

    Attributes:
        wants_tls: whether a server that does not offer TLS is refused.
        report: called with the error of a connection that the client would have ended for good.
    """

    wants_tls = False
    report: Callable[[Exception], None]

    def __init__(self) -> None:
        super().__init__()
        # `_ps` is the client's parser: its only place to decide how a line is read. See `_Parser`.
        self._ps = _Parser(self)

    async def unsubscribe_at_server(self, subscription: Subscription) -> None:
        """Have the server send no more messages. Those under way are still received.

        `unsubscribe` and `drain` discard them: `drain` sends an UNSUB and a PING, the PING overtakes the UNSUB in the
        client's buffer, and its answer comes too early. JetStream would deliver them again only after `ack_wait`.
        `_send_unsubscribe` sends the command alone. `_id` is the subscription's number in it.
        """
        await self._send_unsubscribe(subscription._id)

    def drop_pending(self, beginning: bytes) -> None:
        """Do not send the buffered commands that begin so.

        Without it, what `_pending` held when a connection broke is sent before what that connection has lost, and at
        closing to whatever server is there by then. `_pending_data_size` is its size: if it is wrong, the client either
        sends nothing or waits for no reason.
        """
        self._pending = [command for command in self._pending if not command.startswith(beginning)]
        self._pending_data_size = sum(map(len, self._pending))

    def abort(self) -> None:
        """Close the socket at once.

        `close` waits until the server has read everything. If it reads nothing, the socket stays open for ever. The
        `StreamWriter` is `_io_writer` of `_transport`. A WebSocket has none, and closes by itself after a time limit.
        """
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    def _connect_command(self) -> bytes:
        """Return the command that logs in, with the password.

        The client sends it without TLS if `_server_info`, what the server says first, does not ask for TLS.
        """
        is_encrypted = self._server_info.get("tls_required") or self.options["tls_handshake_first"]
        if self.wants_tls and not is_encrypted:
            raise NoTLS("TLS is wanted, and the server does not offer it")
        command: bytes = super()._connect_command()
        return command

    async def _process_err(self, err_msg: str) -> None:
        """Connect again after an error that the server reports. The client would close itself for good.

        `-ERR` may be provoked by a message that is too large, or be temporary, as when the server has too many clients.
        """
        if not self.options["allow_reconnect"] or "permissions violation" in err_msg or "stale connection" in err_msg:
            await super()._process_err(err_msg)
            return
        self.report(errors.Error(f"the server says {err_msg}"))
        await self.force_reconnect()

    async def _read_loop(self) -> None:
        """Read until the connection is lost, and connect again if reading has ended for another reason.

        The client's own method ends at an exception that it does not expect, and leaves the connection as it is.
        """
        before = times_cancelled()
        await super()._read_loop()
        if self.is_connected and times_cancelled() == before:
            self.report(errors.Error("the client has stopped reading"))
            await self.force_reconnect()

    async def _attempt_reconnect(self) -> None:
        """Connect again until it succeeds. The client's own method ends at an exception that it does not expect."""
        while True:
            try:
                await super()._attempt_reconnect()
                return
            except Exception as error:
                self.report(error)
            await asyncio.sleep(_RETRY_PAUSE)
            if self.is_closed:
                return


class _Parser(Parser):
    """Reads what the server sends.

    A server takes any byte in a subject except space, tab and line feed, and any bytes as headers. The client's parser
    separates at all ASCII white space, and its methods decode subjects and statuses as UTF-8. This parser separates
    where the server does, escapes what is not printable, and passes on no header except a status, because the engine
    reads no other.
    """

    def reset(self) -> None:
        """Forget what has been read. Called also when the connection is lost."""
        super().reset()
        self._announced: tuple[bytes, int, bytes, int, int] | None = None  # a message whose payload has not arrived yet

    async def parse(self, data: bytes = b"") -> None:
        """Read what has arrived, and pass on what is complete."""
        self.buf += data
        while self.buf:
            if self._announced is None:
                end = self.buf.find(b"\r\n")
                if end < 0:
                    if len(self.buf) > _LONGEST_LINE:
                        raise errors.ProtocolError("nats: a line is too long")
                    return
                line = bytes(self.buf[:end])
                if not line.startswith((b"MSG ", b"HMSG ")):
                    if not await self._parse_other(end + 2):
                        return
                    continue
                self._announced = _parse_announcement(line)
                del self.buf[: end + 2]
            subject, sid, reply, header_size, size = self._announced
            if len(self.buf) < size + 2:
                return
            status = _STATUS.match(self.buf, 0, header_size) if header_size else None
            headers = b"NATS/1.0 %b\r\n\r\n" % status[1] if status else b""
            body = bytes(memoryview(self.buf)[header_size:size])  # copied once
            del self.buf[: size + 2]
            self._announced = None
            # `_process_msg` gives the message to its subscription.
            await self.nc._process_msg(sid, _printable(subject), reply and _printable(reply), body, headers)

    async def _parse_other(self, size: int) -> bool:
        """Have the client's parser read a line that is not about a message. Return whether to read on."""
        rest = self.buf[size:]
        line = self.buf = self.buf[:size]
        await super().parse()
        if self.buf is not line:  # the connection is lost
            return False
        if line:
            raise errors.ProtocolError("nats: unknown protocol")
        self.buf = rest
        return True


def _parse_announcement(line: bytes) -> tuple[bytes, int, bytes, int, int]:
    """Return the subject, subscription, reply subject, size of headers and size of headers and body of a message."""
    name, subject, *rest = line.split(b" ")
    try:
        if name == b"MSG":
            sid, *reply, size = rest
            header_size = b"0"
        else:
            sid, *reply, header_size, size = rest
        announced = (subject, int(sid), reply[0] if reply else b"", int(header_size), int(size))
    except ValueError:
        raise errors.ProtocolError("nats: malformed MSG") from None
    if len(reply) > 1 or not 0 <= announced[3] <= announced[4]:
        raise errors.ProtocolError("nats: malformed MSG")
    return announced


def _printable(subject: bytes) -> bytes:
    """Return a subject as UTF-8, with what is not UTF-8 or not printable percent-encoded."""
    try:
        if subject.decode().isprintable():
            return subject
    except UnicodeDecodeError:
        pass
    text = subject.decode(errors="surrogateescape")
    return "".join([c if c.isprintable() else quote(c, safe="", errors="surrogateescape") for c in text]).encode()
