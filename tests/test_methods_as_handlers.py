"""`handles` marks methods, `namespace.attach` connects those of an object, and `Subscriptions` end together."""

import asyncio
import functools
import gc
import operator
import threading
import types
import warnings
import weakref

import pytest


def called(ns, *names, sender="me"):
    """Emit these events, and return the results of all."""
    return [result for name in names for result in ns.emit(name, sender)]


@pytest.fixture
def handles(api):
    return api.handles


@pytest.fixture
def shop(handles):
    """Return a class with a marked method for "paid"."""

    class Shop:
        @handles("paid")
        def paid(self, sender):
            return f"{type(self).__name__}.paid({sender})"

    return Shop


# Marks


def test_a_marked_method_is_called_with_its_object(ns, handles):
    class Shop:
        @handles("order.*", priority=5, with_event=True)
        def log(self, sender, event):
            return self, sender, event.name

        @handles("order.paid", "order 7")
        @handles("order.sent")
        def count(self, sender):
            return "counted"

    shop = Shop()
    assert Shop.count(shop, 1) == "counted"
    assert ns.emit("order.paid", "order 7") == []
    assert len(ns.attach(shop)) == 3
    assert ns.emit("order.paid", "order 7") == [(shop, "order 7", "order.paid"), "counted"]
    assert called(ns, "order.sent", "order.paid") == [
        (shop, "me", "order.sent"),
        "counted",
        (shop, "me", "order.paid"),
    ]


def test_all_options_are_those_of_on(api, ns, handles):
    def condition(sender):
        return True

    class Shop:
        @handles("a", "s", True, 3, condition, once=True, with_event=True, thread=True)
        def one(self, sender, event):
            pass

        @handles(evt="a", sender="s", weak=False, priority=2, condition=condition)
        def two(self, sender):
            pass

    shop = Shop()
    ns.attach(shop)
    one, two = ns["a"].handlers
    assert (one.handler, one.sender, one.weak, one.priority, one.condition) == (shop.one, "s", True, 3, condition)
    assert (one.once, one.with_event, one.thread) == (True, True, True)
    assert (two.handler, two.sender, two.weak, two.priority, two.condition) == (shop.two, "s", False, 2, condition)


def test_several_events_in_one_mark(api, ns, handles):
    other = api.Event("other")

    class Shop:
        @handles(["a", other, "b?"])
        @handles(("a", "c"), priority=1)
        def note(self, sender):
            return sender

    shop = Shop()
    subscriptions = ns.attach(shop)
    assert called(ns, "a", "c", "b1") == ["me"] * 3
    assert other.emit("you") == ["you"]
    assert "other" not in ns
    assert [connection.priority for connection in ns["a"].handlers] == [0]  # as with `on`, the upper one is the last
    assert len(subscriptions) == 4


def test_handles_returns_the_function_itself(handles):
    def function(self, sender):
        pass

    assert handles("a")(handles("b")(function)) is function


@pytest.mark.parametrize("evt", [None, 5, "", b"a", {"a"}, [None], [["a"]], len])
def test_wrong_event_is_refused_at_once(handles, evt):
    with pytest.raises(TypeError, match="an event is given by its name"):
        handles(evt)


def test_wrong_options_are_refused_at_once(handles):
    for options, match in [
        ({"priority": "5"}, "priority must be an int"),
        ({"weak": 1}, "weak must be True or False"),
        ({"thread": None}, "thread must be True or False"),
        ({"condition": 5}, "condition must be callable"),
        ({"key": 5}, "unexpected keyword"),
    ]:
        with pytest.raises(TypeError, match=match):
            handles("a", **options)
    for empty in ([], ()):
        with pytest.raises(ValueError, match="at least one event must be given"):
            handles(empty)


def test_what_cannot_be_marked_is_refused(handles, shop):
    class Slotted:
        __slots__ = ()

        def __call__(self, sender):
            pass

    for thing, match in [
        (None, "handles.. marks a function, not None"),
        (property(lambda self: 1), "handles.. marks a function, not <property"),
        (functools.partialmethod(len), "handles.. marks a function, not functools.partialmethod"),
        (shop, "handles.. marks a method, not the class <class"),
        (len, "handles.. cannot mark <built-in function len>, which takes no attributes"),
        (Slotted(), "which takes no attributes"),
        (operator.itemgetter(1), "which takes no attributes"),
        (shop().paid, "which takes no attributes"),
    ]:
        with pytest.raises(TypeError, match=match):
            handles("a")(thing)


def test_static_and_class_methods(ns, handles):
    class Shop:
        @handles("above")
        @staticmethod
        def a(sender):
            return "a", sender

        @staticmethod
        @handles("below")
        def b(sender):
            return "b", sender

        @handles("above")
        @classmethod
        def c(cls, sender):
            return "c", cls

        @handles("above")
        @classmethod
        @handles("below")
        def d(cls, sender):
            return "d", cls

    class Branch(Shop):
        pass

    for _ in range(2):  # connected once, however many objects are attached
        ns.attach(Branch())
    gc.collect()
    assert called(ns, "above") == [("a", "me"), ("c", Branch), ("d", Branch)]
    assert called(ns, "below") == [("b", "me"), ("d", Branch)]


def test_a_wrapper_has_the_marks_of_what_it_wraps(ns, handles):
    def twice(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs) * 2

        return wrapper

    class Shop:
        @twice
        @handles("a")
        def below(self, sender):
            return sender

        @handles("a")
        @twice
        def above(self, sender):
            return sender.upper()

        @handles("b")
        @twice
        @handles("a")
        def both(self, sender):
            return "-"

        original = both.__wrapped__

    shop = Shop()
    ns.attach(shop)
    assert called(ns, "a") == ["meme", "MEME", "--", "-"]
    assert called(ns, "b") == ["--"]


def test_other_callables_can_be_marked(ns, handles):
    class Callable:
        def __call__(self, sender):
            return "called", sender

    class Binding:
        """As a function wrapper of wrapt: each access gives a new object."""

        def __call__(self, owner, sender):
            return owner, sender

        def __get__(self, owner, cls):
            return functools.partial(self, owner)

    class Shop:
        a = handles("x")(staticmethod(functools.partial(max, "a")))
        b = handles("x")(lambda self, sender: (self, sender))
        c = handles("x")(Callable())
        d = handles("x")(Binding())

    shop = Shop()
    for _ in range(2):
        ns.attach(shop)
    gc.collect()
    assert called(ns, "x")[1:] == [(shop, "me"), ("called", "me"), (shop, "me")]
    del shop
    gc.collect()
    assert called(ns, "x")[1:] == [("called", "me")]


def test_async_and_generator_methods(ns, handles, run):
    class Shop:
        @handles("x", priority=4)
        async def coroutine(self, sender):
            await asyncio.sleep(0)
            return 1

        @handles("x", priority=3)
        async def async_generator(self, sender):
            yield 2

        @handles("x", priority=2)
        def generator(self, sender):
            yield 3

        @handles("x", priority=1, thread=True)
        def in_a_thread(self, sender):
            return threading.current_thread() is not threading.main_thread()

    shop = Shop()
    ns.attach(shop)
    assert run(ns.emit_async("x")) == [1, [2], [3], True]
    assert [connection.kind for connection in ns["x"].handlers] == ["async", "async_generator", "generator", "sync"]


# Inheritance


def test_order_is_that_of_definition_with_base_classes_first(ns, handles):
    class Base:
        @handles("x")
        def b(self, sender):
            return "base b"

        @handles("x")
        def a(self, sender):
            return "base a"

    class Derived(Base):
        @handles("x")
        def d(self, sender):
            return "d"

        @handles("x")
        def c(self, sender):
            return "c"

        def b(self, sender):
            return "derived b"

    derived = Derived()
    ns.attach(derived)
    assert called(ns, "x") == ["derived b", "base a", "d", "c"]


def test_override_keeps_or_replaces_all_marks(ns, handles, shop):
    class Keeping(shop):
        def paid(self, sender):
            return "keeping"

    class Replacing(Keeping):
        @handles("sent")
        def paid(self, sender):
            return "replacing"

    class Later(Replacing):
        def paid(self, sender):
            return "later"

    kept, replaced, later = Keeping(), Replacing(), Later()
    for each in (kept, replaced, later):
        ns.attach(each)
    assert called(ns, "paid") == ["keeping"]
    assert called(ns, "sent") == ["replacing", "later"]


def test_none_in_a_subclass_ends_the_marks(ns, shop):
    class Silent(shop):
        paid = None

    class Again(Silent):
        def paid(self, sender):
            return "not a handler"

    silent, again = Silent(), Again()
    assert len(ns.attach(silent)) == len(ns.attach(again)) == 0
    assert list(ns) == []


def test_multiple_inheritance_goes_by_the_mro(ns, handles):
    class Base:
        @handles("base")
        def note(self, sender):
            return "base"

    class Left(Base):
        def note(self, sender):
            return "left"

    class Right(Base):
        @handles("right")
        def note(self, sender):
            return "right"

    class Both(Left, Right):
        pass

    both = Both()
    ns.attach(both)
    assert called(ns, "base", "right") == ["left"]  # the override keeps the next marks in the MRO


def test_attribute_of_the_object_hides_the_method(ns, shop):
    patched, silenced, broken = shop(), shop(), shop()
    patched.paid = lambda sender: "patched"
    silenced.paid = None
    broken.paid = 5
    ns.attach(patched)
    assert len(ns.attach(silenced)) == 0
    with pytest.raises(TypeError, match="'paid' of .* cannot be a handler: it is 5, not a method"):
        ns.attach(broken)
    assert called(ns, "paid") == ["patched"]


def test_no_code_of_the_object_is_run(ns, handles):
    def fail(*args):
        raise AssertionError

    class Base:
        @handles("x")
        def note(self, sender):
            return "noted"

    class Hostile(Base):
        fails = property(fail)
        cached = functools.cached_property(fail)
        __getattr__ = __eq__ = __bool__ = __repr__ = __len__ = fail
        __hash__ = None

        def __getattribute__(self, name):
            raise AssertionError

    hostile = Hostile()
    ns.attach(hostile)
    assert called(ns, "x") == ["noted"]


@pytest.mark.parametrize("kind", [property, functools.cached_property, functools.partialmethod, lambda function: 5])
def test_override_that_is_no_method_is_refused(ns, handles, shop, kind):
    class Wrong(shop):
        paid = kind(lambda self: pytest.fail("evaluated"))

    with pytest.raises(TypeError, match=r"'paid' of .* cannot be a handler: it is .*set it to None in a subclass"):
        ns.attach(Wrong())
    assert list(ns) == []


@pytest.mark.parametrize("kind", [property, functools.cached_property])
def test_marked_property_is_refused(ns, handles, kind):
    class Wrong:
        total = kind(handles("x")(lambda self: pytest.fail("evaluated")))

    with pytest.raises(TypeError, match=r"'total' of .* cannot be a handler: it is .*Remove handles\(\)"):
        ns.attach(Wrong())


# attach


def test_attach_in_init_does_not_hold_the_object(ns, handles, recwarn):
    class Shop:
        def __init__(self):
            self.subscriptions = ns.attach(self)

        @handles("x")
        def note(self, sender):
            return sender

    shop = Shop()
    assert called(ns, "x") == ["me"]
    gone = weakref.ref(shop)
    del shop
    gc.collect()
    assert gone() is None
    assert called(ns, "x") == []
    assert list(recwarn) == []


def test_result_cancels_nothing_when_it_is_dropped(ns, shop, recwarn):
    one = shop()
    ns.attach(one)
    gc.collect()
    assert called(ns, "paid") == ["Shop.paid(me)"]
    subscriptions = ns.attach(one)
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None
    assert (len(subscriptions), list(subscriptions)) == (0, [])
    assert list(recwarn) == []


def test_weak_false_holds_the_object(ns, handles):
    class Shop:
        @handles("x", weak=False)
        def note(self, sender):
            return sender

    subscriptions = ns.attach(Shop())
    gc.collect()
    assert called(ns, "x") == ["me"]
    subscriptions.cancel()
    assert called(ns, "x") == []


def test_attaching_again_connects_anew(ns, shop):
    one, two = shop(), shop()
    first = ns.attach(one)
    ns.attach(two)
    second = ns.attach(one)
    assert [connection.handler for connection in ns["paid"].handlers] == [two.paid, one.paid]
    assert (len(first), len(second)) == (0, 1)
    assert first.cancel() is False
    assert len(ns["paid"].handlers) == 2
    assert second.cancel() is True
    assert [connection.handler for connection in ns["paid"].handlers] == [two.paid]


def test_an_object_in_two_namespaces(api, shop):
    one, here, there = shop(), api.Namespace(), api.Namespace()
    here.attach(one)
    subscriptions = there.attach(one)
    subscriptions.cancel()
    assert called(here, "paid") == ["Shop.paid(me)"]
    assert called(there, "paid") == []


def test_object_without_marks_is_refused(ns, shop):
    for thing in (object(), 5, None, [], object):
        with pytest.raises(TypeError, match="has no handlers to attach: mark methods|attach an instance"):
            ns.attach(thing)
    with pytest.raises(TypeError, match=r"attach\(\) takes an object, and <class .*Shop'> is a class: attach an inst"):
        ns.attach(shop)


def test_module_with_marked_functions(ns, handles):
    module = types.ModuleType("plugin")
    with pytest.raises(TypeError, match="<module 'plugin'> has no handlers to attach: mark functions in it"):
        ns.attach(module)

    @handles("x")
    def note(sender):
        return "noted"

    module.note, module.unmarked = note, len
    ns.attach(module)
    assert called(ns, "x") == ["noted"]


def test_metaclass_may_have_handlers(ns, handles):
    class Meta(type):
        @handles("x")
        def note(cls, sender):
            return cls

    class Shop(metaclass=Meta):
        pass

    ns.attach(Shop)
    assert called(ns, "x") == [Shop]


def test_strict_namespace_refuses_undeclared_names(api, handles):
    strict = api.Namespace(strict=True)
    strict.event("order.paid")

    class Shop:
        @handles(["order.paid", "order.*"])
        def right(self, sender):
            pass

        @handles("order.piad")
        def wrong(self, sender):
            pass

    shop = Shop()
    with pytest.raises(LookupError, match=r"there is no event 'order.piad' .*did you mean 'order.paid'"):
        strict.attach(shop)
    assert strict["order.paid"].handlers == []
    strict.event("order.piad")
    assert len(strict.attach(shop)) == 3


def test_failure_leaves_what_was_there(ns, handles):
    def declared(sender, amount):
        pass

    class Shop:
        @handles("a", priority=5)
        def right(self, sender):
            pass

        @handles("checked")
        def wrong(self, sender, amount, more):
            pass

    shop = Shop()
    ns.event("checked", signature=declared, check=True)
    ns.event("a").connect(shop.right, priority=1)
    with pytest.raises(TypeError, match="wrong"):
        ns.attach(shop)
    assert [connection.priority for connection in ns["a"].handlers] == [1]
    assert ns["checked"].handlers == []


def test_object_that_cannot_be_held_weakly_is_refused(ns, handles):
    class Slotted:
        __slots__ = ()

        @handles("a", weak=False)
        def strongly(self, sender):
            pass

        @handles("b")
        def weakly(self, sender):
            pass

    with pytest.raises(TypeError, match="cannot be held weakly: connect it with weak=False"):
        ns.attach(Slotted())
    assert ns["a"].handlers == ns["b"].handlers == []


def test_object_that_dies_at_once_warns(ns, shop):
    def attach():
        ns.attach(shop())

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        attach()
    assert [(each.category, each.filename) for each in caught] == [(RuntimeWarning, __file__)]
    assert caught[0].lineno == attach.__code__.co_firstlineno + 1
    assert "Shop object was garbage-collected at once, because nothing else refers to it" in str(caught[0].message)
    assert ns["paid"].handlers == []


def test_static_handlers_do_not_warn(ns, handles, recwarn):
    class Shop:
        @staticmethod
        @handles("x")
        def note(sender):
            return "noted"

    ns.attach(Shop())
    assert called(ns, "x") == ["noted"]
    assert list(recwarn) == []


def test_the_default_namespace_attaches_too(api, shop):
    one = shop()
    api.default_namespace.attach(one)
    assert api.emit("paid", 1) == ["Shop.paid(1)"]


def test_attached_methods_are_described_as_methods(api, ns, shop):
    one = shop()
    ns.attach(one)
    assert "Shop.paid" in str(api.describe(ns))
    with api.trace(ns) as traced:
        ns.emit("paid", 1)
    assert "Shop.paid" in str(traced)


def test_function_in_a_class_body_names_handles(api, ns):
    with pytest.warns(RuntimeWarning, match=r"takes self.*decorate it with handles\(...\) instead and attach"):

        class Shop:
            @ns.on("x")
            def note(self):
                pass

    assert Shop


# Subscriptions


def test_add_returns_what_it_was_given(api):
    a, b = api.Event("a"), api.Event("b")
    subscriptions = api.Subscriptions()
    one = subscriptions.add(a.subscribe(lambda sender: 1))
    two = subscriptions.add(b.subscribe(lambda sender: 2))
    assert (len(subscriptions), list(subscriptions)) == (2, [one, two])
    assert one in subscriptions
    assert "one" not in subscriptions
    assert repr(subscriptions) == "<Subscriptions: 2 active>"
    gc.collect()
    assert a.emit() + b.emit() == [1, 2]
    assert subscriptions.cancel() is True
    assert a.emit() + b.emit() == []
    assert (len(subscriptions), one in subscriptions, subscriptions.cancel()) == (0, False, False)
    assert repr(subscriptions) == "<Subscriptions: 0 active>"


def test_with_block_cancels_and_the_set_can_be_used_again(api):
    event = api.Event("a")
    subscriptions = api.Subscriptions()
    for _ in range(2):
        with pytest.raises(KeyError), subscriptions as entered:
            assert entered is subscriptions
            subscriptions.add(event.subscribe(lambda sender: 1))
            assert event.emit() == [1]
            raise KeyError
        assert event.handlers == []


def test_handlers_die_with_the_set(api, recwarn):
    event = api.Event("a")
    subscriptions = api.Subscriptions()
    subscriptions.add(event.subscribe(lambda sender: 1))
    del subscriptions
    gc.collect()
    assert event.handlers == []
    assert list(recwarn) == []


def test_only_subscriptions_are_added(api):
    subscriptions = api.Subscriptions()
    event = api.Event("a")
    for wrong in (None, print, event.connect(print, weak=False), event, [], event.subscribe):
        with pytest.raises(TypeError, match=r"add\(\) takes the result of subscribe\(\) or attach\(\), not"):
            subscriptions.add(wrong)
    assert len(subscriptions) == 0


def test_what_attach_returns_can_be_added(api, ns, shop):
    one, subscriptions = shop(), api.Subscriptions()
    attached = subscriptions.add(ns.attach(one))
    assert list(subscriptions) == list(attached) != []
    subscriptions.add(subscriptions)
    assert len(subscriptions) == 1
    subscriptions.cancel()
    assert len(attached) == 0
    assert ns["paid"].handlers == []


def test_ended_subscriptions_do_not_accumulate(api):
    event, subscriptions = api.Event("a"), api.Subscriptions()
    handlers = []
    for number in range(100):
        handler = types.FunctionType((lambda sender: 1).__code__, {})
        handlers.append(weakref.ref(handler))
        subscriptions.add(event.subscribe(handler, once=True))
        del handler
        event.emit()
        assert len(subscriptions) == 0, number
    gc.collect()
    assert sum(handler() is not None for handler in handlers) < 40


def test_all_are_cancelled_though_some_raise(api):
    class Raising(api.Subscription):
        __slots__ = ("error",)

        def cancel(self):
            super().cancel()
            raise self.error

    event, subscriptions = api.Event("a"), api.Subscriptions()

    def add(error=None):
        def handler(sender):
            return 1

        made = event.subscribe(handler)
        if error is not None:
            made = Raising(made.event, handler, made._entry)
            made.error = error
        subscriptions.add(made)

    add()
    add(KeyError(1))
    add()
    with pytest.raises(KeyError):
        subscriptions.cancel()
    assert (event.handlers, len(subscriptions)) == ([], 0)
    for error in (ValueError(), KeyboardInterrupt()):
        add(error)
    add()
    with pytest.raises(BaseExceptionGroup, match="2 subscriptions failed to cancel") as caught:
        subscriptions.cancel()
    assert {type(error) for error in caught.value.exceptions} == {ValueError, KeyboardInterrupt}
    assert event.handlers == []


def test_threads_add_and_cancel(api):
    event, subscriptions = api.Event("a"), api.Subscriptions()
    start = threading.Barrier(4)

    def work():
        start.wait()
        for _ in range(200):
            subscriptions.add(event.subscribe(lambda sender: 1))
            len(subscriptions)
            subscriptions.cancel()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    subscriptions.cancel()
    assert (event.handlers, list(subscriptions)) == ([], [])
