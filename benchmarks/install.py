"""Install what the suite races against, one by one: a peer that cannot be had does not keep the others away."""

import subprocess
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def requirements():
    """What the extra `bench` asks for."""
    return tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]["bench"]


def main():
    """Install each; say which could not be, and why. The suite itself reports them as absent."""
    for requirement in requirements():
        done = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", requirement], capture_output=True, text=True
        )
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.lower().startswith("error")]
            print(f"absent: {requirement}: {errors[-1] if errors else 'pip failed'}")
    return 0
