"""Valid code that mypy --strict and pyright accept, with the types that they infer.

Each part has the same heading as a part of rejected.py.
"""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, ClassVar, Literal, Protocol, assert_type

from cyevents import (
    ANY,
    BoundEvent,
    Cancel,
    Cancelled,
    Connection,
    Emission,
    Event,
    Hold,
    Mailbox,
    MailboxFull,
    Namespace,
    Stream,
    Subscription,
    Subscriptions,
    debounced,
    default_namespace,
    emit,
    emit_async,
    event,
    filter_signals,
    handles,
    on,
    throttled,
    wait_any,
)
from cyevents.instrument import (
    CallSpan,
    EmissionSpan,
    EmissionStart,
    HandlerEntry,
    Instrument,
    Scope,
    observe,
    origin,
)


class Order:
    total: int = 0


shop = Namespace(on_error="group")

# An event has a name, a doc and an error policy

placed: Event[Order] = Event("order.placed", doc="An order.", replay=1)
anything: Event = event("anything")


def report(error: Exception, handler: Any, event: Event[Any], sender: Any) -> None:
    pass


placed.on_error = report
placed.on_error = "raise"
placed.sequential = None
shop.sequential = True
assert_type(Event("order.paid", sequential=True).sequential, bool | None)
assert_type(event("order.paid", sequential=True), Event[Any])
assert_type(Namespace(sequential=True).sequential, bool)
assert_type(filter_signals("order.*"), dict[str, Event[Any]])
assert_type(default_namespace["order.placed"].name, str)
for each in shop.values():
    assert_type(each.has_handlers_for(None), bool)
    assert_type(each.has_handlers_for(), bool)
assert_type(placed.namespace, Namespace | None)
assert_type(placed.replay, int)
placed.replay = 2
placed.clear_replay()
assert_type(event("order.ready", replay=1), Event[Any])
assert_type(shop.event("order.ready", "An order is ready.", replay=None), Event[Any])

# A sender is of the event's type

assert_type(placed.emit(Order(), 1, key=2), list[Any])
assert_type(placed.emit(sender=Order()), list[Any])
assert_type(placed.emit(), list[Any])
assert_type(placed.send(Order(), 1), list[tuple[Any, Any]])
assert_type(anything.emit("anyone", 1), list[Any])
assert_type(emit("order.placed", Order(), key=2), list[Any])
assert_type(emit(placed, Order(), key=2), list[Any])
placed.connect(print, sender=Order())
assert_type(placed.is_connected(print), bool)
assert_type(placed.is_connected(print, sender=Order()), bool)
assert_type(placed.has_handlers_for(Order()), bool)
assert_type(anything.is_connected(print, "anyone"), bool)

# A handler is callable and connected with its options

placed.connect(print, Order(), False, -1, None, once=True, with_event=True, thread=True, replay=True)
on("order.placed", Order(), False, -1, None, once=True, with_event=True, thread=True, replay=True)(print)
subscription = placed.subscribe(print, once=True)
assert_type(subscription, Subscription)
assert_type(subscription.active, bool)
assert_type(subscription.event, Event[Any])

# Undeclared events are not checked, and a decorated handler keeps its type


@on("order.*", sender=ANY, priority=1, condition=lambda sender, **kwargs: sender.total > 0, once=True)
def audit(sender: Order, **kwargs: object) -> str:
    return ""


@placed.connect
async def pay(sender: Order, *, twice: bool = False) -> int:
    return 1


@shop.on(placed, with_event=True, thread=True)
def count(sender: Order, event: Event[Order]) -> None:
    pass


@on(placed)
def note(sender: Order, text: str = "") -> int:
    return 1


assert_type(audit(Order(), anything=1), str)
assert_type(note(Order(), text="x"), int)
assert_type(placed.disconnect(audit), bool)
with placed.subscribe(lambda sender: None) as subscription:
    assert_type(subscription.cancel(), bool)
with placed.muted(audit), placed.connected_to(audit, Order()):
    results = placed.emit(Order())
if isinstance(results, Cancelled):
    print(results.handler, results.event)
for connection in placed.handlers:
    assert_type(connection.priority, int)

# Several events at once


@on(["order.placed", "order.*", placed])
def log(sender: object) -> int:
    return 1


assert_type(log(1), int)
assert_type(shop.connect([placed, anything], log, priority=1)(1), int)
assert_type(shop.connect(("a", "b"), log, with_event=True)(1), int)
assert_type(shop.connect("order.*", audit)(Order()), str)
shop.connect(placed, note, Order(), once=True)
some_names: list[str] = ["a", "b"]
shop.connect(some_names, log)

# Methods as handlers


class Mailer:
    def __init__(self) -> None:
        assert_type(shop.attach(self), Subscriptions)

    @handles("order.*", Order(), True, -1, None, once=True, with_event=True, thread=True)
    def receipt(self, sender: Order, event: Event[Any]) -> int:
        return 1

    @handles(["order.paid", placed], priority=5, condition=lambda sender, **kwargs: True)
    @handles(placed, weak=False)
    async def send(self, sender: Order, **kwargs: object) -> str:
        return ""

    @staticmethod
    @handles("order.paid")
    def audit(sender: Order) -> bytes:
        return b""

    @classmethod
    @handles("order.paid")
    def count(cls, sender: Order) -> float:
        return 1.0


assert_type(Mailer().receipt(Order(), placed), int)
assert_type(Mailer.audit(Order()), bytes)
assert_type(Mailer.count(Order()), float)
with Subscriptions() as subscriptions:
    assert_type(subscriptions, Subscriptions)
    assert_type(subscriptions.add(placed.subscribe(print)), Subscription)
    assert_type(subscriptions.add(shop.attach(Mailer())), Subscriptions)
    assert_type(subscriptions.cancel(), bool)
    assert_type(list(subscriptions), list[Subscription])
    assert_type(len(subscriptions), int)

# An event declared by its class: the arguments of its emissions

shipped: Event[Order, [int, str]] = Event("order.shipped")
assert_type(shipped.emit(Order(), 1, "by ship"), list[Any])
assert_type(shop.emit(shipped, Order(), 1, "by ship"), list[Any])


def take_any(event: Event[Any]) -> Event[Any]:
    return event


take_any(shipped)
taken: Event[Order, [int, str]] = take_any(shipped)

# An event declared by a signature: the arguments of its emissions


def order_paid(sender: Order, amount: int, *, currency: str = "EUR") -> None:
    """An order has been paid."""


paid = event("order.paid", signature=order_paid, check=True, sequential=True)
alone = Event("order.paid", on_error="group", signature=order_paid)
assert_type(paid.emit(Order(), 1), list[Any])
assert_type(paid.emit(Order(), amount=1, currency="USD"), list[Any])
assert_type(alone.emit(Order(), 1), list[Any])
assert_type(alone.send(Order(), 1), list[tuple[Any, Any]])
assert_type(emit(paid, Order(), 1), list[Any])

# A handler takes the arguments of a declared event


@paid.connect
def exactly(sender: Order, amount: int, *, currency: str = "") -> int:
    return amount


@on(paid)
def more(sender: object, amount: float, currency: str = "", *others: object, **kwargs: object) -> int:
    return 1


@shop.on(paid, priority=1)
async def anyhow(sender: Order, /, *args: object, **kwargs: object) -> int:
    return 1


@shipped.connect
def by_position(order: Order, days: int, by: str) -> None:
    pass


assert_type(exactly(Order(), 1), int)
assert_type(more(Order(), amount=1), int)
assert_type(by_position(Order(), 1, ""), None)
paid.connect(more, sender=Order())
with paid.subscribe(exactly), paid.connected_to(more), shipped.subscribe(lambda order, days, by: order.total + days):
    pass

untyped: Callable[..., Any] = print
paid.connect(untyped)

# A condition is callable

paid.connect(exactly, condition=lambda sender, **kwargs: sender.total > 0)
placed.connect(audit, condition=lambda sender: sender.total > 0)
on(paid, condition=lambda sender, **kwargs: sender.total > 0)(exactly)
on(placed, condition=lambda sender: sender.total > 0)(audit)

# A handler with the event is not checked


@on(paid, with_event=True)
def takes_event(sender: Order, amount: int, event: Event[Any], currency: str = "") -> int:
    return 1


paid.connect(takes_event, with_event=True)
paid.subscribe(takes_event, with_event=True)
paid.connected_to(takes_event, with_event=True)

# Emissions are awaited


async def emitting() -> None:
    assert_type(await placed.emit_async(Order()), list[Any])
    assert_type(await emit_async("order.placed"), list[Any])
    assert_type(await paid.emit_async(Order(), 1, currency="USD"), list[Any])
    assert_type(await emit_async(paid, Order(), amount=1), list[Any])
    assert_type(await paid.send_async(Order(), 1, currency="USD"), list[tuple[Any, Any]])
    assert_type(await paid.first_async(Order(), 1, currency="USD"), Any)
    assert_type(await paid.first_async(Order(), 1, default=0), Any)
    assert_type(await anything.first_async("anyone", default=0), Any)
    pay_again = placed.connect(pay)
    assert_type(await pay_again(Order(), twice=True), int)
    assert_type(await anyhow(Order(), 1, currency=""), int)


# The first result

assert_type(placed.first(Order(), 1, key=2), Any)
assert_type(placed.first(sender=Order(), default=0), Any)
assert_type(placed.first(default=0), Any)
assert_type(anything.first("anyone", 1, default=[]), Any)
assert_type(shipped.first(Order(), 1, "ship"), Any)
assert_type(paid.first(Order(), amount=1, currency="USD"), Any)
assert_type(paid.first(Order(), 1, currency="USD", default=None), Any)

# A handler cancels with a reason


class OutOfStock(Cancel):
    reason = "out of stock"


def reserve(sender: Order) -> None:
    if sender.total == 0:
        raise Cancel
    if sender.total > 9:
        raise Cancel(sender)
    raise OutOfStock


placed.connect(reserve)
cancelled = placed.emit(Order())
if isinstance(cancelled, Cancelled):
    assert_type(cancelled.reason, Any)
assert_type(Cancel("why").reason, Any)
assert_type(Cancelled([], reserve, placed).reason, Any)

# Emissions are held and merged


def newest(emissions: list[Emission[Any]]) -> list[Emission[Any]]:
    return [*emissions[-1:], Emission(placed, ANY, (), {})]


def orders_only(emissions: list[Emission[Order]]) -> list[Emission[Order]]:
    return emissions


with shop.held() as hold, placed.held(merge="last_per_sender"), Event("x").held(merge=newest):
    assert_type(hold, Hold)
    assert_type(hold.emissions, list[Emission[Any]])
assert_type(shop.hold(newest), Hold)
assert_type(placed.hold(orders_only), Hold)
commit_hooks: list[Callable[[], object]] = [placed.hold(merge=None).release, shop.hold(lambda held: held[:1]).drop]

# Waiting gives emissions with the event's sender type


async def waiting() -> None:
    emission = await placed.wait(Order(), condition=lambda sender, **kwargs: sender.total > 0, timeout=1)
    assert_type(emission, Emission[Order])
    assert_type(emission.sender, Order)
    assert_type(emission.args, tuple[Any, ...])
    assert_type(emission.kwargs, dict[str, Any])
    assert_type(emission.event, Event[Any])
    async with paid.stream(buffer=1, overflow="drop_oldest") as emissions:
        assert_type(emissions, Stream[Order])
        async for each in emissions:
            assert_type(each, Emission[Order])
    assert_type(emissions.dropped, int)
    async for any_emission in anything.stream():
        assert_type(any_emission, Emission[Any])
    assert_type(await wait_any(placed.wait(), paid.wait(Order(), timeout=1)), Emission[Order])
    numbers: Event[int] = Event("numbers")
    assert_type((await wait_any(placed.wait(), numbers.wait())).sender, Order | int)
    await wait_any(*[each.wait() for each in (placed, placed)])
    await wait_any(placed.wait(), numbers.wait(), anything.wait(), paid.wait(), paid.wait())


# Threads wait for emissions with the event's sender type


def blocking() -> None:
    emission = placed.wait_sync(Order(), condition=lambda sender, **kwargs: sender.total > 0, timeout=1, priority=1)
    assert_type(emission, Emission[Order])
    with paid.stream(buffer=1, overflow="drop_oldest") as emissions:
        assert_type(emissions, Stream[Order])
        for each in emissions:
            assert_type(each, Emission[Order])
        assert_type(next(emissions), Emission[Order])


# An instrument overrides the methods it needs


class Timing(Instrument, EmissionSpan):
    def begin(self, start: EmissionStart) -> EmissionSpan | None:
        assert_type(start.event, Event[Any])
        assert_type(start.way, Literal["emit", "send", "first", "emit_async", "send_async", "first_async"])
        assert_type(start.args, tuple[Any, ...])
        assert_type(start.kwargs, dict[str, Any])
        start.on_accepted(lambda: print("accepted"))
        return None if start.origin is self else self

    def plan(self, entries: tuple[HandlerEntry, ...]) -> None:
        assert_type([entry.name for entry in entries], list[str])

    def skip(self, entry: HandlerEntry, handler: Any, why: str, raised: Exception | None) -> None:
        assert_type(entry.priority, int)

    def call(self, entry: HandlerEntry, handler: Any) -> "TimedCall":
        return TimedCall()

    def end(self, results: list[Any] | None, error: BaseException | None) -> None: ...


class TimedCall(CallSpan):
    def exit(self, same_context: bool) -> None: ...

    def end(self, value: Any, error: BaseException | None) -> None: ...


class Observing(Instrument, EmissionSpan, CallSpan):
    def begin(self, start: EmissionStart, /) -> "Observing":
        return self

    def call(self, entry: HandlerEntry, handler: Any, /) -> "Observing":
        return self

    async def wait_done(self) -> None: ...

    def end(self, result: Any, error: BaseException | None, /) -> None: ...


with observe(Timing(), placed, anything, Namespace(), "order.*", matches=str.isidentifier) as scope:
    assert_type(scope, Scope)
scope.stop()
observe(Observing())
with origin("a message"):
    placed.emit(Order())

# Handlers have a budget of time


def report_slow(duration: float, handler: Any, event: Event[Any], sender: Any) -> None: ...


assert_type(default_namespace.watch(), Scope)
assert_type(default_namespace.watch(1, report_slow), Scope)
with placed.watch(budget=0.001, on_slow=lambda duration, handler, event, sender: print(duration + 1, event.name)):
    pass

# A handler is delivered to a target


def pack(order: Order) -> str:
    return ""


class Shelf:
    @handles("order.placed", via=ThreadPoolExecutor())
    def put(self, order: Order) -> None: ...


placed.connect(pack, via=asyncio.new_event_loop())
placed.connect(pack, via=ThreadPoolExecutor())
placed.connect(pack, via=Mailbox(100))
placed.connect(pack, via=None)
on("order.placed", via=Mailbox(1))(pack)
shop.connect(["order.placed", "order.paid"], pack, via=ThreadPoolExecutor())
assert_type(placed.subscribe(pack, via=Mailbox(1)).active, bool)
with placed.connected_to(pack, via=asyncio.new_event_loop()):
    pass
for connection in placed.handlers:
    assert_type(connection.via, Mailbox | asyncio.AbstractEventLoop | Executor | None)

# A mailbox keeps calls until it is drained

frames = Mailbox(100, "latest", wakeup=lambda: None)
Mailbox(100, overflow="drop_oldest", wakeup=3)
Mailbox(maxsize=1, wakeup=socket.socket())
assert_type(frames.drain(), int)
assert_type(frames.drain(0.004, 10), int)
assert_type(frames.drain(budget=1, limit=None), int)
assert_type(frames.overflow, Literal["raise", "drop_oldest", "drop_newest", "latest"])
assert_type((len(frames), frames.dropped, frames.maxsize, frames.clear()), tuple[int, int, int, int])
full: type[RuntimeError] = MailboxFull

# A handler is throttled or debounced


def redraw(order: Order, amount: int, *, currency: str = "EUR") -> str:
    return ""


async def redraw_later(order: Order) -> None: ...


redraw_seldom = throttled(redraw, 0.1, trailing=False)
assert_type(redraw_seldom(Order(), 5), str | None)
assert_type(debounced(redraw, 1)(Order(), amount=5), None)
placed.connect(throttled(redraw_later, seconds=1))
assert_type(redraw_seldom.flush(), bool)
paid.connect(redraw_seldom)


@placed.connect
@debounced(seconds=1)
def save_order(order: Order) -> None: ...


assert_type(save_order.cancel(), bool)


class View:
    @throttled(seconds=0.1)
    def draw(self, order: Order) -> int:
        return 1


assert_type(View().draw(Order()), int | None)
assert_type(View().draw.flush(), bool)
assert_type(View.draw.flush(), bool)
placed.connect(View().draw)

# An event in a class binds its sender


class Thermostat:
    changed = Event["Thermostat", [int]]()
    moved: ClassVar[Event["Thermostat"]] = Event("moved")
    sensors = event("sensor.*")

    def __init__(self) -> None:
        self.own: Event[Order] = Event("own")


class Radiator(Thermostat):
    pass


thermostat = Thermostat()
assert_type(Thermostat.changed, Event[Thermostat, [int]])
assert_type(thermostat.changed, BoundEvent[Thermostat, [int]])
assert_type(Radiator().changed, BoundEvent[Thermostat, [int]])
assert_type(thermostat.own, Event[Order])
assert_type(thermostat.changed.emit(21), list[Any])
assert_type(thermostat.changed.send(21), list[tuple[Any, Any]])
assert_type(thermostat.changed.sender, Thermostat)
assert_type(thermostat.changed.event, Event[Thermostat, [int]])
assert_type(thermostat.changed.handlers, list[Connection])
assert_type(thermostat.changed.has_handlers(), bool)
assert_type(thermostat.moved.emit(1, 2, key=3), list[Any])
Thermostat.changed.emit(thermostat, 21)
view: BoundEvent[Thermostat, [int]] = thermostat.changed


@thermostat.changed.connect
def show_degrees(sender: Thermostat, degrees: int) -> str:
    return f"{degrees}"


@thermostat.changed.connect(priority=5, once=True)
def show_degrees_first(sender: Thermostat, degrees: int) -> None:
    pass


@thermostat.changed.connect(with_event=True)
def with_the_event(sender: Thermostat, degrees: int, *, event: Event) -> None:
    pass


@thermostat.moved.connect
def show_move(sender: Thermostat, speed: float = 1.0) -> int:
    return 1


assert_type(show_move(thermostat, speed=2.0), int)
assert_type(thermostat.changed.subscribe(show_degrees), Subscription)
thermostat.changed.disconnect(show_degrees)
assert_type(thermostat.changed.is_connected(show_degrees), bool)
with thermostat.changed.connected_to(show_degrees) as bound:
    assert_type(bound, BoundEvent[Thermostat, [int]])
with thermostat.changed.held("last_per_sender") as held_changes:
    assert_type(held_changes, Hold)
assert_type(thermostat.changed.hold(), Hold)


async def use_bound() -> None:
    assert_type(await thermostat.changed.emit_async(21), list[Any])
    assert_type(await thermostat.changed.wait(timeout=5), Emission[Thermostat])
    assert_type(thermostat.changed.stream(), Stream[Thermostat])


assert_type(thermostat.changed.wait_sync(timeout=5), Emission[Thermostat])
for change in thermostat.changed.stream():
    assert_type(change.sender, Thermostat)


class Boiler(Thermostat):
    changed = Event["Thermostat", [int]]()


class Meter:
    changed: ClassVar[Event["Meter", [int]]] = Event()


class HasChanged(Protocol):
    changed: ClassVar[Event[Any, [int]]]


def set_any(device: HasChanged) -> None:
    device.changed.emit(21)


def set_by_event(changed: BoundEvent[Any, [int]]) -> None:
    changed.emit(21)


set_any(Meter())
set_by_event(Meter().changed)
set_by_event(Boiler().changed)

# Calls of an async handler may overlap in several ways


async def ship(sender: Order, **kwargs: object) -> int:
    return 1


placed.connect(ship, overlap="queue", timeout=5)
placed.connect(ship, overlap="parallel", limit=2, timeout=0.5)
placed.subscribe(ship, overlap="latest", limit=None, timeout=None)
on("order.placed", overlap="skip")(ship)
shop.connect("order.placed", ship, overlap="restart")
with placed.connected_to(ship, overlap="queue"):
    assert_type(placed.handlers[0].overlap, Literal["parallel", "queue", "skip", "restart", "latest"])
    assert_type(placed.handlers[0].limit, int | None)
    assert_type(placed.handlers[0].timeout, float | None)
    assert_type(placed.handlers[0].skipped + placed.handlers[0].restarted, int)
