"""A command-line program that waits for its async handlers before it ends.

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
    """Print a file's checksum; a thread reads the file."""
    content = await asyncio.to_thread(path.read_bytes)
    print(f"{hashlib.sha256(content).hexdigest()[:12]}  {path.name}")


def failed(error: Exception, handler: object, event: Event, path: Path) -> None:
    """Record the failure; the other handlers continue."""
    failures.append(f"{path}: {error}")


file_found.on_error = failed


def main() -> int:
    """Emit every file of a folder, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent)
    parser.add_argument("--timeout", type=float, default=60, help="seconds to wait for the handlers at the end")
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
