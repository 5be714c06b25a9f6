"""Install the other libraries one by one, so that one that cannot be installed does not stop the others."""

import subprocess
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def requirements():
    """Return the requirements of the dependency group `bench`."""
    return tomllib.loads(PROJECT.read_text(encoding="utf-8"))["dependency-groups"]["bench"]


def main():
    """Install each requirement, and print why some could not be installed."""
    for requirement in requirements():
        done = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", requirement], capture_output=True, text=True
        )
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.lower().startswith("error")]
            print(f"absent: {requirement}: {errors[-1] if errors else 'pip failed'}")
    return 0
