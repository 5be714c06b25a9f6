"""Build the compiled core. Everything else about the package is in pyproject.toml.

CYEVENTS_BUILD_EXTENSION: `yes` makes a failed build an error, `no` builds a pure wheel. If it is unset, a failed build
falls back to the pure core. For work on the core, set one of these to `1`:
CYEVENTS_DEBUG: debug symbols, no optimisation.
CYEVENTS_SANITIZE: the address and undefined-behaviour sanitizers.
CYEVENTS_TRACE: line tracing for coverage. The C source stays beside the Cython source, where coverage looks for it.

The flags for optimization and debug symbols that are chosen here come last on the compiler's command line, so that they
win over those of the interpreter, which in some distributions is built with `-O2`, and over `CFLAGS`.
"""

import os
import sys
from pathlib import Path
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
MACROS["CYTHON_USE_DICT_VERSIONS"] = "0"  # a smaller wheel: globals are not looked up where time counts
if not (DEBUG or SANITIZE or hasattr(sys, "gettotalrefcount")):
    MACROS["NDEBUG"] = "1"  # of the interpreter's flags, which CFLAGS replaces; else Python's headers check each use
if TRACE:
    MACROS |= {"CYTHON_TRACE": "1", "CYTHON_USE_SYS_MONITORING": "0"}  # coverage has no plugins for sys.monitoring

# For gcc, of both extensions: the loader binds all names at once, so a table for calls of the interpreter is of no use,
# and no loop is worth vector instructions. Inlining may let the kernel grow by 10 %: its loop does not change by that.
LEAN = ["-fno-plt", "-fno-tree-vectorize"]
KERNEL = ["--param", "inline-unit-growth=10"]
# These make the compressed tables a third smaller, for some 5 % more instructions of a connection. What Cython
# marks as unlikely, mostly errors, is compiled for size, and so is what gcc expects less than once in four calls of its
# function; others save padding, reordering, copies of inlined functions, of blocks that several jumps lead to, and
# special code for loops and for calls of methods. Without the tables for unwinding, native profilers do not see beyond
# a frame of the slow path; debug builds keep them. The kernel has no such flags: some of what is marked as unlikely is
# common there, and padding and order count in its loop.
SMALLER = ["--param", "builtin-expect-probability=100", "-fno-schedule-insns2", "-fno-caller-saves"]
SMALLER += ["-falign-functions=1", "-falign-jumps=1", "-falign-loops=1", "-fno-asynchronous-unwind-tables"]
SMALLER += ["--param", "hot-bb-frequency-fraction=4", "-fno-ivopts", "--param", "max-jump-thread-duplication-stmts=1"]
SMALLER += ["--param", "inline-unit-growth=0", "--param", "min-crossjump-insns=2", "-DCYTHON_UNPACK_METHODS=0"]
SMALLER += ["-DCYTHON_VECTORCALL_TPNEW=0"]  # no second constructors of C classes: common objects have no arguments
SOURCES = {"_tables": "_tables.py", "_emit": "_emit.pyx"}
# The start of a block in the generated C, which `nonecheck=True` puts before each use of `self`. That is never None, as
# the caller of a method has checked its object. The blocks would be a twentieth of the tables, and 1 % of a connection.
SELF_CHECK = "if (unlikely(((PyObject *)__pyx_v_self) == Py_None))"


def choose_flags(name, is_msvc):
    """Return an extension's flags for compiling, the optimization first, and for linking."""
    if SANITIZE:
        return ["-O1", "-g", *SANITIZERS], SANITIZERS
    if is_msvc:
        return ["/Od", "/Zi"] if DEBUG else ["/O2"], []  # its highest level
    if DEBUG:
        return ["-O0", "-g"], []
    # The tables at -O3 would take 1 % fewer instructions to connect a handler, and be an eighth larger.
    flags = ["-O3" if name == "_emit" else "-O2", "-g0"]
    if sys.platform != "linux":
        return flags, []
    flags += LEAN + (SMALLER if name == "_tables" else KERNEL)
    return flags, ["-Wl,--strip-all", "-Wl,--build-id=none"]  # a tenth of the file is names of C functions


def make_extensions():
    if BUILD == "no":
        return []
    from Cython.Build import cythonize

    # Two extensions, because one file for both would need its own loader for `_tables`. That would save 3 % of the time
    # of an import and nothing per emission, and make the wheel 5 % larger, because both would be compiled at -O3.
    extensions = [Extension(f"cyevents._core.{name}", [f"src/cyevents/_core/{file}"]) for name, file in SOURCES.items()]
    options = {"include_path": ["src"], "build_dir": None if TRACE else "build", "force": True}
    extensions = cythonize(extensions, compiler_directives={"linetrace": TRACE}, **options)
    for extension in extensions:
        source = Path(extension.sources[0])
        source.write_text(source.read_text(encoding="utf-8").replace(SELF_CHECK, "if (0)"), encoding="utf-8")
    return extensions


class BuildCore(build_ext):
    """Builds both extensions, or falls back to the pure core."""

    def build_extensions(self):
        for extension in self.extensions:
            name, is_msvc = extension.name.rpartition(".")[2], self.compiler.compiler_type == "msvc"
            extension.extra_compile_args, extension.extra_link_args = choose_flags(name, is_msvc)
            MACROS[f"CYE_OPTIMIZATION{name}"] = extension.extra_compile_args[0]  # the kernel, as the last, gets both
            extension.define_macros = [*MACROS.items()]
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
