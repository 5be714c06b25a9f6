"""What the pages show is what the tests use; the programs of tests/examples and of the README run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1]
PAGES = FOLDER.parent / "docs" / "bridge"
SHOWN = re.compile(r"^<!-- not run: the bridge's tests use bridge/(\S+) -->\n```\w+\n(.*?)^```$", re.M | re.S)


def test_the_pages_show_what_the_tests_use():
    if not PAGES.exists():
        pytest.skip("the pages are in the repository, and not in the sdist")
    shown = [found for page in sorted(PAGES.glob("*.md")) for found in SHOWN.findall(page.read_text("utf-8"))]
    examples = {f"tests/{name}.py" for name in ("example_engine", "examples/billing", "examples/shop")}
    recipes = {f"tests/permissions/{name}" for name in ("nats.conf", "redis.acl", "redis7.acl", "rabbitmq.sh")}
    assert {file for file, _ in shown} == examples | recipes
    for file, block in shown:
        text = (FOLDER / file).read_text("utf-8")
        assert text.endswith(block)
        rest = text.removesuffix(block)
        assert rest.strip() == "" or re.fullmatch(r'"""[^"]*"""', rest.strip())  # what the page itself says


class Program:
    """A program of a page, run in a process of its own, at a server's address."""

    def __init__(self, source, address, folder):
        assert "nats://127.0.0.1:4222" in source
        path = folder / "program.py"
        path.write_text(source.replace("nats://127.0.0.1:4222", address))
        self.process = subprocess.Popen([sys.executable, "-W", "error", path], stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def line(self):
        return self.process.stdout.readline().rstrip("\n")


def test_the_examples(own_nats, tmp_path):
    billing, shop = ((FOLDER / "tests" / "examples" / f"{name}.py").read_text("utf-8") for name in ("billing", "shop"))
    with Program(billing, own_nats.address, tmp_path) as one:
        assert one.line() == "waiting for orders"
        with Program(shop, own_nats.address, tmp_path) as other:
            assert one.line() == "billing order 7"
            assert other.process.wait(20) == 0


def test_the_readme(own_nats, tmp_path):
    (source,) = re.findall(r"^```python\n(.*?)^```", (FOLDER / "README.md").read_text("utf-8"), re.M | re.S)
    source = source.replace("connect(print,", "connect(lambda sender: print(sender, flush=True),")
    with Program(source, own_nats.address, tmp_path) as one:
        assert one.line() == "order 7"
        with Program(source, own_nats.address, tmp_path) as other:
            assert other.line() == "order 7"
            assert one.line() == "order 7"
