"""Whichever core runs, a user sees the same: signatures, docstrings and `help()` of all that is public."""

import inspect
import pydoc
import re

import pytest

PUBLIC = [  # `test_all_that_is_public_is_listed` keeps it whole
    "Cancelled",
    "Connection",
    "Emission",
    "Event",
    "Namespace",
    "Stream",
    "StreamOverflow",
    "Subscription",
    "NamespaceGraph",
    "describe",
    "trace",
    "Trace",
    "drain",
    "drain_async",
    "emit",
    "emit_async",
    "event",
    "filter_signals",
    "match",
    "on",
    "use_loop",
]
VALUES = ["ANY", "backend", "default_namespace"]

EMIT = "(self, /, sender=ANY, *args, **kwargs)"
EMIT_NAMED = "(self, evt, /, sender=ANY, *args, **kwargs)"


def shown(api, name):
    """All that `inspect` and `help()` tell of a public name: by attribute, for a class."""
    thing = getattr(api, name)
    told = {"": seen(thing)}
    if isinstance(thing, type):
        del told[""]["help"]  # which tells where the class comes from, too; its parts follow
        for attribute in dir(thing):
            if not attribute.startswith("_"):
                told[attribute] = seen(getattr(thing, attribute))
    return told


def seen(thing):
    _, _, helped = pydoc.plain(pydoc.render_doc(thing)).partition("\n")
    helped = re.sub(
        r" unbound \S+ method$", "", helped, flags=re.M
    )  # like the first line, that tells the callable's type
    told = {"doc": inspect.getdoc(thing), "help": helped}
    if callable(thing):
        try:
            told["signature"] = str(inspect.signature(thing))
        except ValueError:  # of methods of dict, which have none
            told["signature"] = None
    return told


def test_all_that_is_public_is_listed(api):
    assert sorted(PUBLIC + VALUES) == sorted(api.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_both_cores_show_the_same(both, name):
    compiled, pure = (shown(api, name) for api in both)
    assert compiled == pure


def test_emit_shows_its_default(api, ns):
    event = ns.event("x")
    assert str(inspect.signature(api.Event.emit)) == EMIT
    assert str(inspect.signature(event.emit)) == EMIT.replace("self, /, ", "")
    assert str(inspect.signature(api.Namespace.emit)) == EMIT_NAMED
    assert str(inspect.signature(ns.emit)) == str(inspect.signature(api.emit)) == EMIT_NAMED.replace("self, ", "")


@pytest.mark.parametrize("name", PUBLIC)
def test_all_that_is_public_is_described(api, name):
    attributes = shown(api, name)
    about = attributes[""]["doc"]
    inherited = dir(dict) + dir(list) + dir(Exception)
    for attribute, told in attributes.items():
        assert told["doc"] or attribute in inherited or f"\n    {attribute}: " in about, attribute
