"""What users see of an object without its documentation: its `repr`, `dir`, `help`, and the names in error texts."""

import asyncio
import gc
import importlib
import inspect
import pydoc
import re
import tomllib
import warnings
from pathlib import Path

import pytest

from .test_unsafe_reprs import Hostile, name_of


@pytest.fixture
def shop(api):
    return api.Namespace(name="shop")


@pytest.fixture
def paid(shop):
    return shop.event("order.paid")


def bill(sender, **kwargs):
    return "billed"


def note(sender, **kwargs):
    return "noted"


# repr


def test_muted_shows_what_it_mutes(api, shop, paid):
    assert repr(paid.muted()) == "<muted 'order.paid' in 'shop': not active>"
    assert repr(paid.muted(bill, note)) == "<muted bill, note of 'order.paid' in 'shop': not active>"
    assert repr(api.Event("x").muted()) == "<muted 'x': not active>"
    assert repr(shop.muted()) == "<muted namespace 'shop': not active>"
    assert repr(api.Namespace().muted()) == "<muted a namespace: not active>"


def test_muted_shows_its_state(paid):
    muted = paid.muted()
    with muted:
        assert repr(muted) == "<muted 'order.paid' in 'shop': active>"
        with muted:
            pass
        assert repr(muted) == "<muted 'order.paid' in 'shop': active>"
    assert repr(muted) == "<muted 'order.paid' in 'shop': not active>"


def test_connected_to_shows_handler_and_sender(paid):
    connected = paid.connected_to(bill)
    assert repr(connected) == "<bill connected to 'order.paid' in 'shop': not active>"
    with connected:
        assert repr(connected) == "<bill connected to 'order.paid' in 'shop': active>"
    for_ada = paid.connected_to(bill, "ada")
    assert repr(for_ada) == "<bill for 'ada' connected to 'order.paid' in 'shop': not active>"


def test_subscription_shows_its_state(paid):
    subscription = paid.subscribe(bill, once=True)
    assert repr(subscription) == "<Subscription of bill to 'order.paid': active>"
    paid.emit()
    assert repr(subscription) == "<Subscription of bill to 'order.paid': ended>"
    subscription.cancel()
    assert repr(subscription) == "<Subscription to 'order.paid': cancelled>"


def test_wait_shows_its_state(paid, run):
    waiting = paid.wait()
    assert repr(waiting) == "<wait for 'order.paid' in 'shop': not awaited yet>"

    async def main():
        task = asyncio.ensure_future(waiting)
        await asyncio.sleep(0)
        assert repr(waiting) == "<wait for 'order.paid' in 'shop': waiting>"
        paid.emit()
        await task

    run(main())
    assert repr(waiting) == "<wait for 'order.paid' in 'shop': over>"


def test_closed_wait_is_over(paid):
    waiting = paid.wait()
    waiting.close()
    assert repr(waiting) == "<wait for 'order.paid' in 'shop': over>"


def test_wait_any_shows_all_events(api, paid):
    first = api.wait_any(paid.wait(), api.Event("refused").wait())
    assert repr(first) == "<wait for 'order.paid' in 'shop' or 'refused': not awaited yet>"
    first.close()
    assert repr(first) == "<wait for 'order.paid' in 'shop' or 'refused': over>"


def test_wait_does_not_keep_its_stream(api, paid):
    waiting = paid.wait()
    first = api.wait_any(waiting)
    first.close()
    del first
    gc.collect()
    assert paid.handlers == []
    assert repr(waiting) == "<wait for 'order.paid' in 'shop': over>"


def test_stream_shows_event_and_state(paid):
    with paid.stream() as stream:
        paid.emit()
        assert repr(stream) == "<Stream of 'order.paid' in 'shop': 1 waiting>"
    assert repr(stream) == "<Stream of 'order.paid' in 'shop': closed>"


def test_hold_shows_its_namespace(paid):
    with paid.held() as hold:
        assert repr(hold) == "<Hold of 'order.paid' in 'shop': 0 emissions held>"
    assert repr(hold) == "<Hold of 'order.paid' in 'shop': released>"


def test_scope_shows_what_it_observes(api, shop, paid):
    with paid.watch(1) as scope:
        assert repr(scope) == "<Scope of <budget of 1 s>: 'order.paid' in 'shop'>"
    assert repr(scope) == "<Scope: stopped>"
    with shop.watch(1) as scope:
        assert repr(scope) == "<Scope of <budget of 1 s>: namespace 'shop'>"


def test_trace_shows_its_size(api, paid):
    with api.trace(paid) as traced:
        assert repr(traced) == "<Trace: 0 outermost emissions>"
        paid.emit()
    assert repr(traced) == "<Trace: 1 outermost emission>"
    with api.trace(paid, limit=1) as traced:
        paid.emit()
        paid.emit()
    assert repr(traced) == "<Trace: 1 outermost emission, 1 dropped>"


def test_decorators_show_their_call(api, shop, paid):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are discarded
        assert repr(shop.on("order.paid")) == "<decorator of on('order.paid')>"
        assert repr(paid.connect(priority=1)) == "<decorator of connect(...) of 'order.paid'>"
    assert repr(api.handles("order.paid")).startswith("<function handles(...) at ")
    assert repr(api.throttled(seconds=1)).startswith("<function throttled(...) at ")
    assert repr(api.debounced(seconds=1)).startswith("<function debounced(...) at ")


def test_reprs_are_safe(api, shop, paid):
    hostile = Hostile()
    name = name_of(hostile)
    place = "'order.paid' in 'shop'"
    assert repr(paid.muted(hostile)) == f"<muted {name} of {place}: not active>"
    assert repr(paid.connected_to(hostile, hostile)) == f"<{name} for {name} connected to {place}: not active>"
    with paid.subscribe(hostile, hostile) as subscription:
        assert repr(subscription) == f"<Subscription of {name} to 'order.paid': active>"
    waiting = paid.wait(hostile, hostile)
    assert repr(waiting) == f"<wait for {place}: not awaited yet>"
    waiting.close()
    with paid.stream(hostile, hostile) as stream:
        assert repr(stream) == f"<Stream of {place}: 0 waiting>"


def test_subscription_of_a_dead_sender_has_ended(paid):
    class Order:
        pass

    order = Order()
    subscription = paid.subscribe(bill, order)
    assert repr(subscription) == "<Subscription of bill to 'order.paid': active>"
    del order
    gc.collect()
    assert repr(subscription) == "<Subscription of bill to 'order.paid': ended>"


def test_subscription_of_a_dead_handler_has_ended(api, shop):
    class Mailer:
        @api.handles("order.paid")
        def receipt(self, sender):
            pass

    mailer = Mailer()
    (subscription,) = shop.attach(mailer)
    name = Mailer.receipt.__qualname__
    del mailer
    gc.collect()
    assert repr(subscription) == f"<Subscription of {name} to 'order.paid': ended>"


# dir


def test_dir_lists_what_one_may_use(api, shop, paid):
    for thing in (shop, paid, shop.event("order.*")):
        names = dir(thing)
        assert names == sorted(names)
        assert [name for name in names if name.startswith("_") and not re.fullmatch("__[a-z_]+__", name)] == []
        assert not [name for name in names if "pyx" in name]
        for name in names:
            assert inspect.getattr_static(thing, name, thing) is not thing or name in ("__dict__",), name
    assert {"connect", "emit", "emit_async", "on_error", "wait", "__class__", "__repr__"} <= set(dir(paid))
    assert {"on", "event", "emit", "emit_async", "get", "items", "__getitem__"} <= set(dir(shop))
    assert {"update", "setdefault", "pop", "popitem", "fromkeys"}.isdisjoint(dir(shop))


def test_dir_lists_all_public_names(api, shop, paid):
    for thing in (shop, paid):
        missing = {name for name in dir(type(thing)) if not name.startswith("_")} - set(dir(thing))
        assert missing <= {"update", "setdefault", "pop", "popitem", "fromkeys"}


def test_dir_has_attributes_of_a_subclass(api):
    class Mine(api.Event):
        extra = 1

    assert "extra" in dir(Mine("x"))
    mine = Mine("x")
    mine.note = 2
    assert "note" in dir(mine)


def test_both_cores_list_the_same(both):
    compiled, pure = ([dir(api.Namespace()), dir(api.Event("x"))] for api in both)
    for one, other in zip(compiled, pure, strict=True):
        assert [name for name in one if name[0] != "_"] == [name for name in other if name[0] != "_"]


def test_dir_of_the_package_has_no_private_names(api):
    names = dir(api)
    assert set(api.__all__) <= set(names)
    assert [name for name in names if name.startswith("_") and not name.startswith("__")] == []


# help


def test_help_of_event_begins_with_the_three_calls(api):
    text = pydoc.plain(pydoc.render_doc(api.Event))
    places = [text.index(call) for call in ("event.connect(", "event.emit(", "event.emit_async(")]
    assert places == sorted(places)
    assert places[-1] < text.index("Args:") < text.index("Method resolution order")


def test_help_lists_the_calls_among_the_methods(api):
    for cls, names in ((api.Event, ("connect", "emit", "emit_async", "send")), (api.Namespace, ("emit", "on"))):
        _, _, methods = pydoc.plain(pydoc.render_doc(cls)).partition("Methods defined here:")
        methods, _, _ = methods.partition("-" * 20)
        for name in names:
            assert re.search(rf"^ \|  (async )?{name}\(", methods, re.M), name


# Error texts


def wrong_calls(call):
    """Yield the texts of the errors of calls whose arguments do not fit."""
    for args, kwargs in (((), {}), ((3.5,) * 20, {}), ((), {"nonsense": 1}), ((3.5,), {"sender": 1, "nonsense": 2})):
        try:
            result = call(*args, **kwargs)
        except Exception as error:
            yield "\n".join([str(error), *getattr(error, "__notes__", ())])
        else:
            if hasattr(result, "close"):
                result.close()


def things(api):
    """Yield public callables and objects that they return."""
    shop = api.Namespace(name="shop")
    paid = shop.event("order.paid")

    class Order:
        paid = api.Event()

    order = Order()
    yield from (shop, paid, shop.event("order.*"), order.paid, api.Subscriptions(), api.Mailbox(3), Order.paid)
    yield from (paid.subscribe(bill), paid.muted(), paid.connected_to(bill), paid.held(), paid.stream())
    yield from (order.paid.subscribe(bill), order.paid.stream(), api.throttled(seconds=1)(bill))
    yield from (shop.on("x"), paid.connect(), order.paid.connect(), api.handles("x"), api.throttled(seconds=1))
    yield from (paid.wait(), api.wait_any(paid.wait()), api.trace(paid), api.describe(shop))
    testing = importlib.import_module("cyevents.testing")
    yield from (testing.Recorder(shop), testing.Isolation(shop), paid.watch(1), api.Emission(paid, 1, (), {}))
    yield importlib.import_module("cyevents.blinker").Signal("x")


BLOCKING = {"wait_sync", "drain", "drain_async", "use_loop", "matches"}  # and a function that is no public method


def test_no_error_names_a_private_class(api):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        texts = []
        for module in (api, *(importlib.import_module(f"cyevents.{name}") for name in ("testing", "instrument"))):
            for name in module.__all__:
                thing = getattr(module, name)
                if callable(thing) and name not in BLOCKING:
                    texts += wrong_calls(thing)
                if isinstance(thing, type):
                    for method in vars(thing):
                        if not method.startswith("_") and method not in BLOCKING and callable(getattr(thing, method)):
                            texts += wrong_calls(getattr(thing, method))
        for thing in things(api):
            for name in ("__call__", *(name for name in dir(thing) if not name.startswith("_"))):
                method = getattr(thing, name, None)
                if name not in BLOCKING and callable(method) and not isinstance(thing, type):
                    texts += wrong_calls(method)
    assert len(texts) > 500
    named = {text: re.findall(r"([\w.<>]+)\(\) (?:missing|got|takes)", text) for text in texts}
    private = r"Core\b|Hooks|Registry|(^|\.)_[a-zA-Z]"
    assert [name for names in named.values() for name in names if re.search(private, name)] == []


def test_install_commands_name_what_extras_require():
    root = Path(__file__).parents[1]
    extras = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = []
    for path in (root / "src" / "cyevents").rglob("*.py"):
        named += re.findall(r'pip install "([a-z][^"]*)"', path.read_text("utf-8"))
    assert {"anyio>=4.5", "opentelemetry-api>=1.30"} <= set(named)
    assert set(named) <= {requirement for requirements in extras.values() for requirement in requirements}
