"""The how-to pages for the web end with two requests by curl, which print what the pages show."""

import argparse
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOWTO = ROOT / "docs" / "howto"
WEB = ROOT / "examples" / "web"
REQUEST = re.compile(r"^```sh\n(curl .*)\n```\n\n```text\n(.*)\n```$", re.M)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows quotes the commands differently")


def page(name):
    return (HOWTO / f"{name}.md").read_text("utf-8")


def curl(shop, command):
    """Run the command as it is, except for the port; return what it prints."""
    connection = shop.connect()
    arguments = shlex.split(command.replace(":8000/", f":{connection.port}/"))
    options = ["--silent", "--show-error", "--noproxy", "*", "--max-time", "60"]
    run = subprocess.run([*arguments, *options], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, ""), command
    return run.stdout


def python(shop, command):
    """Send the request of the command without curl; return the answer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    parser.add_argument("-d", action="append", default=[])
    parser.add_argument("url")
    request = parser.parse_args(shlex.split(command)[1:])
    path = request.url.removeprefix("http://127.0.0.1:8000")
    assert path != request.url
    fields = dict(field.split("=") for field in request.d)
    return shop.ask("POST", path, request.json, **fields)[1]


def start_fastapi(needs, start):
    needs("fastapi", "uvicorn")
    return start("uvicorn --app-dir examples/web fastapi_shop:app", "--port", 0)


def start_flask(needs, start):
    needs("flask", "waitress")
    return start("python examples/web/flask_shop.py", 0)


def start_django(needs, start):
    needs("django", "uvicorn")
    migrate = "python -m django migrate --settings django_shop.settings --run-syncdb --verbosity 0"
    assert start(migrate, cwd=WEB).wait() == 0
    return start("uvicorn django_shop.asgi:application", "--port", 0, cwd=WEB)


SHOPS = {"fastapi": start_fastapi, "flask": start_flask, "django": start_django}


@pytest.mark.parametrize("name", SHOPS)
def test_page_ends_with_two_requests(name):
    text = page(name)
    first, second = REQUEST.finditer(text)
    assert text.count("curl ") == 2
    assert text[second.end() :] == "\n"
    assert first[2] != second[2]


@pytest.mark.parametrize("name", SHOPS)
def test_requests_print_what_the_page_shows(needs, start, name):
    shop = SHOPS[name](needs, start)
    send = curl if shutil.which("curl") else python
    for command, output in REQUEST.findall(page(name)):
        assert send(shop, command).removesuffix("\n") == output
