"""Both cores against the naive model: random programs, compared after every statement.

`CYEVENTS_MODEL_EXAMPLES=20000 python -m pytest tests/model -s` runs that many new programs instead of the few of the
ordinary suite, and prints how many operations were compared.
"""

import collections
import difflib
import faulthandler
import functools
import gc
import logging
import os
import re
import runpy
import sysconfig
import textwrap
import time
import types
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

HERE = Path(__file__).parent
PREAMBLE = (HERE / "preamble.py").read_text()
PREAMBLE_CODE = compile(PREAMBLE.replace("import cyevents\n", ""), "preamble", "exec")
PROGRAMS = types.SimpleNamespace(**runpy.run_path(str(HERE / "programs.py")))
EXAMPLES = int(os.environ.get("CYEVENTS_MODEL_EXAMPLES") or 0)


@pytest.fixture(autouse=True)
def restore_logger():
    """Restore the library's logger, which the programs listen to."""
    logger = logging.getLogger("cyevents")
    level, propagate, handlers = logger.level, logger.propagate, logger.handlers[:]
    yield
    logger.setLevel(level)
    logger.propagate, logger.handlers[:] = propagate, handlers


@pytest.fixture(autouse=True)
def disable_collector():
    """Disable the garbage collector: programs call it themselves."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def libraries(cores):
    """Return the model and the cores, by name."""
    return {"model": types.SimpleNamespace(**runpy.run_path(str(HERE / "naive.py"))), **cores}


@functools.cache
def compiled(statement):
    """Return the code of a statement. Free-threaded Pythons leave functions to the collector unless they are nested."""
    head = re.match(r"(?:async )?def (\w+)", statement)
    if head:
        statement = f"def define():\n    global {head[1]}\n{textwrap.indent(statement, '    ')}\ndefine()"
    return compile(statement, "program", "exec")


class Worlds:
    """One program, run with several libraries at once."""

    made = 0

    def __init__(self, libraries):
        Worlds.made += 1
        if Worlds.made % 50 == 0:
            gc.unfreeze()
            gc.collect()
        gc.freeze()  # collections after each statement ignore earlier objects
        self.globals = {}
        for name, library in libraries.items():
            self.globals[name] = {"__name__": "preamble", "cyevents": library}
            exec(PREAMBLE_CODE, self.globals[name])
        self.program = []
        self.lines = 0

    def run(self, statement):
        """Run a statement in each world and compare the logs; return a difference, or None."""
        self.program.append(statement)
        code = compiled(statement)
        traces = {}
        for name, names in self.globals.items():
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                exec(code, names)
            report = [str(each.message).partition("\n")[0] for each in warned]  # asyncio's debug mode also says where
            never = [message for message in report if "never awaited" in message]
            traces[name] = names["trace"] + never
            names["trace"] = []
        expected = traces.pop("model")
        self.lines += len(expected)
        for name, trace in traces.items():
            if trace != expected:
                return "\n".join(difflib.unified_diff(expected, trace, "model", name, lineterm=""))
        return None

    def close(self):
        for names in self.globals.values():
            names["loop"].close()


def run_all(libraries, program):
    """Run a program; return how a library differs from the model, and the statements up to that point."""
    worlds = Worlds(libraries)
    try:
        for statement in program:
            difference = worlds.run(statement)
            if difference is not None:
                return difference, worlds.program
    except (NameError, SyntaxError):  # too much was removed
        pass
    finally:
        worlds.close()
    return None, program


def reduced(libraries, program):
    """Return the program without the statements and lines that are not needed to show the difference."""
    _, program = run_all(libraries, program)

    def without(parts, build):
        """Remove parts, from the end, since later ones depend on earlier ones."""
        nonlocal program
        for size in (32, 8, 3, 1):
            at = len(parts) - size
            while at >= 0 and time.monotonic() < until:
                rest = parts[:at] + parts[at + size :]
                difference, candidate = run_all(libraries, build(rest))
                if difference is not None:
                    program, parts = candidate, rest
                at = min(at - 1, len(parts) - size)
        return parts

    before = None
    until = time.monotonic() + 30
    while before != program and time.monotonic() < until:
        before = program
        without(program[:], lambda statements: statements)
        for at, statement in enumerate(program):
            head, *lines = statement.split("\n")
            lines = without(
                lines, lambda lines, at=at, head=head: [*program[:at], "\n".join([head, *lines]), *program[at + 1 :]]
            )
    return program


class Machine(RuleBasedStateMachine):
    """Builds programs, one statement at a time."""

    libraries = {}
    counts = collections.Counter()

    def __init__(self):
        super().__init__()
        self.worlds = Worlds(self.libraries)
        self.agree = True

    def do(self, expression, in_loop=False):
        self.run(f"{'do_in_loop' if in_loop else 'do'}(lambda: {expression})")

    def define(self, name, head, body):
        self.run(f"{PROGRAMS.function(head, body)}census.add({name})")

    def run(self, statement):
        try:
            difference = self.worlds.run(statement)
        except BaseException:
            self.agree = False
            raise
        if difference is not None:
            self.agree = False
            program = reduced(self.libraries, self.worlds.program)
            again, _ = run_all(self.libraries, program)
            script = "\n".join([PREAMBLE, *program, "print(*trace, sep='\\n')"])
            report = again or f"{difference}\n\nBy chance: the program, run again, does what the model does."
            raise AssertionError(f"a core differs from the model:\n{report}\n\nThe program:\n\n{script}")

    # Values are drawn inside: Hypothesis would print the strategies, which are large.

    @initialize(data=st.data(), warm=st.booleans())
    def begin(self, data, warm):
        self.run(f"warm = {warm}")
        self.run("o0, o1, c0, s0, s1 = Obj('o0'), Obj('o1'), Async('c0'), Obj('s0'), Obj('s1')")
        self.run("i0 = id(s0)")
        for name in PROGRAMS.FUNCTIONS:
            self.define_handler(data, name)
        for name in PROGRAMS.CONDITIONS:
            self.define_condition(data, name)
        self.run("p0 = functools.partial(h0)")
        self.connect(data)

    @rule(data=st.data(), what=st.sampled_from(["emit"] * 4 + ["emit_async"] * 3 + ["connect"] * 3 + ["span"] * 3))
    def use(self, data, what):
        if what == "connect":
            self.connect(data)
        elif what == "span":
            self.do(data.draw(PROGRAMS.spans), in_loop=data.draw(st.booleans()))
        elif what == "emit":
            self.do(data.draw(PROGRAMS.emissions), in_loop=data.draw(st.booleans()))
        else:
            self.do(data.draw(PROGRAMS.async_emissions), in_loop=True)

    @rule(
        data=st.data(),
        what=st.sampled_from(["handler"] * 3 + ["condition", "disconnect", "lose", "policy", "subscribe"]),
    )
    def change(self, data, what):
        if what == "handler":
            self.define_handler(data, data.draw(st.sampled_from(PROGRAMS.FUNCTIONS)))
        elif what == "condition":
            self.define_condition(data, data.draw(st.sampled_from(PROGRAMS.CONDITIONS)))
        else:
            self.do(data.draw(PROGRAMS.CHANGES[what]))

    def connect(self, data):
        connections = [data.draw(PROGRAMS.connections) for _ in range(data.draw(st.integers(1, 5)))]
        self.do(f"({', '.join(connections)},)")

    def define_handler(self, data, name):
        kind = data.draw(st.sampled_from(list(PROGRAMS.BODIES)))
        head = f"def {name}" if kind in ("sync", "generator") else f"async def {name}"
        self.define(name, head, data.draw(PROGRAMS.BODIES[kind]))

    def define_condition(self, data, name):
        self.define(name, f"def {name}", data.draw(PROGRAMS.condition_bodies))

    def teardown(self):
        if self.agree:
            self.run("finish()")
        self.worlds.close()
        self.counts.update(
            programs=1,
            statements=len(self.worlds.program),
            operations=self.worlds.globals["model"]["count"],
            lines=self.worlds.lines,
        )


# Each collection (one for each statement and world) visits the whole heap.
FEW = 50 if sysconfig.get_config_var("Py_GIL_DISABLED") else 150
PROFILE = (
    {"max_examples": EXAMPLES, "stateful_step_count": 60}
    if EXAMPLES
    else {"max_examples": FEW, "stateful_step_count": 30, "derandomize": True}
)


@pytest.mark.slow
def test_both_cores_match_the_model(libraries, record_property):
    Machine.libraries = libraries
    Machine.counts.clear()
    if EXAMPLES:
        faulthandler.cancel_dump_traceback_later()  # it takes long on purpose
    profile = settings(
        **PROFILE,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # `reduced` shrinks the program
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(Machine, settings=profile)
    finally:
        report = ", ".join(f"{number} {what}" for what, number in Machine.counts.items())
        record_property("compared", report)
        print(f"\nmodel: compared with each of {len(libraries) - 1} cores: {report} of what was seen")


# Cases found while the model was written, which random programs rarely reach.
KNOWN = {
    "a condition reconnects and disconnects": """
def k0(sender, /, **kwargs):
    nested(lambda: ns.event('a').connect(h0))
    nested(lambda: ns.event('a').disconnect(h0))
    return True
===
do(lambda: ns.event('a').connect(h0, condition=k0))""",
    "a temporary connection ends inside an emission": """
def h1(sender, /, *args, **kwargs):
    nested(lambda: leave('m0'))
===
do(lambda: (ns.event('a').connect(h0), enter('m0', ns.event('a').connected_to(h0, priority=1))))
===
do(lambda: ns.event('a').connect(h1, priority=5))""",
    "a temporary connection is changed before it is consumed": """
def h1(sender, /, *args, **kwargs):
    nested(lambda: ns.event('a').connect(h0, priority=7))
===
do(lambda: (ns.event('a').connect(h0), enter('m0', ns.event('a').connected_to(h0, priority=3, once=True))))
===
do(lambda: ns.event('a').connect(h1, priority=5, once=True))""",
    "a restored temporary connection is consumed": """
do(lambda: (ns.event('a').connect(h0, priority=-1), enter('m0', ns.event('a').connected_to(h0, once=True))))
===
do(lambda: (enter('m1', ns.event('a').connected_to(h0)), leave('m1'), ns.event('a').emit(1)))
===
do(lambda: (leave('m0'), look(ns.event('a'))))""",
    "reconnected and disconnected within an emission": """
def h1(sender, /, *args, **kwargs):
    nested(lambda: ns.event('a').connect(h0))
    nested(lambda: ns.event('a').disconnect(h0))
===
do(lambda: (ns.event('a').connect(h0), ns.event('a').connect(h1, priority=5)))""",
    "two cancel in one priority": """
async def h1(sender, /, *args, **kwargs):
    await run_turns(2)
    return False
===
async def h2(sender, /, *args, **kwargs):
    return False
===
do(lambda: (ns.event('a').connect(h1), ns.event('a').connect(h2), ns.event('a').connect(h0, priority=-1)))""",
    "several fail in one priority": """
async def h1(sender, /, *args, **kwargs):
    await run_turns(2)
    raise Boom('first')
===
def h2(sender, /, *args, **kwargs):
    raise Boom('second')
===
async def h3(sender, /, *args, **kwargs):
    raise Boom('third')
===
do(lambda: (ns.event('a').connect(h1), ns.event('a').connect(h2), ns.event('a').connect(h3)))
===
do(lambda: policy(ns, 'group'))""",
    "one is fatal while others wait": """
async def h1(sender, /, *args, **kwargs):
    await forever()
===
async def h2(sender, /, *args, **kwargs):
    await run_turns(1)
    raise Fatal('second')
===
do(lambda: (ns.event('a').connect(h1), ns.event('a').connect(h2), ns.event('a').connect(h0, priority=-1)))""",
    "a handler in a thread is cancelled twice": """
async def h1(sender, /, *args, **kwargs):
    raise Fatal('first')
===
def h2(sender, /, *args, **kwargs):
    raise Boom('second')
===
async def h3(sender, /, *args, **kwargs):
    await forever()
===
do(lambda: (ns.event('a').connect(h3), ns.event('a').connect(h1), ns.event('a').connect(h2, thread=True)))
===
do(lambda: policy(ns.event('a'), swallow))""",
}
EMISSIONS = ["do(lambda: ns.event('a').emit(1))", "do_in_loop(lambda: ns.event('a').emit_async(1))"]


@pytest.mark.parametrize("emission", EMISSIONS, ids=["emit", "emit_async"])
@pytest.mark.parametrize("name", KNOWN)
def test_known_programs(libraries, name, emission):
    handler = "def h0(sender, /, *args, **kwargs):\n    log('h0')\n    return 1"
    statements = [statement.strip() for statement in KNOWN[name].split("===")]
    after = ["do(lambda: ns.event('a').disconnect(h0))", "do(lambda: leave('m0'))", emission]
    difference, _ = run_all(libraries, [handler, *statements, emission, *after])
    assert difference is None, difference
