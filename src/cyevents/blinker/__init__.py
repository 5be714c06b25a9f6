"""blinker 1.9's API on cyevents' core: a program that uses blinker changes one import, or none (see `install`).

Names, arguments, results and errors are blinker's; docs/blinker.md lists the differences. `python -m cyevents.blinker
SCRIPT` runs an unchanged program.
"""

from __future__ import annotations

import sys

from . import base
from .base import ANY, NamedSignal, Namespace, Signal, default_namespace, signal

__all__ = ["ANY", "NamedSignal", "Namespace", "Signal", "default_namespace", "signal"]  # blinker's, for import *


def install() -> None:
    """Make `import blinker` return this module from now on, in the whole process.

    Modules that have already imported blinker keep it, and the signals that they have made. Signals with a name in its
    default namespace are returned by `signal(name)` here too, so that old and new users of a name share one signal.

    Calling it again has no effect. blinker need not be installed.

    Example:
        >>> import cyevents.blinker
        >>> cyevents.blinker.install()
        >>> import blinker
        >>> blinker is cyevents.blinker
        True
    """
    this = sys.modules[__name__]
    blinker = sys.modules.get("blinker", this)
    if blinker is not this:
        for name, made in getattr(blinker, "default_namespace", {}).items():
            default_namespace.setdefault(name, made)
    sys.modules["blinker"] = this
    sys.modules["blinker.base"] = base
