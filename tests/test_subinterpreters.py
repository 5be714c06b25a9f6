"""Subinterpreters, with and without their own GIL: which core they use, and that it works until the end."""

import functools
import importlib.util
import os
import subprocess
import sys
import textwrap

import pytest

TIMEOUT = 60  # seconds until a hanging child process fails
MODULE = next((name for name in ("_interpreters", "_xxsubinterpreters") if importlib.util.find_spec(name)), None)

pytestmark = pytest.mark.skipif(MODULE is None, reason="this Python has no subinterpreters")

PRELUDE = f"""
import sys, {MODULE or "sys"} as interpreters

def create(kind):
    if hasattr(interpreters, "new_config"):  # Python 3.13
        return interpreters.create(kind)
    return interpreters.create(isolated=kind == "isolated")

def within(number, code):
    failed = interpreters.run_string(number, code)
    assert failed is None, failed

def run(kind, code):
    number = create(kind)
    within(number, code)
    interpreters.destroy(number)
"""

IMPORT = """
import gc, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import cyevents
from cyevents import _core
print(cyevents.backend, *[warning.category.__name__ for warning in caught], flush=True)
"""

EMIT = """
@cyevents.on("x")
def handler(sender, **kwargs):
    return sender, kwargs

@cyevents.on("*", priority=-1)
def generator(sender, **kwargs):
    yield 1

assert cyevents.emit("x", "sender", key=1) == [("sender", {"key": 1}), [1]]
del handler
gc.collect()
assert cyevents.emit("x", "sender") == [[1]]
"""

EMIT_MUCH = """
for number in range(2000):
    assert cyevents.emit("x", number) == [[1]]
    with cyevents.event("x").connected_to(lambda sender: 2):
        assert cyevents.emit("x", number) == [2, [1]]
"""


@pytest.fixture(params=["isolated", "legacy"])
def kind(request):
    """Use the settings of Python's own subinterpreters, and those of programs that embed Python."""
    return request.param


@pytest.fixture
def has_own_gil(kind):
    return kind == "isolated" and sys.version_info >= (3, 12)


@pytest.fixture
def child(backend):
    """Run a script in a child process and return its lines of output: child(script, **names)."""

    def run(script, required=False, **names):
        environment = {name: value for name, value in os.environ.items() if name != "CYEVENTS_PURE_PYTHON"}
        if backend == "python":
            environment["CYEVENTS_PURE_PYTHON"] = "1"
        elif required:
            environment["CYEVENTS_PURE_PYTHON"] = "0"
        names = {"IMPORT": IMPORT, "EMIT": EMIT, **names}
        program = PRELUDE + "".join(f"{name} = {value!r}\n" for name, value in names.items()) + textwrap.dedent(script)
        process = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=TIMEOUT
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout.splitlines()

    return run


@functools.cache
def has_asyncio(kind):
    """Return whether asyncio works: Python 3.12.1 crashes if two interpreters with their own GIL import it."""
    script = f"{PRELUDE}\nrun({kind!r}, 'import asyncio')\nrun({kind!r}, 'import asyncio')"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=TIMEOUT).returncode == 0


@pytest.fixture
def with_asyncio(kind):
    if not has_asyncio(kind):
        pytest.skip("in this Python asyncio alone crashes in a subinterpreter")


# Which core runs


def test_later_interpreters_fall_back_with_a_warning(child, backend, kind):
    lines = child(
        """
        exec(IMPORT + EMIT)
        for _ in range(3):
            run(KIND, IMPORT + EMIT)
        assert cyevents.emit("x", "sender") == [[1]]
        @cyevents.on("x")
        def another(sender): return "another"
        assert cyevents.emit("x") == ["another", [1]]
        """,
        KIND=kind,
    )
    falls_back = "python RuntimeWarning" if backend == "cython" else "python"
    assert lines == [backend, *[falls_back] * 3]


def test_first_interpreter_of_a_gil_has_the_extension(child, backend, kind, has_own_gil):
    """Even after it ended: a process loads the extension once. One with its own GIL never gets it."""
    lines = child(
        """
        run(KIND, IMPORT + EMIT)
        run(KIND, IMPORT + EMIT)
        exec(IMPORT + EMIT)
        """,
        KIND=kind,
    )
    falls_back = "python RuntimeWarning" if backend == "cython" else "python"
    assert lines == ([falls_back, falls_back, backend] if has_own_gil else [backend, falls_back, falls_back])


def test_interpreters_share_nothing(child, kind):
    lines = child(
        """
        exec(IMPORT)
        event = cyevents.event("x")
        event.connect(len)
        one, other = create(KIND), create(KIND)
        for number in (one, other):
            within(number, IMPORT + EMIT)
        within(one, "assert dict(cyevents.default_namespace).keys() == {'x'}; cyevents.default_namespace.clear()")
        within(other, "assert cyevents.emit('x', 1) == [[1]]")
        interpreters.destroy(one)
        within(other, "assert cyevents.emit('x', 1) == [[1]]; print('well', flush=True)")
        interpreters.destroy(other)
        assert cyevents.emit("x", "four") == [4]
        """,
        KIND=kind,
    )
    assert lines[-1] == "well"


def test_required_extension_fails_with_the_reason(child, backend, kind):
    if backend == "python":
        pytest.skip("the extension is not required")
    lines = child(
        """
        import cyevents
        run(KIND, '''
        try:
            import cyevents
        except ImportError as error:
            print(error, flush=True)
        '''.replace("\\n        ", "\\n"))
        """,
        required=True,
        KIND=kind,
    )
    assert len(lines) == 1
    assert lines[0].startswith("CYEVENTS_PURE_PYTHON=0 requires the compiled core, but the extension does not load: ")


def test_command_line_shows_the_core(child, backend, kind):
    lines = child(
        """
        import cyevents
        run(KIND, '''
        import sys, warnings
        warnings.simplefilter("ignore")
        from cyevents.__main__ import main
        assert main(["info"]) == 0
        '''.replace("\\n        ", "\\n"))
        """,
        KIND=kind,
    )
    said = dict(line.split(maxsplit=1) for line in lines)
    why = "the extension does not load: " if backend == "cython" else "CYEVENTS_PURE_PYTHON=1"
    assert said["backend"] == "python"
    assert said["reason"].startswith(why)
    assert said["platform"]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="no concurrent.interpreters")
def test_standard_library_module(child, backend):
    lines = child("""
        from concurrent import interpreters as standard
        import cyevents
        for _ in range(2):
            interpreter = standard.create()
            interpreter.exec(IMPORT + EMIT)
            interpreter.close()
        assert cyevents.emit("x") == []
    """)
    assert lines == ["python RuntimeWarning" if backend == "cython" else "python"] * 2


@pytest.mark.slow
def test_several_interpreters_emit_at_once(child, kind):
    lines = child(
        """
        import threading
        exec(IMPORT + EMIT)
        numbers = [create(KIND) for _ in range(2)]
        threads = [threading.Thread(target=within, args=[number, IMPORT + EMIT + MUCH]) for number in numbers]
        for thread in threads: thread.start()
        exec(MUCH)
        for thread in threads: thread.join()
        for number in numbers: interpreters.destroy(number)
        print("well")
        """,
        KIND=kind,
        MUCH=EMIT_MUCH + 'print("all", flush=True)',
    )
    assert "".join(lines).count("all") == 3  # the lines of threads may be mixed
    assert lines[-1] == "well"


# Async handlers

ASYNC = """
import asyncio, logging, sys, warnings
warnings.simplefilter("ignore")
import cyevents
logging.basicConfig(format="%(name)s %(levelname)s", stream=sys.stdout)

@cyevents.on("slow", weak=False)
async def slow(sender):
    await asyncio.sleep(0.01)
    print("done", sender, flush=True)
"""


@pytest.mark.slow
def test_async_handlers_in_a_running_loop(child, kind, with_asyncio):
    lines = child(
        """
        exec(ASYNC)
        run(KIND, ASYNC + '''
        async def main():
            await cyevents.emit_async("slow", 1)
            cyevents.emit("slow", 2)
            assert await cyevents.drain_async(20)
        asyncio.run(main())
        '''.replace("\\n        ", "\\n"))
        cyevents.emit("slow", "in the main one")
        """,
        KIND=kind,
        ASYNC=ASYNC,
    )
    assert lines == ["done 1", "done 2", "done in the main one"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 cannot destroy one that has a thread")
@pytest.mark.parametrize("last", ["assert cyevents.drain(20)", "pass"])
def test_background_loop_ends_with_its_interpreter(child, last):
    """Before Python 3.14, a remaining thread aborts the process: "not the last thread"."""
    lines = child(
        """
        for number in range(2):
            run("legacy", ASYNC + f"cyevents.emit('slow', {number})\\n" + LAST)
            print("destroyed", flush=True)
        """,
        ASYNC=ASYNC,
        LAST=last,
    )
    assert lines == ["done 0", "destroyed", "done 1", "destroyed"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 cannot destroy one that has a thread")
def test_emissions_at_exit_are_finished_or_logged(child):
    lines = child(
        """
        run("legacy", "import atexit\\natexit.register(lambda: cyevents.emit('slow', 'late'))\\n" + ASYNC)
        print("destroyed", flush=True)
        """,
        ASYNC=ASYNC + "\ncyevents.emit('slow', 1)\ncyevents.drain()",
    )
    assert lines in (["done 1", "done late", "destroyed"], ["done 1", "cyevents ERROR", "destroyed"])


@pytest.mark.parametrize("kind", ["isolated"])
def test_async_handlers_without_threads_are_logged(child, kind, with_asyncio):
    lines = child(
        """
        exec(ASYNC)
        run(KIND, ASYNC + "cyevents.emit('slow', 1)\\nassert cyevents.drain(20)")
        cyevents.emit("slow", "in the main one")
        """,
        KIND=kind,
        ASYNC=ASYNC,
    )
    assert lines == ["cyevents ERROR", "done in the main one"]
