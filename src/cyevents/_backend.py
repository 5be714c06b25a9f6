"""The one selector: chooses a core, and says which and why.

`CYEVENTS_PURE_PYTHON`: unset or empty takes the compiled core if it is there, `1` the pure one, `0` requires the
compiled one.
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


def _choose() -> tuple[ModuleType, Literal["cython", "python"], str]:
    wish = os.environ.get(_SWITCH, "")
    if wish not in ("", "0", "1"):
        raise ImportError(f"{_SWITCH} must be 0, 1 or empty, not {wish!r}")
    if wish != "1":
        name = f"{__package__}._core._emit"
        try:
            from ._core import _emit  # type: ignore[attr-defined]

            return _emit, "cython", "the extension is built"
        except Exception as error:
            missing = isinstance(error, ModuleNotFoundError) and error.name == name
            missing = missing or str(error).startswith("cannot import name '_emit'")
            if wish == "0":
                raise ImportError(
                    f"{_SWITCH}=0 requires the compiled core, which cannot be imported: {error}"
                ) from error
            reason = "the extension is not built" if missing else f"the extension does not load: {error}"
            if not missing:
                import warnings

                warnings.warn(f"cyevents falls back to its pure-Python core: {reason}", RuntimeWarning, stacklevel=4)
    else:
        reason = f"{_SWITCH}=1"
    return _load_uncompiled(), "python", reason


def _load_uncompiled() -> ModuleType:
    """Load the tables from their source, although the compiled ones, which an import takes, may lie beside it."""
    import sys
    from importlib._bootstrap import module_from_spec
    from importlib._bootstrap_external import spec_from_file_location

    from . import _core

    name = f"{_core.__name__}._tables"
    spec = spec_from_file_location(name, f"{_core.__path__[0]}{os.sep}_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    _core._tables = module
    return module


core, backend, reason = _choose()
core_file = core.__file__ or ""

if hasattr(os, "register_at_fork"):  # a child finds the tables whole, and nobody holding their lock
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    os.register_at_fork(before=free_lock_at_exit)  # called before the other one

if TYPE_CHECKING:  # the pure core is what type checkers see, whichever runs
    from ._core._tables import CONDITION as CONDITION
    from ._core._tables import DEAD as DEAD
    from ._core._tables import ONCE as ONCE
    from ._core._tables import THREAD as THREAD
    from ._core._tables import WITH_EVENT as WITH_EVENT
    from ._core._tables import Entry as Entry
    from ._core._tables import EventCore as EventCore
    from ._core._tables import NamespaceCore as NamespaceCore
    from ._core._tables import SignalCore as SignalCore
    from ._core._tables import TaskCollector as TaskCollector
    from ._core._tables import call_locked as call_locked
    from ._core._tables import consume as consume
    from ._core._tables import expect_death as expect_death
    from ._core._tables import handler_key as handler_key
    from ._core._tables import install_methods as install_methods
    from ._core._tables import purge_dead as purge_dead
    from ._core._tables import sender_key as sender_key
else:
    CONDITION = core.CONDITION
    DEAD = core.DEAD
    ONCE = core.ONCE
    THREAD = core.THREAD
    WITH_EVENT = core.WITH_EVENT
    Entry = core.Entry
    EventCore = core.EventCore
    NamespaceCore = core.NamespaceCore
    TaskCollector = core.TaskCollector
    SignalCore = core.SignalCore
    call_locked = core.call_locked
    consume = core.consume
    expect_death = core.expect_death
    handler_key = core.handler_key
    install_methods = core.install_methods
    purge_dead = core.purge_dead
    sender_key = core.sender_key
    # At exit the globals of a module are cleared if anything still refers to the module itself. Finalizers that run
    # later need those of the core: nothing of the package that they use refers to a module.
    del core
