"""A command-line program with async handlers, that waits for them at its end.

Run it: python examples/checksums.py FOLDER
"""

import argparse
import asyncio
import hashlib
import sys
from pathlib import Path

from cyevents import Event, drain

file_found: Event[Path] = Event("file.found", doc="A file has been found.")
failures: list[str] = []


@file_found.connect
async def digest(path: Path) -> None:
    """Print a file's checksum; the work is done in a thread."""
    content = await asyncio.to_thread(path.read_bytes)
    print(f"{hashlib.sha256(content).hexdigest()[:12]}  {path.name}")


def failed(error: Exception, handler: object, event: Event, path: Path) -> None:
    """Note what went wrong, and let the others go on."""
    failures.append(f"{path}: {error}")


file_found.on_error = failed


def main() -> int:
    """Walk through a folder; return the status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent)
    parser.add_argument("--timeout", type=float, default=60, help="seconds to wait for what is still to be done")
    options = parser.parse_args()
    for path in sorted(options.folder.iterdir()):
        if path.is_file():
            file_found.emit(path)  # returns at once
    if not drain(options.timeout):
        failures.append(f"not finished after {options.timeout:g} s")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
