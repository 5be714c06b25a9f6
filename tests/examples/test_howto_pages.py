"""The how-to pages: every Python block that is not part of a program in examples/ runs in its own process."""

import re
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in (ROOT / "docs/howto").rglob("*.md")}
REMARK = r"(?:from (?P<file>\S+)|not run: [^\n]*|(?P<continues>continues))"
BLOCK = re.compile(rf"^(?:<!-- {REMARK} -->\n)?(?P<indent> *)```python\n(?P<code>.*?)^ *```$", re.M | re.S)
PEERS = ("asgiref", "blinker", "bubus", "django", "nitro", "pluggy", "psygnal", "pydantic", "pyee", "PySide6")


def blocks(of_files):
    """Return the blocks of all pages; one that continues another is one block with that."""
    found = []
    for page, text in sorted(PAGES.items()):
        for number, match in enumerate(BLOCK.finditer(text)):
            code = textwrap.dedent(match["code"])
            if match["continues"] and not of_files:
                code = found.pop().values[1] + code
            if (match["file"] is not None) == of_files:
                found.append(pytest.param(match["file"], code, id=f"{page}[{number}]"))
    return found


def test_pages_have_blocks():
    assert len(PAGES) == 17
    assert all("```" in text for text in PAGES.values())
    assert len(blocks(True)) > 20
    assert len(blocks(False)) > 10


def test_every_block_is_tested():
    for page, text in PAGES.items():
        assert text.count("```python") == len(BLOCK.findall(text)), page
        assert text.count("```") == 2 * len(re.findall(r"```(?:python|sh|text)\n", text)), page


@pytest.mark.parametrize(("file", "code"), blocks(False))
def test_block_runs(environment, file, code):
    for peer in PEERS:
        if re.search(rf"^(?:from|import) {peer}\b", code, re.M) and find_spec(peer) is None:
            pytest.skip(f"{peer} is not installed")
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stderr == "" or "send_robust" in code  # it logs
    expected = re.findall(r"^ *print\(.*\)\n *# (?!prints: )(.*)$", code, re.M)
    expected += re.findall(r"^ *print\(.*?\) +# (.*)$", code, re.M) + re.findall(r"^# prints: (.*)$", code, re.M)
    assert sorted(run.stdout.splitlines()) == sorted(expected) != []
