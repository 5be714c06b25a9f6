"""Races of threads that emit at the same time, on free-threaded builds; elsewhere the reason why not."""

import os
import sys
import sysconfig
import threading
from time import perf_counter_ns

from .cases import Case, Stage
from .contestants import muster
from .timing import EMISSIONS, Race, quiet

ROUNDS = 200  # of a thousand emissions, in each thread


def why_not():
    """Why threads cannot run at the same time here; None if they can."""
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this is no free-threaded build"
    if sys._is_gil_enabled():
        return "the GIL is on"
    return None


def thread_race(laps=7, handlers=10):
    """Nanoseconds per emission in each thread: by one thread, and by as many as there are processors."""
    result = Race()
    contestant = muster()[0]["cyevents"]
    stage = Stage(Case("plain", handlers))
    watch = stage.enter(contestant)
    numbers = (1, max(2, os.cpu_count() or 2))
    with quiet():
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
