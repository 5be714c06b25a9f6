"""Compile `floor.c` into `build/` when it is first needed, and load it. No wheel contains it."""

import hashlib
import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
import tempfile
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("floor.c")
CACHE = Path(__file__).parent.parent / "build" / "benchmarks"


@cache
def load():
    """Return the type `Floor`; raise an ImportError that says why if it cannot be compiled."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    version = hashlib.sha256(SOURCE.read_bytes() + sys.version.encode()).hexdigest()[:12]
    path = CACHE / version / f"floor{suffix}"
    if not path.exists():
        _compile(path)
    loader = importlib.machinery.ExtensionFileLoader("floor", str(path))
    spec = importlib.util.spec_from_file_location("floor", path, loader=loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module.Floor


def _compile(path: Path) -> None:
    try:
        from setuptools import Distribution, Extension
        from setuptools.command.build_ext import build_ext
    except ImportError as error:
        raise ImportError(f"the floor cannot be compiled without setuptools: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        # With the flags that this Python uses for every extension.
        command = build_ext(Distribution({"ext_modules": [Extension("floor", [str(SOURCE)])]}))
        command.build_lib = command.build_temp = folder
        command.ensure_finalized()
        try:
            command.run()
        except Exception as error:
            raise ImportError(f"the floor does not compile here: {error}") from error
        os.replace(command.get_ext_fullpath("floor"), path)
