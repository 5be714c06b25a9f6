"""Check what is in a built sdist and wheel: `check_dist.py DIRECTORY`."""

import re
import sys
import tarfile
import zipfile
from pathlib import Path

SOURCE = Path("src/cyevents")
MODULES = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py")}
WHEEL_LIMIT = 400 * 1024  # bytes


def check(condition: object, message: str) -> None:
    """End with a message unless the condition holds."""
    if not condition:
        sys.exit(f"check_dist: {message}")


def main(directory: Path) -> None:
    """Check the one sdist and the one wheel in a directory."""
    (wheel,) = directory.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    package = {name.removeprefix("cyevents/") for name in names if name.startswith("cyevents/")}
    extensions = {name for name in package if re.fullmatch(r"_core_c\..*\.?(so|pyd)", name)}
    check(len(extensions) == 1, f"{wheel.name} has {len(extensions)} extensions, not one")
    wanted = MODULES | extensions | {"py.typed", "_demo/sample_orders.jsonl"}
    check(package == wanted, f"{wheel.name}: too much or too little: {sorted(package ^ wanted)}")
    others = [name for name in names if not name.startswith("cyevents/")]
    check(all(".dist-info/" in name for name in others), f"{wheel.name} has {others}")
    check(any(name.endswith("licenses/LICENSE") for name in others), f"{wheel.name} has no licence")
    check(wheel.stat().st_size < WHEEL_LIMIT, f"{wheel.name} has {wheel.stat().st_size} bytes")

    (sdist,) = directory.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("src/cyevents/_core_c.pyx", "tests/conftest.py", "LICENSE", "README.md", "CHANGELOG.md"):
        check(name in members, f"{sdist.name} has no {name}")
    generated = [name for name in members if name.endswith((".c", ".so")) and name != "benchmarks/floor.c"]
    check(not generated, f"{sdist.name} has generated files: {generated}")
    print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size} bytes; {sdist.name}: {len(members)} files")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
