"""redis-py: each name that the bridge uses of its undocumented parts, its options, and the pipelined connection."""

import asyncio
import hashlib
import importlib
import inspect
import re
import ssl
from pathlib import Path

import pytest

import cyevents

redis = pytest.importorskip("redis")
client = importlib.import_module("cyevents_bridge._redis_client")
engine = importlib.import_module("cyevents_bridge._redis")
address = importlib.import_module("cyevents_bridge._address")
bridge = importlib.import_module("cyevents_bridge")


def make_client(server_address, **options):
    return client.make_client(address.Address.parse(server_address), options)


# Names of redis-py


@pytest.mark.parametrize("name", client.CONNECTION_NAMES)
def test_connection_has(name):
    connection = make_client("redis://127.0.0.1:1").connection_pool.make_connection()
    assert hasattr(connection, name), f"redis-py {redis.__version__} has no `{name}` of a connection any more"


@pytest.mark.parametrize("name", client.PRIVATE_NAMES)
def test_connection_has_private(redis_server, run, name):
    kinds = {"_writer": asyncio.StreamWriter}

    async def main():
        connection = make_client(redis_server.address).connection_pool.make_connection()
        await connection.connect()
        found = getattr(connection, name, None)
        await connection.disconnect()
        assert isinstance(found, kinds[name]), (
            f"the private `{name}` of a connection is not a {kinds[name].__name__} in redis-py {redis.__version__}"
        )

    run(main())


def test_no_other_private_names_are_used():
    folder = Path(inspect.getfile(client)).parent
    sources = {path.name: path.read_text("utf-8") for path in folder.glob("*.py")}
    used = {
        name: set(re.findall(r"(?:_connection|_client|_subscription|pool|exceptions|redis\.asyncio)\._\w+", text))
        for name, text in sources.items()
        if "redis" in name
    }
    assert used["_redis_client.py"] == {f"_connection.{name}" for name in client.PRIVATE_NAMES}
    assert used["_redis.py"] == set()
    importing = {name for name, text in sources.items() if re.search(r"^ *(?:import|from) redis\b", text, re.MULTILINE)}
    assert importing == {"_redis_client.py"}


# Options


def make_bridge(server_address, **options):
    return bridge.Bridge(cyevents.Namespace(), server_address, ["x"], **options)


@pytest.mark.parametrize("scheme", ["redis", "unix"])
@pytest.mark.parametrize(
    "options",
    [
        {"ssl": True},
        {"ssl": False},
        {"ssl_ca_certs": "ca.pem"},
        {"ssl_check_hostname": True},
        {"ssl_context": ssl.create_default_context()},
        {"connection_class": redis.asyncio.SSLConnection},
        "ssl=true",
        "ssl_cert_reqs=required",
        "db=1&ssl%5fca_certs=ca.pem",
        "ssl_ca_data=",
        "connection_class=SSLConnection",
    ],
)
def test_tls_needs_an_address_with_tls(scheme, options):
    """Otherwise the password would be sent in clear text."""
    query, options = (options, {}) if isinstance(options, str) else ("", options)
    with pytest.raises(
        ValueError, match=f"is an option for TLS, but {scheme}:// connects without TLS: use rediss://"
    ) as caught:
        make_bridge(f"{scheme}://ada:secret@h/0?{query}", **options)
    assert "secret" not in str(caught.value)


def test_redis_py_has_no_other_options_for_tls():
    """All that its TLS connection adds to a plain one begins with `ssl`."""
    plain, tls = (
        set(inspect.signature(kind.__init__).parameters)
        for kind in (redis.asyncio.Connection, redis.asyncio.SSLConnection)
    )
    added = tls - plain - {"kwargs"}
    assert added
    assert {name for name in added if not name.startswith("ssl_")} == set()


def test_there_is_one_address():
    with pytest.raises(ValueError, match="a bridge to Redis needs one address, not 2: redis://a,redis://b") as caught:
        make_bridge("redis://ada:secret@a,redis://ada:secret@b")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(client._FIXED_OPTIONS))
def test_options_that_only_the_bridge_sets(name):
    """With `decode_responses`, for one, the client would fail at bytes that are not UTF-8."""
    with pytest.raises(ValueError, match=f"remove the option '{name}', which the bridge sets itself"):
        make_bridge(f"rediss://h?{name}=1")
    if name != "encoding":  # as an argument, it is the bridge's own
        with pytest.raises(ValueError, match=f"remove the option '{name}', which the bridge sets itself"):
            make_bridge("rediss://h", **{name: 1})


@pytest.mark.parametrize(
    ("server_address", "options", "expected"),
    [
        ("rediss://h", {}, True),
        ("rediss://h", {"ssl_check_hostname": False}, False),
        ("rediss://h?ssl_check_hostname=no", {}, False),
        ("redis://h", {}, None),
    ],
)
def test_the_host_of_a_certificate_is_checked(server_address, options, expected):
    """Versions of redis-py before 6 do not check it unless they are asked to."""
    settings = make_client(server_address, **options).connection_pool.connection_kwargs
    assert settings.get("ssl_check_hostname") is expected


def test_tls_without_a_check_can_be_asked_for():
    """`ssl_check_hostname` and `ssl_cert_reqs="none"` exclude each other in some versions."""
    settings = make_client("rediss://h", ssl_cert_reqs="none").connection_pool.connection_kwargs
    assert "ssl_check_hostname" not in settings


def test_certificate_of_another_host_is_refused(start, tmp_path, run):
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    made = authority.issue_cert("example.org")
    paths = {name: str(tmp_path / name) for name in ("cert", "key", "ca")}
    made.cert_chain_pems[0].write_to_path(paths["cert"])
    made.private_key_pem.write_to_path(paths["key"])
    authority.cert_pem.write_to_path(paths["ca"])
    files = ["--tls-cert-file", paths["cert"], "--tls-key-file", paths["key"], "--tls-ca-cert-file", paths["ca"]]
    server = start("redis", "--port", "0", "--tls-port", "PORT", "--tls-auth-clients", "no", *files)

    async def main():
        with pytest.raises(ConnectionError, match="certificate verify failed"):
            async with make_bridge(server.address.replace("redis:", "rediss:"), ssl_ca_certs=paths["ca"]):
                pass

    run(main())


# The pipelined connection


def test_replies_come_in_order_and_errors_are_among_them(redis_server, prefix, run):
    async def main():
        made = make_client(redis_server.address)
        pipeline = client.Pipeline(made.connection_pool, ("return 5",))
        await pipeline.connect()
        commands = [("SET", prefix, b"\xff"), ("LPUSH", prefix, "1"), ("GET", prefix), ("DEL", prefix)]
        await pipeline.send([pipeline.pack(*command) for command in commands])
        one, two, three, four = [await pipeline.read() for _ in commands]
        assert (one, three, four) == (b"OK", b"\xff", 1)
        assert isinstance(two, redis.ResponseError)
        assert str(two).startswith("WRONGTYPE")
        await pipeline.disconnect()
        await pipeline.disconnect()
        await made.aclose()

    run(main())


def test_scripts_are_loaded_on_connecting_and_when_needed(own_redis, run):
    script = "return 'unused before'"

    async def main():
        made = make_client(own_redis.address)
        pipeline = client.Pipeline(made.connection_pool, (script,))
        digest = hashlib.sha1(script.encode()).hexdigest()
        await pipeline.connect()
        assert await made.evalsha(digest, 0) == b"unused before"
        await made.script_flush()
        await pipeline.connect()
        assert await made.script_exists(digest) == [False]
        pipeline.needs_scripts = True
        await pipeline.connect()
        assert await made.script_exists(digest) == [True]
        await pipeline.disconnect()
        await made.aclose()

    run(main())


def test_broker_that_does_not_read_keeps_no_socket_open(own_redis, run):
    """What is buffered for it is dropped, and the socket is closed."""

    async def main():
        made = make_client(own_redis.address, socket_timeout=0.2)
        pipeline = client.Pipeline(made.connection_pool, ())
        await pipeline.connect()
        writer = pipeline._writer
        own_redis.pause()
        with pytest.raises(redis.TimeoutError):
            await pipeline.send([pipeline.pack("SET", "x", b"x" * 20_000_000)])
        assert writer.transport.get_write_buffer_size() > 0
        await pipeline.disconnect()
        await asyncio.sleep(0)
        assert writer.transport.get_write_buffer_size() == 0
        assert writer.get_extra_info("socket").fileno() == -1
        await made.aclose()

    run(main())


def test_broker_that_is_loading_its_data_is_not_connected(redis_server, run):
    async def main():
        made = make_client(redis_server.address)
        pipeline = client.Pipeline(made.connection_pool, ())
        await pipeline.connect()

        async def loading():
            raise redis.exceptions.BusyLoadingError("LOADING")

        pipeline._connection.read_response = loading
        with pytest.raises(redis.ConnectionError, match="LOADING"):
            await pipeline.read()
        assert not pipeline._connection.is_connected
        await made.aclose()

    run(main())
