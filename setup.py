"""Builds the compiled core. All else about the package stands in pyproject.toml.

CYEVENTS_BUILD_EXTENSION: `yes` makes a failed build fatal, `no` skips it; unset, the pure core serves when it fails.
CYEVENTS_DEBUG: `1` keeps debugging symbols.
"""

import os
import sys

from setuptools import Extension, setup

DEBUG = os.environ.get("CYEVENTS_DEBUG") == "1"
WISH = os.environ.get("CYEVENTS_BUILD_EXTENSION", "")
if WISH not in ("", "yes", "no"):
    sys.exit(f"CYEVENTS_BUILD_EXTENSION must be yes, no or unset, not {WISH!r}")


def extensions():
    """The compiled core, unless it is not wanted."""
    if WISH == "no":
        return []
    from Cython.Build import cythonize

    arguments = [] if DEBUG or os.name == "nt" else ["-g0"]
    core = Extension("cyevents._core_c", ["src/cyevents/_core_c.pyx"], extra_compile_args=arguments)
    modules = cythonize([core], build_dir="build")
    for module in modules:
        module.optional = WISH != "yes"  # cythonize does not pass it on
    return modules


setup(ext_modules=extensions())
