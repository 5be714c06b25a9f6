"""Print the notes of a release, which are its section in the changelog: `release_notes.py VERSION`, or its tag.

A tag of the bridge's begins with `bridge-v`. Fails where the version is not that of the package, or its section is not
there, has no date or says nothing.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def package_version(root: Path) -> str:
    """The version that the package says it is."""
    (module,) = root.glob("src/cyevents*/__init__.py")
    found = re.search(r'^__version__ = "(.+)"$', module.read_text("utf-8"), re.M)
    assert found is not None
    return found[1]


def section(changelog: str, version: str) -> str:
    """What the changelog says of a version, without the headline."""
    headline = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    parts = re.split(r"^(?=## |\[[^]]+\]: )", changelog, flags=re.M)
    for part in parts:
        first, _, rest = part.partition("\n")
        if re.match(headline, first):
            if not rest.strip():
                raise ValueError(f"the changelog says nothing about {version}")
            return rest.strip() + "\n"
    raise ValueError(f'the changelog has no section "## [{version}] - YEAR-MONTH-DAY"')


def main(root: Path, tag: str) -> None:
    """Print the notes, or end with what is wrong."""
    if tag.startswith("bridge-"):
        root, tag = root / "bridge", tag.removeprefix("bridge-")
    version = tag.removeprefix("v")
    if version != package_version(root):
        sys.exit(f"release_notes: {tag} is to be released, but the package says {package_version(root)}")
    try:
        print(section((root / "CHANGELOG.md").read_text("utf-8"), version), end="")
    except ValueError as error:
        sys.exit(f"release_notes: {error}")


if __name__ == "__main__":
    main(ROOT, sys.argv[1])
