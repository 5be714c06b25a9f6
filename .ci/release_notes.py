"""Print the notes of a release, its section of the changelog: `release_notes.py VERSION`, or the tag.

The tags of the bridge begin with `bridge-v`. It is an error if the package has another version or no URLs, or if the
section does not exist, has no date or is empty.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def package_version(root: Path) -> str:
    """Return the version of the package."""
    (module,) = root.glob("src/cyevents*/__init__.py")
    found = re.search(r'^__version__ = "(.+)"$', module.read_text("utf-8"), re.M)
    assert found is not None
    return found[1]


def has_urls(root: Path) -> bool:
    """Return whether [project.urls] is filled in."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return bool(project.get("urls")) and all(url.startswith("https://") for url in project["urls"].values())


def section(changelog: str, version: str) -> str:
    """Return the section of a version in the changelog, without its heading."""
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    parts = re.split(r"^(?=## |\[[^]]+\]: )", changelog, flags=re.M)
    for part in parts:
        first, _, rest = part.partition("\n")
        if re.match(heading, first):
            if not rest.strip():
                raise ValueError(f"the changelog says nothing about {version}")
            return rest.strip() + "\n"
    raise ValueError(f'the changelog has no section "## [{version}] - YEAR-MONTH-DAY"')


def main(root: Path, tag: str) -> None:
    """Print the notes, or exit with an error."""
    if tag.startswith("bridge-"):
        root, tag = root / "bridge", tag.removeprefix("bridge-")
    version = tag.removeprefix("v")
    if version != package_version(root):
        sys.exit(f"release_notes: {tag} is to be released, but the package says {package_version(root)}")
    if not has_urls(root):
        sys.exit("release_notes: fill in [project.urls] of pyproject.toml: see CONTRIBUTING.md")
    try:
        print(section((root / "CHANGELOG.md").read_text("utf-8"), version), end="")
    except ValueError as error:
        sys.exit(f"release_notes: {error}")


if __name__ == "__main__":
    main(ROOT, sys.argv[1])
