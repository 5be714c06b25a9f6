"""Both cores against the naive model: random programs, compared after every statement.

`CYEVENTS_MODEL_EXAMPLES=20000 python -m pytest tests/model -s` runs so many programs instead of the few of the ordinary
suite, other ones each time, and tells how many operations were compared.
"""

import difflib
import gc
import os
import runpy
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
EXAMPLES = int(os.environ.get("CYEVENTS_MODEL_EXAMPLES") or 0)

# Programs: texts of expressions

EVENTS = ["a", "user.created", "user.deleted"]
PATTERNS = ["user.*", "*", "!a", "user.?reated"]
FUNCTIONS = [f"h{number}" for number in range(5)]
OBJECTS = ["o0", "o1", "c0"]
CONDITIONS = ["k0", "k1"]
METHODS = ["o0.sync", "o0.coroutine", "o1.generator", "o1.async_generator", "o1.sync"]
HANDLERS = FUNCTIONS * 3 + METHODS + ["o0", "c0", "p0", "deque.append", "plain.append", "lambda *_, **__: 'temporary'"]
SENDERS = ["ANY", "s0", "s0", "s1", "'text'", "Text('text')", "7", "Number(7)", "id(s0)", "True", "b'raw'", "None", "many"]
POLICIES = ["None", "None", "'raise'", "'group'", "'group'", "sink", "thrower"]
KEYS = ["m0", "m1", "m2"]

names = st.sampled_from(EVENTS)
handlers = st.sampled_from(HANDLERS)
senders = st.sampled_from(SENDERS)
keys = st.sampled_from(KEYS)
events = st.one_of(
    names.map("ns.event({!r})".format), names.map("ns.event({!r})".format), names.map("old[{!r}]".format)
)
connectables = st.one_of(events, events, st.sampled_from(PATTERNS).map("ns.event({!r})".format))
values = st.sampled_from(["None", "1", "0", "'x'", "[]", "False", "(1, 2)"])


def text(template, **parts):
    """Texts made of a template and strategies for its parts."""
    return st.fixed_dictionaries(parts).map(lambda given: template.format(**given))


def joined(*parts):
    return st.tuples(*parts).map(lambda texts: "".join(texts))


def maybe(template, strategy=None):
    """Nothing, mostly, or the template with something in it."""
    filled = st.just(template) if strategy is None else strategy.map(template.format)
    return st.one_of(st.just(""), st.just(""), filled)


options = joined(
    maybe(", sender={}", senders),
    maybe(", weak=False"),
    maybe(", priority={}", st.sampled_from(["1", "1", "-1", "2", "10**30", "-(10**30)", "True"])),
    maybe(", condition={}", st.sampled_from(CONDITIONS)),
    maybe(", once=True"),
    maybe(", with_event=True"),
    maybe(", thread=True"),
)
arguments = joined(
    st.one_of(st.just(""), senders, senders, senders.map("sender={}".format)),
    maybe(", {}", st.sampled_from(["k=1", "event=2", "self=3", "name=4, k=5"])),
).map(lambda given: given.removeprefix(", "))
positionals = joined(senders, st.just(", "), values, maybe(", k={}", values))
given = st.one_of(arguments, arguments, positionals)

emissions = st.one_of(
    text("{event}.emit({given})", event=events, given=given),
    text("ns.emit({name!r}, {given})", name=names, given=given),
)
async_emissions = st.one_of(
    text("{event}.emit_async({given})", event=events, given=given),
    text("ns.emit_async({name!r}, {given})", name=names, given=given),
)
connections = st.one_of(
    text("{event}.connect({handler}{options})", event=connectables, handler=handlers, options=options),
    text("{event}.connect({handler}{options})", event=connectables, handler=handlers, options=options),
    text("ns.on({name!r}{options})({handler})", name=st.sampled_from(EVENTS + PATTERNS), handler=handlers, options=options),
)
disconnections = st.one_of(
    text("{event}.disconnect({handler})", event=connectables, handler=handlers),
    text("{event}.disconnect({handler}, {sender})", event=connectables, handler=handlers, sender=senders),
    text("{event}.clear()", event=connectables),
)
managers = st.one_of(
    text("{event}.muted()", event=connectables),
    text("{event}.muted({handler})", event=connectables, handler=handlers),
    text("{event}.connected_to({handler}{options})", event=connectables, handler=handlers, options=options),
    text("{event}.connected_to({handler}{options})", event=connectables, handler=handlers, options=options),
)
spans = st.one_of(
    text("enter({key!r}, {manager})", key=keys, manager=managers),
    text("leave({key!r})", key=keys),
    text("leave({key!r})", key=keys),
    text("within({manager}, lambda: {emission})", manager=managers, emission=emissions),
)
subscriptions = st.one_of(
    text("subscribe('t', {event}.subscribe({handler}{options}))", event=connectables, handler=handlers, options=options),
    st.just("cancel('t')"),
)
deaths = st.one_of(
    st.sampled_from(FUNCTIONS + OBJECTS + ["s0", "s1", "p0"]).map("kill({!r})".format),
    st.sampled_from(["o0", "o1", "s0", "s1"]).map("reborn({!r})".format),
)
removals = st.sampled_from(EVENTS + PATTERNS).map("delete({!r})".format)
policies = st.one_of(
    text("policy({event}, {policy})", event=events, policy=st.sampled_from(POLICIES)),
    text("policy(ns, {policy})", policy=st.sampled_from(POLICIES)),
)
looks = st.one_of(
    text("look({event})", event=connectables),
    text("{event}.has_handlers_for({sender})", event=connectables, sender=senders),
    st.sampled_from(PATTERNS).map("sorted(ns.filter({!r}))".format),
)
operations = st.one_of(
    connections, emissions, disconnections, spans, subscriptions, deaths, connections, emissions, looks, removals, policies
)


def indented(lines):
    return "".join(f"    {line}\n" for line in lines)


nested = st.lists(operations.map("nested(lambda: {})".format), max_size=2)
endings = st.one_of(
    values.map("return {}".format),
    values.map("return {}".format),
    st.sampled_from(["raise Boom('from a handler')", "raise Boom('from a handler')", "raise Fatal('from a handler')"]),
)
sync_bodies = st.tuples(nested, st.one_of(endings, endings, st.just("return later(1)"), st.just("return plain[7]")))
generator_bodies = st.tuples(
    nested, st.lists(values.map("yield {}".format), min_size=1, max_size=2).map("; ".join), nested, endings
)
waits = st.sampled_from(["pass", "pass", "await turns(1)", "await turns(3)", "await forever()"])
nested_async = st.lists(async_emissions.map("await nested_async(lambda: {})".format), max_size=1)
coroutine_bodies = st.tuples(nested, waits, nested_async, nested, endings)
async_generator_bodies = st.tuples(
    nested,
    waits,
    values.map("yield {}".format),
    nested,
    st.sampled_from(["pass", "yield False", "raise Boom('from a handler')", "raise Fatal('from a handler')"]),
)
condition_bodies = st.tuples(
    st.lists(st.one_of(operations, connections, disconnections).map("nested(lambda: {})".format), max_size=2),
    st.sampled_from(["return True"] * 4 + ["return 'k' in kwargs", "return []", "raise Boom('c')", "raise Fatal('c')"]),
)


BODIES = {
    "sync": sync_bodies,
    "generator": generator_bodies,
    "coroutine": coroutine_bodies,
    "async_generator": async_generator_bodies,
}


def lines_of(body):
    return [line for part in body for line in ([part] if isinstance(part, str) else part)]


def function(head, body):
    (name,) = [word for word in head.split() if word not in ("async", "def")]
    lines = [f"log({name!r}, sender, {'args, ' * (name[0] == 'h')}kwargs)", *lines_of(body)]
    signature = "sender, /, *args, **kwargs" if name[0] == "h" else "sender, /, **kwargs"
    return f"{head}({signature}):\n{indented(lines)}"


@pytest.fixture
def libraries(cores):
    return {"model": types.SimpleNamespace(**runpy.run_path(str(HERE / "naive.py"))), **cores}


class Worlds:
    """One program, run with several libraries at once."""

    def __init__(self, libraries):
        gc.unfreeze()
        gc.collect()
        gc.freeze()  # garbage is collected after each statement: not among what was there before
        self.globals = {}
        for name, library in libraries.items():
            self.globals[name] = {"__name__": "preamble", "cyevents": library}
            exec(PREAMBLE_CODE, self.globals[name])
        self.program = []
        self.lines = 0

    def run(self, statement):
        """Run a statement in each world, and compare what was noted there: return how one differs, if it does."""
        self.program.append(statement)
        code = compile(statement, "program", "exec")
        traces = {}
        for name, names in self.globals.items():
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                exec(code, names)
            never = [str(each.message) for each in warned if "never awaited" in str(each.message)]
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
    """Run a program; return how one library differs from the model in the end, and the statements until then."""
    worlds = Worlds(libraries)
    try:
        for statement in program:
            difference = worlds.run(statement)
            if difference is not None:
                return difference, worlds.program
    except (NameError, SyntaxError):  # too much was left out
        pass
    finally:
        worlds.close()
    return None, program


def reduced(libraries, program):
    """The program without the statements, and the lines of functions, that it needs not to show a difference."""
    _, program = run_all(libraries, program)

    def without(parts, build):
        """Leave out of the parts what can be, from the end, since what comes later rests on what came before."""
        nonlocal program
        for size in (8, 4, 2, 1):
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
    """Makes programs, a statement at a time."""

    libraries = None
    counts = {"programs": 0, "statements": 0, "operations": 0, "lines": 0}

    def __init__(self):
        super().__init__()
        self.worlds = Worlds(self.libraries)
        self.agree = True

    def do(self, expression, in_loop=False):
        self.run(f"{'do_in_loop' if in_loop else 'do'}(lambda: {expression})")

    def define(self, name, head, body):
        self.run(f"{function(head, body)}census.add({name})")

    def run(self, statement):
        try:
            difference = self.worlds.run(statement)
        except BaseException:
            self.agree = False
            raise
        if difference is not None:
            self.agree = False
            program = reduced(self.libraries, self.worlds.program)
            difference, _ = run_all(self.libraries, program)
            script = "\n".join([PREAMBLE, *program, "print(*trace, sep='\\n')"])
            raise AssertionError(f"a core differs from the model:\n{difference}\n\nThe program:\n\n{script}")

    @initialize(data=st.data(), warm=st.booleans())
    def begin(self, data, warm):
        self.run(f"warm = {warm}")
        self.run("o0, o1, c0, s0, s1 = Obj('o0'), Obj('o1'), Async('c0'), Obj('s0'), Obj('s1')")
        for name in FUNCTIONS[:3]:
            self.define(name, f"def {name}", data.draw(sync_bodies))
        for name in CONDITIONS:
            self.define(name, f"def {name}", data.draw(condition_bodies))
        self.run("p0 = functools.partial(h0)")

    # What is drawn, is drawn inside: Hypothesis would print the strategies, which are large.

    @rule(data=st.data(), name=st.sampled_from(FUNCTIONS), kind=st.sampled_from(list(BODIES)))
    def define_handler(self, data, name, kind):
        head = f"def {name}" if kind in ("sync", "generator") else f"async def {name}"
        self.define(name, head, data.draw(BODIES[kind]))

    @rule(data=st.data(), name=st.sampled_from(CONDITIONS))
    def define_condition(self, data, name):
        self.define(name, f"def {name}", data.draw(condition_bodies))

    @rule(data=st.data())
    def connect(self, data):
        self.do(data.draw(connections))

    @rule(data=st.data(), number=st.integers(2, 5))
    def connect_some(self, data, number):
        self.do(f"({', '.join(data.draw(connections) for _ in range(number))})")

    @rule(data=st.data())
    def disconnect(self, data):
        self.do(data.draw(disconnections))

    @rule(data=st.data(), in_loop=st.booleans())
    def emit(self, data, in_loop):
        self.do(data.draw(emissions), in_loop)

    @rule(data=st.data())
    def emit_async(self, data):
        self.do(data.draw(async_emissions), in_loop=True)

    @rule(data=st.data(), in_loop=st.booleans())
    def begin_or_end(self, data, in_loop):
        self.do(data.draw(st.one_of(spans, spans, subscriptions)), in_loop)

    @rule(data=st.data())
    def lose(self, data):
        self.do(data.draw(st.one_of(deaths, removals)))

    @rule(data=st.data())
    def set_policy(self, data):
        self.do(data.draw(policies))

    @rule(data=st.data())
    def look(self, data):
        self.do(data.draw(looks))

    def teardown(self):
        if self.agree:
            self.run("finish()")
        self.worlds.close()
        self.counts["programs"] += 1
        self.counts["statements"] += len(self.worlds.program)
        self.counts["operations"] += self.worlds.globals["model"]["count"]
        self.counts["lines"] += self.worlds.lines


PROFILE = (
    {"max_examples": EXAMPLES, "stateful_step_count": 60}
    if EXAMPLES
    else {"max_examples": 150, "stateful_step_count": 30, "derandomize": True}
)


def test_both_cores_do_what_the_model_does(libraries, capsys):
    Machine.libraries = libraries
    run_state_machine_as_test(Machine, settings=settings(**PROFILE, deadline=None, database=None, phases=[Phase.generate], verbosity=Verbosity.quiet, suppress_health_check=list(HealthCheck)))
    with capsys.disabled():
        print(Machine.counts)
