"""Builds the compiled core. All else about the package stands in pyproject.toml.

CYEVENTS_BUILD_EXTENSION: `yes` makes a failed build fatal, `no` skips it; unset, the pure core serves when it fails.
"""

import os
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

WISH = os.environ.get("CYEVENTS_BUILD_EXTENSION", "")
if WISH not in ("", "yes", "no"):
    sys.exit(f"CYEVENTS_BUILD_EXTENSION must be yes, no or unset, not {WISH!r}")


class BuildExt(build_ext):
    """Builds the extension if it can be built, and says so in one line if not."""

    def run(self):
        try:
            super().run()
        except Exception as error:
            self.give_up(error)

    def build_extension(self, ext):
        try:
            super().build_extension(ext)
        except Exception as error:
            self.give_up(error)

    def give_up(self, error):
        if WISH == "yes":
            raise error
        print(f"cyevents: the compiled core is not built, the pure one serves: {error}", file=sys.stderr)

    def copy_extensions_to_source(self):
        self.extensions = [ext for ext in self.extensions if os.path.exists(self.get_ext_fullpath_in_build(ext))]
        super().copy_extensions_to_source()

    def get_ext_fullpath_in_build(self, ext):
        return os.path.join(self.build_lib, self.get_ext_filename(self.get_ext_fullname(ext.name)))


def extensions():
    if WISH == "no":
        return []
    from Cython.Build import cythonize

    core = Extension("cyevents._core_c", ["src/cyevents/_core_c.pyx"])
    return cythonize([core], build_dir="build")


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt})
