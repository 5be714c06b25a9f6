"""Both cores show users the same signatures, docstrings and `help()` of everything public."""

import inspect
import pydoc
import re

import pytest

PUBLIC = [  # `test_list_is_complete` keeps this list complete
    "BoundEvent",
    "Cancel",
    "Cancelled",
    "Connection",
    "Emission",
    "Event",
    "Hold",
    "Mailbox",
    "MailboxFull",
    "Namespace",
    "Stream",
    "StreamOverflow",
    "Subscription",
    "Subscriptions",
    "NamespaceGraph",
    "debounced",
    "describe",
    "trace",
    "Trace",
    "drain",
    "drain_async",
    "emit",
    "emit_async",
    "event",
    "filter_signals",
    "handles",
    "match",
    "on",
    "throttled",
    "use_loop",
    "wait_any",
]
VALUES = ["ANY", "backend", "default_namespace"]

EMIT = "(self, /, sender=ANY, *args, **kwargs)"
EMIT_NAMED = "(self, evt, /, sender=ANY, *args, **kwargs)"


def shown(api, name):
    """Return what `inspect` and `help()` show of a public name; for a class, by attribute."""
    thing = getattr(api, name)
    described = {"": seen(thing)}
    if isinstance(thing, type):
        del described[""]["help"]  # also names where the class comes from; its parts follow
        for attribute in dir(thing):
            if not attribute.startswith("_"):
                described[attribute] = seen(getattr(thing, attribute))
    return described


def seen(thing):
    _, _, helped = pydoc.plain(pydoc.render_doc(thing)).partition("\n")
    helped = re.sub(
        r" unbound \S+ method$", "", helped, flags=re.M
    )  # like the first line, which names the callable's type
    described = {"doc": inspect.getdoc(thing), "help": helped}
    if callable(thing):
        try:
            described["signature"] = str(inspect.signature(thing))
        except ValueError:  # methods of dict have none
            described["signature"] = None
    return described


def test_list_is_complete(api):
    assert sorted(PUBLIC + VALUES) == sorted(api.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_both_cores_look_the_same(both, name):
    compiled, pure = (shown(api, name) for api in both)
    assert compiled == pure


def test_emit_shows_its_default(api, ns):
    event = ns.event("x")
    assert str(inspect.signature(api.Event.emit)) == EMIT
    assert str(inspect.signature(event.emit)) == EMIT.replace("self, /, ", "")
    assert str(inspect.signature(api.Namespace.emit)) == EMIT_NAMED
    assert str(inspect.signature(ns.emit)) == str(inspect.signature(api.emit)) == EMIT_NAMED.replace("self, ", "")


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_is_described(api, name):
    attributes = shown(api, name)
    about = attributes[""]["doc"]
    inherited = dir(dict) + dir(list) + dir(Exception)
    for attribute, described in attributes.items():
        assert described["doc"] or attribute in inherited or f"\n    {attribute}: " in about, attribute
