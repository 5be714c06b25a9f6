"""blinker 1.9's API on cyevents' core: a program that uses blinker changes one import, or none (see `install`).

Names, arguments, results and errors are blinker's; docs/blinker.md tells what differs. `python -m cyevents.blinker
SCRIPT` runs a program as it is.
"""

from __future__ import annotations

import sys

from . import base
from .base import ANY, NamedSignal, Namespace, Signal, default_namespace, signal

__all__ = ["ANY", "NamedSignal", "Namespace", "Signal", "default_namespace", "signal"]  # blinker's, for import *


def install() -> None:
    """Make `import blinker` give this module, to all that imports it from now on.

    What has imported blinker before goes on with it, and so do the signals made before. Those that have names in its
    default namespace are to be had by `signal(name)` here too, so that old and new users of a name meet.

    Calling it again changes nothing. blinker need not be installed.

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
