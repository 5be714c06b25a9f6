"""The parts of nats-py that are not public and that the engine needs, and the parser in place of the client's."""

import inspect

import pytest

pytest.importorskip("nats")

from nats import errors
from nats.aio.client import Client as BaseClient
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.protocol.parser import Parser

from cyevents_bridge import _nats_client
from cyevents_bridge._nats_client import Client

OWNERS = {
    "_connect_command": BaseClient(),
    "_process_err": BaseClient(),
    "_read_loop": BaseClient(),
    "_attempt_reconnect": BaseClient(),
    "_send_unsubscribe": BaseClient(),
    "_process_msg": BaseClient(),
    "_ps": BaseClient(),
    "_pending": BaseClient(),
    "_pending_data_size": BaseClient(),
    "_transport": BaseClient(),
    "_server_info": BaseClient(),
    "_io_writer": TcpTransport(),
    "_id": Subscription(None),
}
USES = {  # where the client uses them, so that the subclass has an effect
    "_connect_command": (BaseClient, "= self._connect_command()"),
    "_process_err": (Parser, "await self.nc._process_err("),
    "_read_loop": (BaseClient, "create_task(self._read_loop())"),
    "_attempt_reconnect": (BaseClient, "create_task(self._attempt_reconnect())"),
    "_send_unsubscribe": (Subscription, "await self._conn._send_unsubscribe(self._id)"),
    "_process_msg": (Parser, "await self.nc._process_msg(sid, subject, reply, payload, hdr)"),
    "_ps": (BaseClient, "await self._ps.parse("),
    "_pending": (BaseClient, "self._transport.writelines(self._pending[:])"),
    "_pending_data_size": (BaseClient, "if self._pending_data_size > 0:"),
    "_transport": (BaseClient, "self._transport = TcpTransport()"),
    "_server_info": (BaseClient, "self._server_info = srv_info"),
    "_io_writer": (TcpTransport, "self._io_writer.writelines("),
    "_id": (Subscription, "self._id = id"),
}


@pytest.mark.parametrize("name", OWNERS)
def test_the_client_has_this_private_name(name):
    owner = OWNERS[name]
    assert hasattr(owner, name), f"nats-py's {type(owner).__name__} has no {name} any more: change _nats_client.py"
    where, code = USES[name]
    source = inspect.getsource(where)
    assert code in source, f"nats-py's {where.__name__} does not use {name} as before: check _nats_client.py"


def test_every_private_name_is_listed():
    """The private attributes that `_nats_client.py` uses are those of the test above, and its own."""
    own = {"_announced", "_parse_other"}
    names = set()
    for each in (_nats_client.Client, _nats_client._Parser):
        for function in vars(each).values():
            if inspect.isfunction(function):
                names.update(function.__code__.co_names)
                names.update(const for const in function.__code__.co_consts if isinstance(const, str))
                names.add(function.__name__)
    assert {name for name in names if name.startswith("_") and name.strip("_").replace("_", "").isalpha()} - {
        "__init__",
        "_STATUS",
        "_Parser",
        "_LONGEST_LINE",
        "_RETRY_PAUSE",
        "_parse_announcement",
        "_printable",
        "__class__",
        *own,
    } == set(OWNERS)


def test_the_subclass_is_used_by_the_engine():
    client = Client()
    assert type(client._ps) is _nats_client._Parser


class Recorder:
    """Notes what a parser passes on."""

    def __init__(self):
        self.got = []
        self.parser = _nats_client._Parser(self)

    async def _process_msg(self, *message):
        self.got.append(message)

    async def _process_ping(self):
        self.got.append("ping")

    async def _process_pong(self):
        self.got.append("pong")

    async def _process_err(self, text):
        self.got.append(text)
        self.parser.reset()  # as at the loss of a connection

    async def _process_info(self, info):
        self.got.append(info)


async def parse(data, size):
    recorder = Recorder()
    for start in range(0, len(data), size):
        await recorder.parser.parse(data[start : start + size])
    return recorder


READ = [
    (b"PING\r\n", "ping"),
    (b"MSG a.b 1 2\r\nhi\r\n", (1, b"a.b", b"", b"hi", b"")),
    (b"PONG\r\n", "pong"),
    (b"+OK\r\n", None),
    (b"MSG a.b 12 _INBOX.1 0\r\n\r\n", (12, b"a.b", b"_INBOX.1", b"", b"")),
    (b"HMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", (1, b"a", b"r", b"hi", b"")),
    (b'INFO {"a": 1}\r\n', {"a": 1}),
    (b"MSG a\x0bb\x0c5\rc 1 2\r\nhi\r\n", (1, b"a%0Bb%0C5%0Dc", b"", b"hi", b"")),
    (b"MSG a\xff\xc2\x85 1 \xfe 4\r\n\r\nMS\r\n", (1, b"a%FF%C2%85", b"%FE", b"\r\nMS", b"")),
    ("MSG caf\xe9 1 2\r\nhi\r\n".encode(), (1, "caf\xe9".encode(), b"", b"hi", b"")),
    (b"HMSG a 1 8 10\r\nNATS/1.0hi\r\n", (1, b"a", b"", b"hi", b"")),
    (b"HMSG a 1 3 5\r\nabchi\r\n", (1, b"a", b"", b"hi", b"")),
    (b"HMSG a 1 16 18\r\nNATS/1.0 \xff\xfe\xff\r\n\r\nhi\r\n", (1, b"a", b"", b"hi", b"")),
    (b"HMSG a 1 20 22\r\nNATS/1.0 404 \xff\xfe\xfd\r\n\r\nhi\r\n", (1, b"a", b"", b"hi", b"NATS/1.0 404\r\n\r\n")),
    (b"HMSG a 1 17 17\r\nNATS/1.0 4040\r\n\r\n\r\n", (1, b"a", b"", b"", b"")),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_the_parser_reads_what_a_server_sends(run, size):
    recorder = run(parse(b"".join(data for data, _ in READ), size))
    assert recorder.got == [expected for _, expected in READ if expected is not None]
    assert not recorder.parser.buf


def test_a_status_has_its_number_alone(run):
    headers = b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 1\r\n\r\n"
    recorder = run(parse(b"HMSG i 7 %d %d\r\n%b\r\n" % (len(headers), len(headers), headers), 10_000))
    assert recorder.got == [(7, b"i", b"", b"", b"NATS/1.0 408\r\n\r\n")]


def test_what_follows_a_lost_connection_is_not_read(run):
    recorder = run(parse(b"-ERR 'Bye'\r\nPING\r\n", 10_000))
    assert recorder.got == ["'bye'"]


@pytest.mark.parametrize(
    "data",
    [
        b"MSG a 1\r\n",
        b"MSG a 1 r x 2\r\nhi\r\n",
        b"MSG a x 2\r\nhi\r\n",
        b"MSG a 1 -2\r\n",
        b"HMSG a 1 5 2\r\nhi\r\n",
        b"HMSG a 2\r\nhi\r\n",
        b"NONSENSE\r\n",
        b"X" * 5000 + b"\r\n",
        b"X" * 70_000,
    ],
)
def test_nonsense_is_an_error_of_the_protocol(run, data):
    with pytest.raises(errors.ProtocolError):
        run(parse(data, 100_000))
