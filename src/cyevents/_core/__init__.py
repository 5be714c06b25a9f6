"""The core: the tables of connections and the emission. This file chooses its compiled or its uncompiled form.

`CYEVENTS_PURE_PYTHON`: unset or empty takes the compiled core if it is built, `1` takes the uncompiled one, and `0`
requires the compiled one.

`_tables.py` has the tables. `_emit.pyx`, which is only compiled, adds the fast path of emissions.
"""

from __future__ import annotations

import os

from ._lock import free_lock_at_exit
from ._lock import lock as lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Literal

_SWITCH = "CYEVENTS_PURE_PYTHON"
_ADVICE = "to build it, install a C compiler and run `python -m pip install .` in a clone of the repository"


def _choose() -> tuple[ModuleType, Literal["cython", "python"], str]:
    """Return the module to use, its kind, and the reason for the choice."""
    switch = os.environ.get(_SWITCH, "")
    if switch not in ("", "0", "1"):
        raise ImportError(f"{_SWITCH} must be 0, 1 or empty, not {switch!r}")
    if switch == "1":
        return _load_uncompiled(), "python", f"{_SWITCH}=1"
    try:
        from . import _emit  # type: ignore[attr-defined]

        return _emit, "cython", "the extension is built"
    except Exception as error:
        is_built = not str(error).startswith("cannot import name '_emit'")
        reason = f"the extension does not load: {error}" if is_built else f"the extension is not built; {_ADVICE}"
        if switch == "0":
            raise ImportError(f"{_SWITCH}=0 requires the compiled core, but {reason}") from error
        if is_built:
            import warnings

            warnings.warn(f"cyevents falls back to its pure-Python core: {reason}", RuntimeWarning, stacklevel=4)
    return _load_uncompiled(), "python", reason


def _load_uncompiled() -> ModuleType:
    """Load the tables from their source, although an import would find the compiled ones in the same folder."""
    import sys
    from importlib._bootstrap import module_from_spec
    from importlib._bootstrap_external import spec_from_file_location

    name = f"{__name__}._tables"
    spec = spec_from_file_location(name, os.path.join(os.path.dirname(__file__), "_tables.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


_module, backend, reason = _choose()
core_file = _module.__file__ or ""
optimization: str = getattr(_module, "optimization", "")  # the flags that the compiled core was compiled with

if hasattr(os, "register_at_fork"):  # a child process gets consistent tables, and a free lock
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    os.register_at_fork(before=free_lock_at_exit)  # runs before the other one

if TYPE_CHECKING:  # type checkers see the source of the tables, whichever form runs
    from ._tables import *  # noqa: F403
else:
    from ._tables import __all__ as _names

    globals().update({name: getattr(_module, name) for name in _names})
    # At exit the interpreter clears the globals of each module that something still refers to. Finalizers that run
    # later use the globals of the core, so nothing of the package that they reach refers to a module. The globals of
    # this one refer to all modules in its folder, and must end with it: no function may keep them.
    del _module, _choose, _load_uncompiled
