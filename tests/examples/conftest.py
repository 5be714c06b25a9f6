"""Run the programs of examples/ as users do, by the commands of their pages, with each core."""

import http.client
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlencode

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "howto").rglob("*.md"))
TIMEOUT = 60  # seconds until a hanging program fails
SWITCH = {"cython": "0", "python": "1"}


@pytest.fixture
def needs():
    """Skip unless packages are installed: `needs("fastapi", "uvicorn")`."""

    def check(*packages):
        missing = [package for package in packages if find_spec(package) is None]
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)}; python -m pip install . --group examples")

    return check


@pytest.fixture
def environment(backend, tmp_path):
    """Return the child processes' environment: this core, this Python's programs first, and their own output folder."""
    return {
        **os.environ,
        "CYEVENTS_PURE_PYTHON": SWITCH[backend],
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(tmp_path),
        "SHOP_DATABASE": str(tmp_path / "shop.sqlite3"),
        "SHOP_QUEUE": str(tmp_path / "queue"),
    }


class Program:
    """A running program: its output, and for servers their address."""

    def __init__(self, command, cwd, environment):
        self.process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines = []
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify()
        with self.changed:
            self.lines.append(None)  # the end
            self.changed.notify()

    @property
    def output(self):
        return "\n".join(line for line in self.lines if line is not None)

    def wait_for(self, pattern):
        """Wait for a text in the output; return the match."""

        def found():
            return re.search(pattern, self.output) or None in self.lines

        with self.changed:
            assert self.changed.wait_for(found, TIMEOUT), f"no {pattern!r} after {TIMEOUT} s in:\n{self.output}"
        match = re.search(pattern, self.output)
        assert match, f"no {pattern!r} in:\n{self.output}"
        return match

    def connect(self):
        """Return a connection to the server as soon as it listens."""
        port = int(self.wait_for(r"http://127\.0\.0\.1:(\d+)")[1])
        return http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)

    def ask(self, method, path, body=None, **form):
        """Send a request; return the answer's status and text."""
        connection = self.connect()
        headers = {"Content-Type": "application/x-www-form-urlencoded" if form else "application/json"}
        try:
            connection.request(method, path, urlencode(form) if form else body, headers)
            with connection.getresponse() as answer:
                return answer.status, answer.read().decode()
        finally:
            connection.close()

    def end(self):
        """Ask it to end as a supervisor does, wait until it has, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        status = self.process.wait(TIMEOUT)
        self.reader.join(TIMEOUT)
        return status

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(TIMEOUT)
        self.process.stdout.close()


@pytest.fixture
def start(environment):
    """Start a program by the command that a page or its own first lines show, with further arguments."""
    programs = []
    shown = "\n".join(path.read_text("utf-8") for path in [*PAGES, *(ROOT / "examples").rglob("*.py")])

    def run(command, *arguments, cwd=ROOT, **variables):
        assert command in shown, f"no page shows {command!r}"
        program = Program([*shlex.split(command), *map(str, arguments)], cwd, environment | variables)
        programs.append(program)
        return program

    yield run
    for program in programs:
        program.kill()
