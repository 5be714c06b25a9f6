"""The notes of a release are its section of the changelog. Skipped without a checkout."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / ".ci" / "release_notes.py"
CHANGELOG = """# Changelog

The form is that of [Keep a Changelog](https://keepachangelog.com/en/1.1.0/).

## [Unreleased]

### Added

- What comes.

## [1.2.0] - 2026-11-24

### Added

- Something, as in `## [1.0.0]`.

### Fixed

- Something else.

## [1.20.0] - 2026-10-01

## [1.1.0]

- It has no date.

## [1.0.0] - 2026-01-01

- The last.

[1.2.0]: https://example.com/1.2.0
"""
PROJECT = """
[project]
name = "cyevents"

[project.urls]
Source = "https://example.com"
"""

pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="the script is not part of this copy")


@pytest.fixture
def notes(tmp_path):
    """Run the script on a project of a version: notes(tag, version) -> the completed process."""

    def run(tag, version, project=PROJECT):
        package = tmp_path / "src" / "cyevents"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f'"""A package."""\n\n__version__ = "{version}"\n')
        (tmp_path / "pyproject.toml").write_text(project)
        (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
        (tmp_path / ".ci").mkdir()
        script = shutil.copy(SCRIPT, tmp_path / ".ci")
        return subprocess.run([sys.executable, script, tag], capture_output=True, text=True, timeout=60)

    return run


@pytest.mark.parametrize("tag", ["1.2.0", "v1.2.0"])
def test_section_of_the_version_is_printed(notes, tag):
    process = notes(tag, "1.2.0")
    wanted = "### Added\n\n- Something, as in `## [1.0.0]`.\n\n### Fixed\n\n- Something else.\n"
    assert (process.stdout, process.stderr, process.returncode) == (wanted, "", 0)


def test_links_at_the_end_are_left_out(notes):
    assert notes("1.0.0", "1.0.0").stdout == "- The last.\n"


@pytest.mark.parametrize(
    ("tag", "version", "complaint"),
    [
        ("v1.2.0", "1.2.1", "v1.2.0 is to be released, but the package says 1.2.1"),
        ("v2.0.0", "2.0.0", 'the changelog has no section "## [2.0.0] - YEAR-MONTH-DAY"'),
        ("v1.1.0", "1.1.0", 'the changelog has no section "## [1.1.0] - YEAR-MONTH-DAY"'),
        ("v1.20.0", "1.20.0", "the changelog says nothing about 1.20.0"),
        ("v1x2.0", "1x2.0", 'the changelog has no section "## [1x2.0] - YEAR-MONTH-DAY"'),
    ],
    ids=["another_version", "no_section", "no_date", "empty", "dots_are_dots"],
)
def test_mismatch_fails(notes, tag, version, complaint):
    process = notes(tag, version)
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr == f"release_notes: {complaint}\n"


@pytest.mark.parametrize(
    "project",
    [
        PROJECT.partition("[project.urls]")[0],
        PROJECT.replace("[project.urls]", "# [project.urls]").replace("Source", "# Source"),
        PROJECT.replace("https://example.com", ""),
    ],
    ids=["missing", "commented_out", "empty"],
)
def test_release_without_urls_fails(notes, project):
    process = notes("v1.2.0", "1.2.0", project)
    complaint = "release_notes: fill in [project.urls] of pyproject.toml: see CONTRIBUTING.md\n"
    assert (process.stdout, process.stderr, process.returncode) == ("", complaint, 1)
