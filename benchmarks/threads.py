"""A race of threads that emit at the same time, on free-threaded builds of Python."""

import os
import sys
import sysconfig
import threading
from time import perf_counter_ns

from .cases import Case, CaseSetup
from .contestants import load_contestants
from .timing import EMISSIONS, Race, gc_disabled

ROUNDS = 200  # of a thousand emissions, per thread


def skip_reason():
    """Return why threads cannot run at the same time here, or None."""
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this is not a free-threaded build"
    if sys._is_gil_enabled():
        return "the GIL is on"
    return None


def thread_race(laps=7, handlers=10):
    """Time emissions per thread, in one thread and in as many as there are processors."""
    result = Race()
    contestant = load_contestants()[0]["cyevents"]
    stage = CaseSetup(Case("plain", handlers))
    watch = stage.prepare(contestant)
    numbers = (1, max(2, os.cpu_count() or 2))
    with gc_disabled():
        for lap in range(laps):
            for number in numbers:
                barrier = threading.Barrier(number + 1)

                def work(barrier=barrier):
                    barrier.wait()
                    for _ in range(ROUNDS):
                        watch(EMISSIONS)

                threads = [threading.Thread(target=work) for _ in range(number)]
                for thread in threads:
                    thread.start()
                barrier.wait()
                start = perf_counter_ns()
                for thread in threads:
                    thread.join()
                label = f"{number} thread{'s' * (number > 1)}"
                result.record(label, lap, (perf_counter_ns() - start) / ROUNDS / EMISSIONS)
    return result
