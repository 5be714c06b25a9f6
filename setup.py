"""Builds the compiled core. All else about the package stands in pyproject.toml.

CYEVENTS_BUILD_EXTENSION: `yes` makes a failed build fatal, `no` skips it; unset, the pure core serves when it fails.
"""

import os
import sys

from setuptools import Extension, setup

WISH = os.environ.get("CYEVENTS_BUILD_EXTENSION", "")
if WISH not in ("", "yes", "no"):
    sys.exit(f"CYEVENTS_BUILD_EXTENSION must be yes, no or unset, not {WISH!r}")


def extensions():
    """The compiled core, unless it is not wanted."""
    if WISH == "no":
        return []
    from Cython.Build import cythonize

    modules = cythonize([Extension("cyevents._core_c", ["src/cyevents/_core_c.pyx"])], build_dir="build")
    for module in modules:
        module.optional = WISH != "yes"  # cythonize does not pass it on
    return modules


setup(ext_modules=extensions())
