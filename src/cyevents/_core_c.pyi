# What type checkers see of the compiled core: that it is the twin of the pure one.

from ._core_py import CONDITION as CONDITION
from ._core_py import DEAD as DEAD
from ._core_py import ONCE as ONCE
from ._core_py import REPLACED as REPLACED
from ._core_py import THREAD as THREAD
from ._core_py import WITH_EVENT as WITH_EVENT
from ._core_py import Entry as Entry
from ._core_py import EventCore as EventCore
from ._core_py import NamespaceCore as NamespaceCore
from ._core_py import Ref as Ref
from ._core_py import SignalCore as SignalCore
from ._core_py import TaskCollector as TaskCollector
from ._core_py import call_locked as call_locked
from ._core_py import consume as consume
from ._core_py import expect_death as expect_death
from ._core_py import handler_key as handler_key
from ._core_py import install_methods as install_methods
from ._core_py import purge_dead as purge_dead
