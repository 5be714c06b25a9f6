"""Builds the compiled core. All else about the package stands in pyproject.toml.

CYEVENTS_BUILD_EXTENSION: `yes` makes a failed build fatal, `no` builds a pure wheel; unset, the pure core serves when
the build fails. For work on the core, `1` turns these on:
CYEVENTS_DEBUG: debugging symbols, no optimisation.
CYEVENTS_SANITIZE: the address and the undefined-behaviour sanitizer.
CYEVENTS_TRACE: line tracing, for coverage; the C source is left beside the Cython source, where coverage looks for it.
"""

import os
import sys
from pathlib import Path
from textwrap import shorten

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

DEBUG, SANITIZE, TRACE = (os.environ.get(f"CYEVENTS_{name}") == "1" for name in ("DEBUG", "SANITIZE", "TRACE"))
WISH = os.environ.get("CYEVENTS_BUILD_EXTENSION", "")
if WISH not in ("", "yes", "no"):
    sys.exit(f"CYEVENTS_BUILD_EXTENSION must be yes, no or unset, not {WISH!r}")

SANITIZERS = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
TRACING = {"CYTHON_TRACE": "1", "CYTHON_USE_SYS_MONITORING": "0"}  # coverage has no plugins for sys.monitoring


def extensions():
    """The compiled core, unless it is not wanted."""
    if WISH == "no":
        return []
    from Cython.Build import cythonize

    options = {}
    if SANITIZE:
        options = {"extra_compile_args": ["-g", "-O1", *SANITIZERS], "extra_link_args": SANITIZERS}
    elif DEBUG:
        options = {"extra_compile_args": ["/Od", "/Zi"] if os.name == "nt" else ["-g", "-O0"]}
    elif os.name != "nt":
        options = {"extra_compile_args": ["-g0"]}
        if sys.platform == "linux":
            options["extra_link_args"] = ["-Wl,--strip-all"]  # a tenth of the file is names of its inner functions
    if TRACE:
        options["define_macros"] = list(TRACING.items())
    modules = [
        Extension(f"cyevents._core.{Path(name).stem}", [f"src/cyevents/_core/{name}"], **options)
        for name in ("_tables.py", "_emit.pyx")
    ]
    if not SANITIZE and not DEBUG and os.name != "nt":  # for changes of connections, -O3 brings size alone
        for module, level in zip(modules, ("-O2", "-O3"), strict=True):
            module.extra_compile_args = [level, *module.extra_compile_args]
    return cythonize(
        modules,
        include_path=["src"],
        build_dir=None if TRACE else "build",
        compiler_directives={"linetrace": TRACE},
        force=True,
    )


class BuildCore(build_ext):
    """Builds the extensions if they can be built, or must be."""

    has_failed = False

    def build_extension(self, ext):
        ext.optional = WISH != "yes"  # so that what is not there is not copied
        if self.has_failed:  # one is of no use without the other
            return
        try:
            super().build_extension(ext)
        except (BaseError, CCompilerError) as error:
            if WISH == "yes":
                raise
            self.has_failed = True
            reason = shorten(str(error), 100)
            print(
                f"cyevents: the compiled core could not be built ({reason}): the pure-Python core will serve."
                " CYEVENTS_BUILD_EXTENSION=yes makes this an error.",
                file=sys.stderr,
            )


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildCore})
