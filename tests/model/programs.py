"""Strategies for the statements of the model's programs: texts of operations and of functions.

They use the names of `preamble.py`.
"""

from hypothesis import strategies as st

# Few names, used often, so that operations affect the same objects.

EVENTS = ["a", "user.created", "user.deleted"]
PATTERNS = ["user.*", "*", "!a", "user.?reated"]
FUNCTIONS = [f"h{number}" for number in range(4)]
OBJECTS = ["o0", "o1", "c0"]
CONDITIONS = ["k0", "k1"]
METHODS = ["o0.sync", "o0.coroutine", "o1.generator", "o1.async_generator"]
CALLABLES = ["o0", "c0", "p0", "deque.append", "plain.append", "lambda *_, **__: 'temporary'"]
HANDLERS = FUNCTIONS * 2 + ["h0", "h1"] * 6 + METHODS + CALLABLES
VALUES = ["'text'", "Text('text')", "7", "Number(7)", "1", "i0", "b'raw'"]
SENDERS = ["s0"] * 6 + ["'text'"] * 3 + ["ANY", "s1", "True", "None", "many", *VALUES]
POLICIES = ["None", "None", "'raise'", "'group'", "'group'", "swallow", "swallow", "raise_error", "raise_cancel"]
KEYS = ["m0", "m1", "m2"]

names = st.sampled_from(["user.created"] * 3 + EVENTS)
handlers = st.sampled_from(HANDLERS)
senders = st.sampled_from(SENDERS)
keys = st.sampled_from(KEYS)
events = st.one_of(
    names.map("ns.event({!r})".format), names.map("ns.event({!r})".format), names.map("old[{!r}]".format)
)
connectables = st.one_of(events, events, st.sampled_from(["user.*"] * 3 + PATTERNS).map("ns.event({!r})".format))
values = st.sampled_from(["None", "False", "1", "0", "'x'", "[]", "False", "(1, 2)"])


def text(template, **parts):
    """Texts made from a template and strategies for its parts."""
    return st.fixed_dictionaries(parts).map(lambda given: template.format(**given))


def joined(*parts):
    return st.tuples(*parts).map(lambda texts: "".join(texts))


def maybe(template, strategy=None):
    """Usually nothing, otherwise the template with its part."""
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
    text("{event}.emit({given})", event=events, given=given),
    text("ns.emit({name!r}, {given})", name=names, given=given),
    text("{event}.first({given})", event=events, given=given),
    text("{event}.first(sender={sender}, default='default')", event=events, sender=senders),
)
async_emissions = st.one_of(
    text("{event}.emit_async({given})", event=events, given=given),
    text("ns.emit_async({name!r}, {given})", name=names, given=given),
)
connections = st.one_of(
    text("{event}.connect({handler}{options})", event=connectables, handler=handlers, options=options),
    text("{event}.connect({handler}{options})", event=connectables, handler=handlers, options=options),
    text(
        "ns.on({name!r}{options})({handler})",
        name=st.sampled_from(EVENTS + PATTERNS),
        handler=handlers,
        options=options,
    ),
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


def overlapping(event, emitted, handler):
    """Temporary connections of one handler that end in any order, are changed, and are consumed meanwhile."""
    step = st.one_of(
        text(
            "enter({key!r}, {event}.connected_to({handler}{options}))",
            key=keys,
            event=st.just(event),
            handler=st.just(handler),
            options=st.sampled_from(["", ", priority=1", ", priority=-1", ", once=True", ", condition=k0"]),
        ),
        st.sampled_from(KEYS).map("leave({!r})".format),
        st.sampled_from([f"{emitted}.emit(1)", f"{event}.connect({handler})", f"look({event})"]),
    )
    return st.lists(step, min_size=4, max_size=9).map(lambda steps: f"({', '.join(steps)}, {emitted}.emit(2))")


overlaps = st.one_of(
    st.sampled_from(["h0", "h1"]).flatmap(lambda h: overlapping("ns.event('a')", "ns.event('a')", h)),
    st.sampled_from(["h0", "h1"]).flatmap(lambda h: overlapping("ns.event('user.*')", "ns.event('user.created')", h)),
)
spans = st.one_of(
    overlaps,
    text("enter({key!r}, {manager})", key=keys, manager=managers),
    text("within({manager}, lambda: {emission})", manager=managers, emission=emissions),
    text("enter({key!r}, {manager})", key=keys, manager=managers),
    text("leave({key!r})", key=keys),
    text("leave({key!r})", key=keys),
    text("within({manager}, lambda: {emission})", manager=managers, emission=emissions),
)
subscriptions = st.one_of(
    text(
        "subscribe('t', {event}.subscribe({handler}{options}))", event=connectables, handler=handlers, options=options
    ),
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
reversals = st.sampled_from(["h0", "h1", "h2"]).flatmap(
    lambda handler: st.sampled_from(
        [
            f"ns.event('user.created').connect({handler})",
            f"ns.event('user.created').connect({handler}, priority=-1)",
            f"ns.event('user.created').disconnect({handler})",
        ]
    )
)
operations = st.one_of(
    reversals,
    reversals,
    connections,
    emissions,
    disconnections,
    spans,
    subscriptions,
    deaths,
    connections,
    emissions,
    looks,
    removals,
    policies,
)


def indented(lines):
    return "".join(f"    {line}\n" for line in lines)


nested = st.lists(operations.map("nested(lambda: {})".format), max_size=2)
endings = st.one_of(
    values.map("return {}".format),
    values.map("return {}".format),
    st.sampled_from(["raise Boom('from a handler')", "raise Boom('from a handler')", "raise Fatal('from a handler')"]),
    st.sampled_from(["raise cyevents.Cancel('why')", "raise cyevents.Cancel"]),
)
sync_bodies = st.tuples(nested, st.one_of(endings, endings, st.just("return later(1)"), st.just("return plain[7]")))
generator_bodies = st.tuples(
    nested, st.lists(values.map("yield {}".format), min_size=1, max_size=2).map("; ".join), nested, endings
)
waits = st.sampled_from(["pass", "pass", "await run_turns(1)", "await run_turns(3)", "await forever()"])
nested_async = st.lists(async_emissions.map("await nested_async(lambda: {})".format), max_size=1)
coroutine_bodies = st.tuples(nested, waits, nested_async, nested, endings)
async_generator_bodies = st.tuples(
    nested,
    waits,
    values.map("yield {}".format),
    nested,
    st.sampled_from(
        ["pass", "yield False", "raise Boom('from a handler')", "raise Fatal('from a handler')"]
        + ["raise cyevents.Cancel('why')"]
    ),
)
condition_bodies = st.tuples(
    st.lists(st.one_of(operations, connections, disconnections).map("nested(lambda: {})".format), max_size=2),
    st.sampled_from(
        ["return True"] * 4
        + ["return 'k' in kwargs", "return []", "raise Boom('c')", "raise Fatal('c')"]
        + ["raise cyevents.Cancel('c')"]
    ),
)


BODIES = {
    "sync": sync_bodies,
    "coroutine": coroutine_bodies,
    "generator": generator_bodies,
    "async_generator": async_generator_bodies,
}
CHANGES = {
    "disconnect": disconnections,
    "lose": st.one_of(deaths, removals),
    "policy": policies,
    "subscribe": st.one_of(subscriptions, looks),
}


def lines_of(body):
    return [line for part in body for line in ([part] if isinstance(part, str) else part)]


def function(head, body):
    (name,) = [word for word in head.split() if word not in ("async", "def")]
    lines = [f"log({name!r}, sender, {'args, ' * (name[0] == 'h')}kwargs)", *lines_of(body)]
    signature = "sender, /, *args, **kwargs" if name[0] == "h" else "sender, /, **kwargs"
    return f"{head}({signature}):\n{indented(lines)}"
