"""The NATS client, with workarounds that need its private parts. No other file uses these.

The client has no public means for the following, so this file uses private names. `tests/test_nats_client.py` checks
that each of them exists, and the requirement in `pyproject.toml` excludes versions that were not tested.

1. The client fails on a message whose subject is not UTF-8 or contains a vertical tab, or whose headers are malformed.
   Its reader then ends unnoticed, or JetStream delivers the same message after every reconnection. `_Parser` reads
   everything that the server may send.
2. The client closes itself for good when the server reports an error, and stays disconnected if an exception ends its
   reader or its reconnecting task. `Client` connects again.
3. The client sends its password without TLS if the server does not require TLS.
4. When a connection is lost, the client sends the content of its buffer first over the next one, out of order.
5. The client cannot be closed while the server reads nothing. It cannot stop a subscription without discarding the
   messages that arrive until the server has processed that.
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
_RETRY_PAUSE = 0.5  # seconds until the next attempt to reconnect after an error that the client does not expect


class NoTLS(errors.Error):
    """The address requires TLS, but the server does not offer it."""


class Client(BaseClient):
    """A NATS client. Set `wants_tls` and `report` before calling `connect`.

    Attributes:
        wants_tls: whether to refuse a server without TLS.
        report: called with an error after which the original client would not reconnect.
    """

    wants_tls = False
    report: Callable[[Exception], None]

    def __init__(self) -> None:
        super().__init__()
        # `_ps` is the client's parser, which alone decides how a line is read. See `_Parser`.
        self._ps = _Parser(self)

    async def unsubscribe_at_server(self, subscription: Subscription) -> None:
        """Tell the server to send no more messages, but still receive those that are on their way.

        `unsubscribe` and `drain` discard them: `drain` sends an UNSUB and a PING, but the PING overtakes the UNSUB in
        the client's buffer, so its answer comes too early. JetStream would deliver the messages again only after
        `ack_wait`. `_send_unsubscribe` sends only the command, in which `_id` is the number of the subscription.
        """
        await self._send_unsubscribe(subscription._id)

    def drop_pending(self, beginning: bytes) -> None:
        """Discard the buffered commands with this beginning.

        Otherwise the commands in `_pending` when a connection breaks are sent before those that the connection lost,
        and on closing even to a new server. `_pending_data_size` is the size of `_pending`. If it is wrong, the client
        either sends nothing or waits for no reason.
        """
        self._pending = [command for command in self._pending if not command.startswith(beginning)]
        self._pending_data_size = sum(map(len, self._pending))

    def abort(self) -> None:
        """Close the socket at once.

        `close` waits until the server has read everything. If the server reads nothing, the socket stays open for ever.
        The `StreamWriter` is `_transport._io_writer`. A WebSocket has none, and closes by itself after a timeout.
        """
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    def _connect_command(self) -> bytes:
        """Return the command that logs in, with the password.

        The client sends it without TLS if `_server_info`, the server's first message, does not require TLS.
        """
        is_encrypted = self._server_info.get("tls_required") or self.options["tls_handshake_first"]
        if self.wants_tls and not is_encrypted:
            raise NoTLS("the address requires TLS, but the server does not offer it")
        command: bytes = super()._connect_command()
        return command

    async def _process_err(self, err_msg: str) -> None:
        """Connect again after an error that the server reports, because the client would close itself for good.

        A message that is too large can cause `-ERR`, and some errors are temporary, such as too many clients.
        """
        if not self.options["allow_reconnect"] or "permissions violation" in err_msg or "stale connection" in err_msg:
            await super()._process_err(err_msg)
            return
        self.report(errors.Error(f"the server reported {err_msg}"))
        await self.force_reconnect()

    async def _read_loop(self) -> None:
        """Read until the connection is lost. Connect again if reading ends for another reason.

        On an unexpected exception, the client's own method ends and leaves the connection as it is.
        """
        before = times_cancelled()
        await super()._read_loop()
        if self.is_connected and times_cancelled() == before:
            self.report(errors.Error("the client has stopped reading"))
            await self.force_reconnect()

    async def _attempt_reconnect(self) -> None:
        """Try to connect again until it succeeds. The client's own method ends on an unexpected exception."""
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
    """Parses everything that a server may send.

    A server accepts any bytes as headers, and any byte in a subject except space, tab and line feed. But the client's
    parser splits at all ASCII white space, and its methods decode subjects and statuses as UTF-8. This parser splits
    where the server does, and escapes unprintable characters. It passes on no header except a status, because the
    engine reads no other.
    """

    def reset(self) -> None:
        """Discard unparsed data. The client also calls this when the connection is lost."""
        super().reset()
        self._announced: tuple[bytes, int, bytes, int, int] | None = None  # a message whose payload has not arrived yet

    async def parse(self, data: bytes = b"") -> None:
        """Add received data, and pass on all complete messages."""
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
        """Let the client's parser read a line that does not announce a message. Return whether to continue."""
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
    """Return a message's subject, subscription, reply subject, size of headers, and size of headers with body."""
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
    """Return a subject as UTF-8. Anything that is not UTF-8 or not printable is percent-encoded."""
    try:
        if subject.decode().isprintable():
            return subject
    except UnicodeDecodeError:
        pass
    text = subject.decode(errors="surrogateescape")
    return "".join([c if c.isprintable() else quote(c, safe="", errors="surrogateescape") for c in text]).encode()
