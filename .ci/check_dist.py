"""Check the contents of the built sdist and wheels: `check_dist.py [--release] DIRECTORY`.

There must be one sdist and at least one wheel. A release needs one for each Python on each machine, and the pure wheel.
"""

import argparse
import re
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "cyevents"
MODULES = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py")}
DATA = {"py.typed", "_public.pyi", "_demo/sample_orders.jsonl"}
WHEEL_LIMIT = 400 * 1024  # bytes
IN_SDIST = (
    "src/cyevents/_core/_tables.pxd",
    "src/cyevents/_core/_emit.pyx",
    "setup.py",
    ".ci/recompress",
    "tests/conftest.py",
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
)
C_SOURCE = "benchmarks/floor.c"
MACHINES = [
    *(f"{libc}linux_.*_{machine}" for libc in ("many", "musl") for machine in ("x86_64", "aarch64")),
    "macosx_.*_x86_64",
    "macosx_.*_arm64",
    "win_amd64",
    "win_arm64",
]


def check(condition: object, message: str) -> None:
    """Exit with a message unless the condition holds."""
    if not condition:
        sys.exit(f"check_dist: {message}")


def check_wheel(wheel: Path) -> None:
    """Check one wheel: its size, its extensions (none in the pure one), its modules and licence, and no other file."""
    archive = zipfile.ZipFile(wheel)
    check(archive.testzip() is None, f"{wheel.name} is broken")
    names = [name for name in archive.namelist() if not name.endswith("/")]
    package = {name.removeprefix("cyevents/") for name in names if name.startswith("cyevents/")}
    extensions = {name for name in package if re.fullmatch(r"_core/_(tables|emit)\..*\.?(so|pyd)", name)}
    expected = 0 if wheel.name.endswith("-py3-none-any.whl") else 2
    check(len(extensions) == expected, f"{wheel.name} has {len(extensions)} extensions, not {expected}")
    difference = package ^ (MODULES | DATA | extensions)
    check(not difference, f"{wheel.name}: these files are missing or do not belong in it: {sorted(difference)}")
    others = [name for name in names if not name.startswith("cyevents/")]
    check(all(re.match(r"cyevents-[^/]+\.dist-info/", name) for name in others), f"{wheel.name} has {others}")
    check(any(name.endswith("licenses/LICENSE") for name in others), f"{wheel.name} has no licence")
    size = wheel.stat().st_size
    check(size < WHEEL_LIMIT, f"{wheel.name} has {size:,} bytes, more than {WHEEL_LIMIT:,}")
    print(f"{wheel.name}: {len(names)} files, {size:,} bytes of at most {WHEEL_LIMIT:,}")


def check_sdist(sdist: Path) -> None:
    """Check the sdist: everything that a build and the tests need, and no generated file."""
    with tarfile.open(sdist) as archive:
        members = {name.partition("/")[2] for name in archive.getnames()}
    for name in (*IN_SDIST, *(f"src/cyevents/{name}" for name in MODULES | DATA)):
        check(name in members, f"{sdist.name} has no {name}")
    generated = [name for name in members if name.endswith((".c", ".so", ".pyd", ".pyc")) and name != C_SOURCE]
    check(not generated, f"{sdist.name} has generated files: {generated}")
    print(f"{sdist.name}: {len(members)} files")


def check_release(wheels: list[Path]) -> None:
    """Check that there is a wheel for each Python on each machine, the pure wheel and no other."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        pythons = [pattern.removesuffix("-*") for pattern in tomllib.load(file)["tool"]["cibuildwheel"]["build"]]
    expected = [rf"{python.rstrip('t')}-{python}-{machine}" for python in pythons for machine in MACHINES]
    for pattern in [*expected, "py3-none-any"]:
        found = [wheel for wheel in wheels if re.fullmatch(rf"cyevents-[^-]+-{pattern}\.whl", wheel.name)]
        check(len(found) == 1, f"{len(found)} wheels match {pattern}, not one")
    check(len(wheels) == len(expected) + 1, f"there are {len(wheels)} wheels, not {len(expected) + 1}")


def main() -> None:
    """Check a directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--release", action="store_true", help="require all wheels of a release")
    options = parser.parse_args()
    wheels, sdists = sorted(options.directory.glob("*.whl")), sorted(options.directory.glob("*.tar.gz"))
    check(len(sdists) == 1, f"{len(sdists)} sdists, not one, in {options.directory}")
    check(wheels, f"no wheels in {options.directory}")
    versions = {path.name.split("-")[1].removesuffix(".tar.gz") for path in wheels + sdists}
    check(len(versions) == 1, f"several versions: {sorted(versions)}")
    check_sdist(sdists[0])
    for wheel in wheels:
        check_wheel(wheel)
    if options.release:
        check_release(wheels)


if __name__ == "__main__":
    main()
