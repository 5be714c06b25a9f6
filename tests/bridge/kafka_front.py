"""What stands before a broker of Kafka's protocol: it speaks TLS with clients, and lets in who knows a password.

`kafka_front.py PORT BROKER CERT KEY [USER PASSWORD]`: on that port of the loopback, for the broker on that one. Of the
SASL mechanisms it knows PLAIN and SCRAM-SHA-256.
"""

import asyncio
import base64
import hashlib
import hmac
import os
import ssl
import struct
import sys

API_VERSIONS, HANDSHAKE, AUTHENTICATE = 18, 17, 36  # as requests are numbered in the protocol
WRONG_MECHANISM, WRONG_PASSWORD = 33, 58  # and as errors are
SECONDS = 20  # that one may take to say who one is


async def frame_of(reader):
    return await reader.readexactly(struct.unpack(">i", await reader.readexactly(4))[0])


def framed(data):
    return struct.pack(">i", len(data)) + data


def string(text):
    return struct.pack(">h", len(text)) + text.encode()


def keyed(key, text):
    return hmac.digest(key, text, "sha256")


class Plain:
    """The password as it is."""

    def __init__(self, user, password):
        self.wanted = f"\0{user}\0{password}".encode()
        self.is_known = False

    def answer(self, said):
        self.is_known = said == self.wanted
        return b"" if self.is_known else None


class Scram:
    """A proof that one knows it; RFC 5802 says which."""

    def __init__(self, user, password):
        self.user, self.salt, self.rounds = user, os.urandom(16), 4096
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), self.salt, self.rounds)
        self.client, self.server = keyed(salted, b"Client Key"), keyed(salted, b"Server Key")
        self.first = None
        self.is_known = False

    def answer(self, said):
        fields = dict(field.split("=", 1) for field in said.decode().split(",") if "=" in field)
        if self.first is None:
            nonce = fields["r"] + os.urandom(12).hex()
            challenge = f"r={nonce},s={base64.b64encode(self.salt).decode()},i={self.rounds}"
            self.first = f"{said.decode().removeprefix('n,,')},{challenge}"
            return challenge.encode() if fields["n"] == self.user else None
        everything = f"{self.first},{said.decode().rpartition(',p=')[0]}".encode()
        signature = keyed(hashlib.sha256(self.client).digest(), everything)
        proof = bytes(one ^ two for one, two in zip(self.client, signature, strict=True))
        self.is_known = base64.b64decode(fields["p"]) == proof
        return b"v=" + base64.b64encode(keyed(self.server, everything)) if self.is_known else None


MECHANISMS = {"PLAIN": Plain, "SCRAM-SHA-256": Scram}


async def let_in(client, out, broker, into, known):
    """Ask a client who it is, and answer what it asks before."""
    exchange = None
    while exchange is None or not exchange.is_known:
        frame = await frame_of(client)
        kind, version, number, length = struct.unpack_from(">hhih", frame)
        body = frame[10 + max(0, length) :]
        if kind == API_VERSIONS:
            into.write(framed(frame))
            out.write(framed(await frame_of(broker)))
            continue
        if kind == HANDSHAKE:
            mechanism = body[2:].decode()
            exchange = MECHANISMS[mechanism](*known) if mechanism in MECHANISMS else None
            answer = struct.pack(">hi", 0 if exchange else WRONG_MECHANISM, len(MECHANISMS))
            answer += b"".join(map(string, MECHANISMS))
        elif kind == AUTHENTICATE and exchange is not None:
            said = exchange.answer(body[4:])
            answer = struct.pack(">hh", 0 if said is not None else WRONG_PASSWORD, -1)
            answer += framed(said or b"") + (struct.pack(">q", 0) if version else b"")
        else:
            raise EOFError("somebody asks for something else first")
        out.write(framed(struct.pack(">i", number) + answer))


async def pass_on(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


async def main(port, behind, certificate, key, *known):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def serve(client, out):
        try:
            broker, into = await asyncio.open_connection("127.0.0.1", int(behind))
            try:
                if known:
                    async with asyncio.timeout(SECONDS):
                        await let_in(client, out, broker, into, known)
                await asyncio.gather(pass_on(client, into), pass_on(broker, out))
            finally:
                into.close()
        except (OSError, EOFError, TimeoutError):
            pass  # one of them has gone, or is not let in
        finally:
            out.close()

    async with await asyncio.start_server(serve, "127.0.0.1", int(port), ssl=context) as server:
        await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
