"""An event in a class binds its sender: `object.event` is a view of both. `Event()` takes its name from its place."""

import abc
import asyncio
import copy
import dataclasses
import enum
import functools
import gc
import inspect
import pickle
import pydoc
import sys
import threading
import typing
import unittest.mock
import weakref

import pytest


@pytest.fixture
def cls(api):
    class Thermostat:
        changed = api.Event("thermostat.changed")

    return Thermostat


@pytest.fixture
def thermostat(cls):
    return cls()


def show(sender, degrees):
    return degrees


def log(sender, degrees):
    return f"{degrees} °C"


# What an event binds


def test_event_binds_object(api, cls, thermostat):
    assert type(cls.changed) is api.Event
    assert type(thermostat.changed) is api.BoundEvent
    assert thermostat.changed.event is cls.changed
    assert thermostat.changed.sender is thermostat
    assert isinstance(thermostat.changed, api.BoundEvent)


def test_event_of_namespace_binds(api, ns):
    class Owner:
        made = ns.event("made")
        default = api.event("default")

    assert Owner().made.event is ns["made"]
    assert Owner().default.event is api.default_namespace["default"]


def test_subclass_of_event_binds(api):
    class MyEvent(api.Event):
        pass

    class Owner:
        changed = MyEvent("x")

    assert type(Owner().changed) is api.BoundEvent
    assert Owner().changed.emit(1) == []


def test_pattern_does_not_bind(api, ns):
    class Owner:
        all = ns.event("order.*")

    assert Owner().all is Owner.all is ns.event("order.*")


def test_blinker_signal_does_not_bind(blinker_api):
    class Owner:
        saved = blinker_api.Signal()

    assert Owner().saved is Owner.saved


@pytest.fixture
def blinker_api(api):
    import cyevents.blinker

    return cyevents.blinker


def test_event_of_instance_does_not_bind(api):
    class Owner:
        def __init__(self):
            self.changed = api.Event("x")

        @functools.cached_property
        def cached(self):
            return api.Event("y")

    owner = Owner()
    assert type(owner.changed) is type(owner.cached) is api.Event


def test_instance_attribute_hides_event(thermostat, monkeypatch):
    monkeypatch.setattr(thermostat, "changed", 5)
    assert thermostat.changed == 5
    monkeypatch.undo()
    assert thermostat.changed.sender is thermostat


def test_get_with_and_without_an_object(api, cls, thermostat):
    event = cls.changed
    assert event.__get__(None, cls) is event
    assert event.__get__(thermostat) == event.__get__(thermostat, cls) == thermostat.changed
    with pytest.raises(TypeError):
        type(event).__get__(5, thermostat, cls)


# Emitting


def test_emit_passes_sender(cls, thermostat):
    calls = []

    def handler(*args, **kwargs):
        calls.append((args, kwargs))
        return len(calls)

    cls.changed.connect(handler)
    many = tuple(range(20))
    names = {f"name{number}": number for number in range(20)}
    for args, kwargs in [
        ((), {}),
        ((21,), {}),
        ((21,), {"self": 1, "event": 2}),
        (many, {}),
        ((), names),
        (many, names),
    ]:
        calls.clear()
        assert thermostat.changed.emit(*args, **kwargs) == [1]
        assert thermostat.changed.send(*args, **kwargs) == [(handler, 2)]
        assert asyncio.run(thermostat.changed.emit_async(*args, **kwargs)) == [3]
        assert calls == [((thermostat, *args), kwargs)] * 3


def test_only_handlers_of_the_sender_are_called(cls, thermostat):
    other = cls()
    other.changed.connect(log)
    thermostat.changed.connect(show)
    assert thermostat.changed.emit(21) == cls.changed.emit(thermostat, 21) == [21]
    assert other.changed.emit(21) == ["21 °C"]
    assert cls.changed.emit(None, 21) == []


@pytest.mark.parametrize("way", ["emit", "send", "emit_async"])
def test_sender_given_twice_warns(cls, thermostat, way):
    def handler(sender, *args):
        return args

    def call(*args):
        result = getattr(thermostat.changed, way)(*args)
        return asyncio.run(result) if way == "emit_async" else result

    cls.changed.connect(handler)
    with pytest.warns(RuntimeWarning, match=f"^{way}.. of 'thermostat.changed' was given <.*leave it out$") as warned:
        result = call(thermostat, 21)
    assert result == ([(handler, (thermostat, 21))] if way == "send" else [(thermostat, 21)])
    assert warned[0].filename == __file__
    assert warned[0].lineno == call.__code__.co_firstlineno + 1
    call(21, thermostat)  # only the first positional counts


def test_warning_as_an_error_emits_nothing(cls, thermostat):
    cls.changed.connect(show)
    with pytest.warns(RuntimeWarning):
        thermostat.changed.emit(thermostat)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            thermostat.changed.emit(thermostat)


@pytest.mark.parametrize("way", ["emit", "send"])
def test_sender_by_keyword_is_refused(cls, thermostat, way):
    with pytest.raises(TypeError) as bound:
        getattr(thermostat.changed, way)(1, sender=thermostat)
    with pytest.raises(TypeError) as plain:
        getattr(cls.changed, way)(thermostat, 1, sender=thermostat)
    assert str(bound.value) == str(plain.value)
    assert "multiple values for argument 'sender'" in str(bound.value)


def test_sender_by_keyword_is_refused_by_emit_async(thermostat):
    with pytest.raises(TypeError, match="multiple values for argument 'sender'"):
        thermostat.changed.emit_async(sender=thermostat)


def test_override_of_emit_is_called(api):
    class Loud(api.Event):
        def emit(self, /, sender=api.ANY, *args, **kwargs):
            return ["loud", *super().emit(sender, *args, **kwargs)]

        def send(self, /, sender=api.ANY, *args, **kwargs):
            return ["loud", *super().send(sender, *args, **kwargs)]

    class Owner:
        changed = Loud("x")
        plain = api.Event("y")

    Owner.changed.connect(show)
    Owner.plain.connect(show)
    for _ in range(3):
        assert Owner().plain.emit(1) == [1]
        assert Owner().changed.emit(1) == ["loud", 1]
        assert Owner().changed.send(1) == ["loud", (show, 1)]
        assert Owner().changed.emit(degrees=1) == ["loud", 1]


def test_replaced_emit_is_called(api, cls, thermostat, monkeypatch):
    cls.changed.connect(show)
    assert thermostat.changed.emit(1) == [1]
    monkeypatch.setattr(api.Event, "emit", lambda self, sender, *args: ["replaced", sender, *args])
    assert thermostat.changed.emit(1) == ["replaced", thermostat, 1]
    monkeypatch.undo()
    assert thermostat.changed.emit(1) == [1]


def test_exception_and_cancellation_pass(api, cls, thermostat):
    def refuse(sender, degrees):
        if degrees > 100:
            raise ValueError(degrees)
        return False

    cls.changed.connect(refuse)
    with pytest.raises(ValueError, match="101"):
        thermostat.changed.emit(101)
    assert isinstance(thermostat.changed.emit(1), api.Cancelled)
    assert thermostat.changed.emit(1).handler is refuse


def test_methods_conditions_and_once(cls, thermostat):
    class Display:
        def show(self, sender, degrees):
            return degrees

    display = Display()
    thermostat.changed.connect(display.show, condition=lambda sender, **kwargs: sender is thermostat, once=True)
    assert thermostat.changed.emit(21) == [21]
    assert thermostat.changed.emit(21) == []


def test_recursion_is_an_error(cls, thermostat):
    def again(sender, degrees):
        sender.changed.emit(degrees + 1)

    cls.changed.connect(again)
    with pytest.raises(RecursionError):
        thermostat.changed.emit(1)


def test_emission_lives_when_all_else_dies(cls, collect):
    def forget(sender, degrees):
        del cls.changed
        owners.clear()
        collect()
        return degrees

    owners = [cls()]
    cls.changed.connect(forget)
    assert owners[0].changed.emit(21) == [21]


def test_view_holds_its_sender(cls, collect):
    view = cls().changed
    sender = weakref.ref(view.sender)
    collect()
    assert sender() is view.sender
    del view
    collect()
    assert sender() is None


def test_view_in_its_own_sender_is_collected(cls, collect):
    owner = cls()
    owner.view = owner.changed
    owner.emit = owner.view.emit
    dead = weakref.ref(owner)
    del owner
    collect()
    assert dead() is None


def test_views_nest(cls):
    """More views than the core keeps for reuse exist at once, and none is confused with another."""
    owners = [cls() for _ in range(20)]
    cls.changed.connect(show)
    for _ in range(2):
        views = [owner.changed for owner in owners]
        assert [view.sender for view in views] == owners
        assert [view.emit(number) for number, view in enumerate(views)] == [[number] for number in range(20)]
        del views


def test_unused_views_are_harmless(api, cls, thermostat):
    """The core keeps a few views for reuse, and the garbage collector lists them."""
    for _ in range(3):
        views = [thermostat.changed for _ in range(10)]
        views.clear()
    for found in gc.get_objects():
        if type(found) is api.BoundEvent:
            for call in (found.emit, found.send):
                with pytest.raises(TypeError, match="this BoundEvent is not in use"):
                    call(1)
            assert found.event is None
            with pytest.raises(AttributeError):
                found.connect(show)
            assert repr(found) == "<BoundEvent, not in use>"


def test_weak_reference_to_a_view(cls, thermostat, collect):
    view = thermostat.changed
    called = []
    ref = weakref.ref(view, called.append)
    assert ref() is view
    del view
    collect()
    assert ref() is None
    assert called == [ref]


def test_threads(cls):
    owners = [cls() for _ in range(4)]
    cls.changed.connect(show)
    wrong = []

    def run(owner, number):
        for _ in range(500):
            view = owner.changed
            if view.sender is not owner or owner.changed.emit(number) != [number]:
                wrong.append(number)

    threads = [threading.Thread(target=run, args=(owner, number)) for number, owner in enumerate(owners)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# Connecting


def test_connect_is_for_the_sender(api, cls, thermostat):
    assert thermostat.changed.connect(show) is show
    (connection,) = cls.changed.handlers
    assert connection.handler is show
    assert connection.sender is thermostat
    cls.changed.connect(show, thermostat, priority=3)  # the same connection
    assert [each.priority for each in cls.changed.handlers] == [3]


def test_connect_decorates(cls, thermostat):
    @thermostat.changed.connect
    def first(sender, degrees):
        return 1

    @thermostat.changed.connect(priority=5, once=True)
    def second(sender, degrees):
        return 2

    assert thermostat.changed.emit(21) == [2, 1]
    assert thermostat.changed.emit(21) == [1]


def test_connect_takes_all_options(api, thermostat):
    def true(sender, **kwargs):
        return True

    options = {"weak": False, "priority": 7, "condition": true, "once": True, "with_event": True, "thread": True}
    thermostat.changed.connect(show, **options)
    (connection,) = thermostat.changed.handlers
    assert {name: getattr(connection, name) for name in options} == options


@pytest.mark.parametrize("method", ["connect", "subscribe", "connected_to"])
def test_wrong_options_are_refused(thermostat, method):
    connect = getattr(thermostat.changed, method)
    with pytest.raises(TypeError, match=f"{method}.* got an unexpected keyword argument 'sender'"):
        connect(show, sender=thermostat)
    for args, options in [((5,), {}), ((show,), {"priority": "high"}), ((show,), {"weak": 1})]:
        with pytest.raises(TypeError):
            with connect(*args, **options):
                raise AssertionError("connected")
    assert thermostat.changed.handlers == []


def test_warnings_are_at_the_callers_line(cls, thermostat):
    def vanish():
        thermostat.changed.connect(lambda sender: 1)

    def vanish_sender():
        cls().changed.connect(show)

    def discard():
        thermostat.changed.subscribe(lambda sender: 1)

    def discard_decorator():
        thermostat.changed.connect(priority=5)

    def take_self():
        thermostat.changed.connect(takes_self)

    def take_self_in_a_block():
        with thermostat.changed.connected_to(takes_self):
            pass

    def takes_self(self):
        pass

    texts = {
        vanish: "was garbage-collected at once",
        vanish_sender: "the sender that show is connected for was garbage-collected",
        discard: "the subscription that held it was discarded",
        discard_decorator: "connect.* of 'thermostat.changed' returned a decorator",
        take_self: "takes self",
        take_self_in_a_block: "takes self",
    }
    for call, text in texts.items():
        with pytest.warns(RuntimeWarning, match=text) as warned:
            call()
        assert [(each.filename, each.lineno) for each in warned] == [(__file__, call.__code__.co_firstlineno + 1)], text


def test_subscribe(cls, thermostat):
    subscription = thermostat.changed.subscribe(lambda sender, degrees: degrees)
    assert subscription.event is cls.changed
    assert thermostat.changed.emit(21) == [21]
    assert cls().changed.emit(21) == []
    assert subscription.cancel()
    assert thermostat.changed.emit(21) == []


def test_connected_to_restores(cls, thermostat):
    thermostat.changed.connect(show, priority=1)
    with thermostat.changed.connected_to(show, priority=5) as changed:
        assert changed == thermostat.changed
        assert changed.emit(21) == [21]
        assert [each.priority for each in changed.handlers] == [5]
    assert [each.priority for each in thermostat.changed.handlers] == [1]
    block = thermostat.changed.connected_to(log)
    with block, block:
        assert thermostat.changed.emit(21) == [21, "21 °C"]
    assert thermostat.changed.emit(21) == [21]


def test_disconnect_concerns_the_sender(cls, thermostat):
    cls.changed.connect(show)
    assert not thermostat.changed.is_connected(show)
    assert not thermostat.changed.disconnect(show)
    thermostat.changed.connect(show)
    other = cls()
    other.changed.connect(log)
    assert thermostat.changed.is_connected(show)
    assert not thermostat.changed.is_connected(log)
    assert thermostat.changed.disconnect(show)
    assert cls.changed.emit(thermostat, 21) == [21]


def test_handlers_are_those_that_emit_calls(api, ns):
    class Owner:
        changed = ns.event("owner.changed")

    owner, other = Owner(), Owner()

    def by_pattern(sender): ...
    def for_any(sender): ...
    def for_owner(sender): ...
    def for_other(sender): ...

    assert not owner.changed.has_handlers()
    ns.event("owner.*").connect(by_pattern)
    Owner.changed.connect(for_any)
    owner.changed.connect(for_owner, priority=1)
    owner.changed.connect(for_any, priority=2)  # counts in place of the one for any sender
    other.changed.connect(for_other)

    def seen(view):
        return [(each.handler, each.sender, each.pattern) for each in view.handlers]

    assert seen(owner.changed) == [
        (for_any, owner, None),
        (for_owner, owner, None),
        (by_pattern, api.ANY, "owner.*"),
    ]
    assert seen(Owner().changed) == [(by_pattern, api.ANY, "owner.*"), (for_any, api.ANY, None)]
    assert [handler for handler, _ in owner.changed.send()] == [for_any, for_owner, by_pattern]
    assert owner.changed.has_handlers()
    with Owner.changed.muted():
        assert not owner.changed.has_handlers()
        assert owner.changed.handlers == []


# Waiting


def test_wait_for_the_sender(cls, thermostat):
    async def main():
        waiting = thermostat.changed.wait(lambda sender, **kwargs: kwargs["degrees"] > 20, timeout=10)
        cls().changed.emit(degrees=30)
        thermostat.changed.emit(degrees=10)
        thermostat.changed.emit(degrees=21)
        return await waiting

    emission = asyncio.run(main())
    assert emission.sender is thermostat
    assert emission.kwargs == {"degrees": 21}


def test_stream_of_the_sender(cls, thermostat):
    async def main():
        async with thermostat.changed.stream(buffer=5, overflow="drop_oldest", priority=3) as stream:
            cls().changed.emit(1)
            thermostat.changed.emit(2)
            async for emission in stream:
                return emission

    assert asyncio.run(main()).args == (2,)


def test_coroutine_functions(api, thermostat):
    for name in ("emit_async", "wait"):
        assert inspect.iscoroutinefunction(getattr(api.BoundEvent, name))
        assert inspect.iscoroutinefunction(getattr(thermostat.changed, name))


# Comparison and copies


def test_views_are_equal_by_identity(api, cls, thermostat):
    class Owner:
        one = cls.changed
        two = api.Event("two")

        def __eq__(self, other):
            return True

        __hash__ = None

    owner = Owner()
    assert owner.one == owner.one
    assert hash(owner.one) == hash(owner.one)
    assert owner.one != owner.two
    assert owner.one != Owner().one
    assert owner.one != cls.changed
    assert owner.one != 5
    assert len({owner.one, owner.one, owner.two, thermostat.changed}) == 3
    with pytest.raises(TypeError):
        owner.one < owner.two  # noqa: B015


def test_view_is_not_made_by_a_call(api, thermostat):
    message = "cannot create 'cyevents._bound.BoundEvent' instances"
    with pytest.raises(TypeError, match=message):
        api.BoundEvent()
    with pytest.raises(TypeError):
        api.BoundEvent(thermostat.changed.event, thermostat)
    with pytest.raises(TypeError):
        api.BoundEvent.__new__(api.BoundEvent)
    with pytest.raises(TypeError, match="is not an acceptable base type"):
        type("Sub", (api.BoundEvent,), {})


def test_attributes_are_read_only(thermostat):
    view = thermostat.changed
    for name in ("event", "sender", "other"):
        with pytest.raises(AttributeError):
            setattr(view, name, 5)


def test_copy_of_a_view(cls, thermostat):
    view = thermostat.changed
    assert copy.copy(view) is view
    copied = copy.deepcopy(view)
    assert copied.event is cls.changed
    assert type(copied.sender) is cls
    assert copied.sender is not thermostat
    with pytest.raises(TypeError, match="event 'thermostat.changed' of an object cannot be pickled"):
        pickle.dumps(view)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda owner: pickle.loads(pickle.dumps(owner))])
def test_copy_of_the_sender(cls, monkeypatch, duplicate):
    monkeypatch.setitem(globals(), "Thermostat", cls)
    cls.__qualname__ = "Thermostat"
    owner = cls()
    owner.degrees = 5
    assert owner.changed.sender is owner
    copied = duplicate(owner)
    assert copied.__dict__ == {"degrees": 5}
    assert copied.changed.sender is copied
    assert copied.changed.event is cls.changed


def test_generic_alias(api, cls):
    alias = api.BoundEvent[cls, [int]]
    assert alias == api.BoundEvent[cls, [int]]
    assert alias.__origin__ is api.BoundEvent
    assert hash(alias)


def test_repr_of_a_view(api, thermostat):
    class Wild:
        changed = api.Event("x")

        def __repr__(self):
            raise ValueError

    assert repr(thermostat.changed) == f"<BoundEvent 'thermostat.changed' of {thermostat!r}>"
    assert repr(Wild().changed).startswith("<BoundEvent 'x' of <")


# Classes of all kinds


def test_unhashable_class(api):
    @dataclasses.dataclass
    class Point:
        x: int
        changed: typing.ClassVar[api.Event] = api.Event("changed")
        moved = api.Event()

    point, equal = Point(1), Point(1)
    point.changed.connect(show)
    assert point.changed.emit(2) == [2]
    assert equal.changed.emit(2) == []
    assert Point.moved.name == "Point.moved"
    assert [field.name for field in dataclasses.fields(Point)] == ["x"]


def test_slots(api, collect):
    class Weak:
        __slots__ = ("__weakref__",)
        changed = api.Event("weak")

    class Strong:
        __slots__ = ()
        changed = api.Event("strong")

        def __del__(self):
            died.append(type(self))

    died = []
    weak, strong = Weak(), Strong()
    ref = weakref.ref(weak)
    for owner in (weak, strong):
        owner.changed.connect(show)
        assert owner.changed.emit(1) == [1]
    del owner, weak, strong
    collect()
    assert ref() is None
    assert Weak.changed.handlers == []
    assert died == []  # held by its connection
    Strong.changed.handlers[0].sender.changed.disconnect(show)
    collect()
    assert died == [Strong]


def test_inheritance_shares_the_event(api, cls):
    class Radiator(cls):
        def heat(self):
            return super().changed

    radiator = Radiator()
    cls.changed.connect(show)
    assert Radiator.changed is cls.changed
    assert radiator.changed == radiator.heat() == super(Radiator, radiator).changed
    assert radiator.changed.emit(21) == [21]


def test_hostile_attributes(api):
    class Hostile:
        changed = api.Event("x")

        def __getattr__(self, name):
            raise ValueError(name)

        def __bool__(self):
            raise ValueError

        def __eq__(self, other):
            raise ValueError

        def __hash__(self):
            raise ValueError

        @property
        def __class__(self):
            raise ValueError

    owner = Hostile()
    owner.changed.connect(show)
    assert owner.changed.emit(21) == [21]
    assert owner.changed == owner.changed
    assert hash(owner.changed) == hash(owner.changed)
    assert owner.changed.is_connected(show)
    assert [each.handler for each in owner.changed.handlers] == [show]
    assert owner.changed.disconnect(show)


def test_metaclass_attribute_binds_the_class(api):
    class Meta(type):
        made = api.Event()

    class Owner(metaclass=Meta):
        pass

    Owner.made.connect(show)
    assert Owner.made.sender is Owner
    assert Owner.made.emit(1) == [1]
    assert Meta.made.name == "Meta.made"
    with pytest.raises(AttributeError):
        Owner().made  # noqa: B018


def test_enum_members_emit(api):
    class State(enum.Enum):
        ON = 1
        OFF = 2
        entered = api.Event()

    assert list(State) == [State.ON, State.OFF]
    State.ON.entered.connect(show)
    assert State.ON.entered.emit(5) == [5]
    assert State.OFF.entered.emit(5) == []


def test_named_tuple(api):
    class Point(typing.NamedTuple):
        x: int
        changed = api.Event("point.changed")

    point = Point(1)
    point.changed.connect(show)
    assert point.changed.emit(5) == [5]
    assert Point(1).changed.emit(5) == []


def test_protocol_and_abc(api):
    @typing.runtime_checkable
    class HasChanged(typing.Protocol):
        changed: object

    class Base(abc.ABC):
        changed = api.Event()

    class Owner(Base):
        pass

    assert isinstance(Owner(), HasChanged)
    assert Owner().changed.event.name == "Base.changed"


def test_inspection(cls, thermostat):
    assert inspect.getattr_static(thermostat, "changed") is cls.changed
    assert ("changed", thermostat.changed) in inspect.getmembers(thermostat)
    assert ("changed", cls.changed) in inspect.getmembers(cls)
    assert "changed = <Event 'thermostat.changed': 0 handlers>" in pydoc.plain(pydoc.render_doc(cls))
    assert "of" in pydoc.plain(pydoc.render_doc(thermostat.changed))


def test_autospec(cls, thermostat):
    spec = unittest.mock.create_autospec(cls)
    spec.changed.emit(1)
    instance = unittest.mock.create_autospec(thermostat)
    instance.changed.emit(21)
    instance.changed.emit.assert_called_once_with(21)
    with unittest.mock.patch.object(cls, "changed") as changed:
        thermostat.changed.emit(5)
        changed.emit.assert_called_once_with(5)


def test_pydantic_model(api):
    pydantic = pytest.importorskip("pydantic")

    class Model(pydantic.BaseModel):
        x: int = 1
        changed: typing.ClassVar[api.Event] = api.Event()

    model = Model()
    model.changed.connect(show)
    assert model.changed.emit(5) == [5]
    assert Model().changed.emit(5) == []
    assert Model.changed.name == "Model.changed"


def test_bound_event_is_no_event(api, ns, thermostat):
    hint = "use its own methods, or its .event for all senders"
    for call in (ns.emit, ns.on, ns.emit_async, api.trace):
        with pytest.raises(TypeError, match=hint):
            call(thermostat.changed)


# Names


def test_event_takes_its_name_from_its_place(api):
    class Thermostat:
        changed = api.Event()
        broken = api.Event("thermostat.broken")

    class Other:
        moved = Thermostat.changed  # has a name already

    assert Thermostat.changed.name == "Thermostat.changed"
    assert repr(Thermostat.changed) == "<Event 'Thermostat.changed': 0 handlers>"
    assert Thermostat.broken.name == "thermostat.broken"
    assert Other.moved.name == "Thermostat.changed"
    assert type(Thermostat.changed.name) is str


def test_event_without_a_name_cannot_be_emitted(api, ns):
    class Owner:
        pass

    Owner.changed = event = api.Event(doc="later")
    assert repr(event) == "<Event <unnamed>: 0 handlers>"
    assert event.name == "<unnamed>"
    event.connect(show)
    assert event.has_handlers_for()
    message = "^an event without a name cannot be emitted: give it one, as in Event.'order.paid'., or"
    for emitted in (event.emit, event.send, event.emit_async, Owner().changed.emit, Owner().changed.send):
        for args in ((), (1, 2)):
            with pytest.raises(RuntimeError, match=message):
                emitted(*args)
    for emitted in (Owner().changed.emit_async, lambda: ns.emit(event, 1), lambda: api.emit_async(event, 1)):
        with pytest.raises(RuntimeError, match=message):
            emitted()
    with pytest.raises(ValueError, match="without a name cannot be observed"):
        api.trace(event)


def test_event_is_connected_before_it_has_a_name(api):
    def declared(sender, degrees): ...
    def wrong(sender): ...

    event = api.Event(signature=declared, check=True)
    event.connect(show)
    made = {"changed": event}
    assert type("Thermostat", (), made).changed.emit("any", 21) == [21]
    with pytest.raises(TypeError, match="as event 'Thermostat.changed' may be emitted"):
        event.connect(wrong)


def test_event_named_by_its_place_is_observed(api):
    from cyevents.instrument._scope import Scope

    seen = []
    scope = Scope(["Probe.*"], everywhere=True)
    scope._start(recording_instrument(seen))
    with scope:

        class Probe:
            changed = api.Event()

        Probe().changed.emit(1)
    assert seen == ["Probe.changed"]


def recording_instrument(seen):
    from cyevents.instrument import Instrument

    class Recording(Instrument):
        def begin(self, start):
            seen.append(start.event.name)

    return Recording()


@pytest.mark.parametrize("name", [None, 5, b"x", "", ["x"]])
def test_other_names_are_refused(api, name):
    with pytest.raises(TypeError, match="an event's name must be a non-empty str"):
        api.Event(name)


def test_name_that_is_a_pattern_is_refused(api):
    with pytest.raises((ValueError, RuntimeError)) as caught:  # Python 3.11 raises a RuntimeError from it
        type("A*", (), {"changed": api.Event()})
    error = caught.value if sys.version_info >= (3, 12) else caught.value.__cause__
    assert type(error) is ValueError
    assert str(error).startswith("an event cannot be named 'A*.changed' after its place, since that is a pattern: give")


def test_text_as_the_name_is_a_name(api):
    event = api.Event("<unnamed>")
    assert event.emit() == []
    assert repr(event) == "<Event '<unnamed>': 0 handlers>"
