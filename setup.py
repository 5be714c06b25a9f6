"""Build the compiled core. Everything else about the package is in pyproject.toml.

CYEVENTS_BUILD_EXTENSION: `yes` makes a failed build an error, `no` builds a pure wheel. If it is unset, a failed build
falls back to the pure core. For work on the core, set one of these to `1`:
CYEVENTS_DEBUG: debug symbols, no optimisation.
CYEVENTS_SANITIZE: the address and undefined-behaviour sanitizers.
CYEVENTS_TRACE: line tracing for coverage. The C source stays beside the Cython source, where coverage looks for it.
"""

import os
import sys
from textwrap import shorten

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

DEBUG, SANITIZE, TRACE = (os.environ.get(f"CYEVENTS_{name}") == "1" for name in ("DEBUG", "SANITIZE", "TRACE"))
BUILD = os.environ.get("CYEVENTS_BUILD_EXTENSION", "")
if BUILD not in ("", "yes", "no"):
    sys.exit(f"CYEVENTS_BUILD_EXTENSION must be yes, no or unset, not {BUILD!r}")

SANITIZERS = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
MACROS = {"CYTHON_COMPRESS_STRINGS": "0"}  # decompression would take 3 % of the time of `import cyevents`
if TRACE:
    MACROS |= {"CYTHON_TRACE": "1", "CYTHON_USE_SYS_MONITORING": "0"}  # coverage has no plugins for sys.monitoring


def make_extension(source, optimization):
    compiling, linking = [], []
    if SANITIZE:
        compiling, linking = ["-g", "-O1", *SANITIZERS], SANITIZERS
    elif DEBUG:
        compiling = ["/Od", "/Zi"] if os.name == "nt" else ["-g", "-O0"]
    elif os.name != "nt":
        compiling = [optimization, "-g0"]
        linking = ["-Wl,--strip-all"] if sys.platform == "linux" else []  # a tenth of the file is names of C functions
    options = {"define_macros": [*MACROS.items()], "extra_compile_args": compiling, "extra_link_args": linking}
    return Extension("cyevents._core." + source.partition(".")[0], [f"src/cyevents/_core/{source}"], **options)


def make_extensions():
    if BUILD == "no":
        return []
    from Cython.Build import cythonize

    # Two extensions, because one file for both would need its own loader for `_tables`. That would save 3 % of the time
    # of an import and nothing per emission, and make the wheel 5 % larger, because both would be compiled at -O3.
    extensions = [make_extension("_tables.py", "-O2"), make_extension("_emit.pyx", "-O3")]
    options = {"include_path": ["src"], "build_dir": None if TRACE else "build", "force": True}
    return cythonize(extensions, compiler_directives={"linetrace": TRACE}, **options)


class BuildCore(build_ext):
    """Builds both extensions, or falls back to the pure core."""

    def build_extensions(self):
        try:
            super().build_extensions()
        except (BaseError, CCompilerError) as error:
            if BUILD == "yes":
                raise
            self.extensions = []  # so that no file that was not built is copied
            reason = shorten(str(error), 100)
            message = f"cyevents: the compiled core could not be built ({reason}): the pure core is used instead."
            print(f"{message} CYEVENTS_BUILD_EXTENSION=yes makes this an error.", file=sys.stderr)


setup(ext_modules=make_extensions(), cmdclass={"build_ext": BuildCore})
