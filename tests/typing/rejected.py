"""Errors that type checkers must report. A comment gives the report for the line above: a rule, and a part of the text.

Each part has the same heading as a part of accepted.py.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from cyevents import (
    Cancel,
    Cancelled,
    Event,
    Mailbox,
    Namespace,
    Subscriptions,
    debounced,
    default_namespace,
    emit,
    emit_async,
    event,
    handles,
    on,
    throttled,
    wait_any,
)
from cyevents.instrument import EmissionStart, Instrument, observe


class Order:
    total: int = 0


# An event has a name, a doc and an error policy

placed: Event[Order] = Event("order.placed")
placed.namespace = Namespace()
# mypy [misc] Property "namespace" defined in "Event" is read-only
# pyright [reportAttributeAccessIssue] Cannot assign to attribute "namespace" for class "Event[Order, ...]"
placed.on_error = "explode"
# mypy [assignment] Incompatible types in assignment (expression has type "Literal['explod
# pyright [reportAttributeAccessIssue] Cannot assign to attribute "on_error" for class "Event[Order, ...]"
placed.replay = "1"
# mypy [assignment] Incompatible types in assignment (expression has type "str", variable has type "int")
# pyright [reportAttributeAccessIssue] Cannot assign to attribute "replay" for class "Event[Order, ...]"
Event("order.ready", replay="1")
# mypy [arg-type] incompatible type "str"; expected "int"
# pyright [reportArgumentType] cannot be assigned to parameter "replay" of type "int"
placed.sequential = "yes"
# mypy [assignment] Incompatible types in assignment (expression has type "str", variable has type "bool | None")
# pyright [reportAttributeAccessIssue] attribute "sequential" for class "Event[Order, ...]"
Namespace(sequential=None)
# mypy [arg-type] incompatible type "None"; expected "bool"
# pyright [reportArgumentType] cannot be assigned to parameter "sequential" of type "bool"
event("order.placed", sequential=1)
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "sequential" of type "bool | None"
Event(5)
# mypy [arg-type] incompatible type "int"; expected "str"
# pyright [reportArgumentType] cannot be assigned to parameter "name" of type "str"
on(5)
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "evt" of type "Event[SenderT@on, ArgsP
Namespace("name")
# mypy [call-arg] Too many positional arguments for "Namespace"
# pyright [reportCallIssue] Expected 0 positional arguments

# A sender is of the event's type

placed.emit("no order")
# mypy [arg-type] incompatible type "str"; expected "Order | AnySender"
# pyright [reportArgumentType] cannot be assigned to parameter "sender" of type "Order | AnySender"
placed.send("no order")
# mypy [arg-type] incompatible type "str"; expected "Order | AnySender"
# pyright [reportArgumentType] cannot be assigned to parameter "sender" of type "Order | AnySender"
placed.connect(print, "no order")
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "sender" of type "Order | AnySender"
emit(placed, "no order")
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "sender" of type "SenderT@emit | AnySe
placed.is_connected(print, "no order")
# mypy [arg-type] incompatible type "str"; expected "Order | AnySender"
# pyright [reportArgumentType] cannot be assigned to parameter "sender" of type "Order | AnySender"
placed.has_handlers_for("no order")
# mypy [arg-type] incompatible type "str"; expected "Order | AnySender"
# pyright [reportArgumentType] cannot be assigned to parameter "sender" of type "Order | AnySender"

# A handler is callable and connected with its options

placed.connect(5)
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "receiver" of type "(Order, ...) -> Re
placed.connect(print, priority="high")
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "priority" of type "int"
placed.connect(print, replay=1)
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "replay" of type "bool"
placed.connect(print, None, True, 0, None, True)
# mypy [call-overload] No overload variant
# pyright [reportCallIssue] No overloads for "connect"
placed.is_connected(5)
# mypy [arg-type] incompatible type "int"; expected "Callable[..., Any]"
# pyright [reportArgumentType] cannot be assigned to parameter "receiver" of type "(...) -> Any"
placed.subscribe(print).active = True
# mypy [misc] Property "active" defined in "Subscription" is read-only
# pyright [reportAttributeAccessIssue] Cannot assign to attribute "active" for class "Subscription"
placed.subscribe(print).event = placed
# mypy [misc] Property "event" defined in "Subscription" is read-only
# pyright [reportAttributeAccessIssue] Cannot assign to attribute "event" for class "Subscription"

# Undeclared events are not checked, and a decorated handler keeps its type


@placed.connect
def note(sender: Order, text: str = "") -> int:
    return 1


note(Order(), text=1)
# mypy [arg-type] incompatible type "int"; expected "str"
# pyright [reportArgumentType] cannot be assigned to parameter "text" of type "str"

# Several events at once

shop = Namespace()
on([5])
# mypy [list-item] List item 0 has incompatible type "int"
# pyright [reportCallIssue] No overloads for "on"
on({"a", "b"})
# mypy [call-overload] No overload variant
# pyright [reportCallIssue] No overloads for "on"
shop.connect(["a", 5], print)
# mypy [list-item] List item 1 has incompatible type "int"
# pyright [reportCallIssue] No overloads for "connect"
shop.connect("a", 5)
# mypy [call-overload] No overload variant
# pyright [reportCallIssue] No overloads for "connect"
shop.connect(["a"], print, priority="1")
# mypy [call-overload] No overload variant
# pyright [reportCallIssue] No overloads for "connect"

# Methods as handlers

shop.attach()
# mypy [call-arg] Missing positional argument "obj"
# pyright [reportCallIssue] Argument missing for parameter "obj"
handles(5)
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "evt"
handles("a", priority="1")
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "priority" of type "int"
handles("a")(5)
# mypy [type-var] Value of type variable "HandlerT" of function cannot be "int"
# pyright [reportArgumentType] cannot be assigned to parameter of type "HandlerT@handles"


class Mailer:
    @handles("order.*")
    def receipt(self, sender: Order) -> int:
        return 1


Mailer().receipt("no order")
# mypy [arg-type] incompatible type "str"; expected "Order"
# pyright [reportArgumentType] cannot be assigned to parameter "sender" of type "Order"
Subscriptions().add(5)
# mypy [type-var] Value of type variable "SubscriptionT" of "add" of "Subscriptions" cannot be "int"
# pyright [reportArgumentType] cannot be assigned to parameter "subscription"

# An event declared by its class: the arguments of its emissions

shipped: Event[Order, [int, str]] = Event("order.shipped")
shipped.emit(Order(), "by ship", 1)
# mypy [arg-type] incompatible type "str"; expected "int"
# pyright [reportArgumentType] cannot be assigned to parameter of type "int"
shipped.emit(Order(), 1)
# mypy [call-arg] Too few arguments for "emit" of "Event"
# pyright [reportCallIssue] Argument missing for parameter "__p1"
other: Event[Order, [str]] = shipped
# mypy [assignment] Incompatible types in assignment (expression has type "Event[Order, [i
# pyright [reportAssignmentType] Type "Event[Order, (int, str)]" is not assignable to declared type "Ev

# An event declared by a signature: the arguments of its emissions


def order_paid(sender: Order, amount: int, *, currency: str = "EUR") -> None:
    """An order has been paid."""


paid = event("order.paid", signature=order_paid, check=True)
paid.emit(Order())
# mypy [call-arg] Too few arguments for "emit" of "Event"
# pyright [reportCallIssue] Argument missing for parameter "amount"
paid.emit(Order(), "much")
# mypy [arg-type] incompatible type "str"; expected "int"
# pyright [reportArgumentType] cannot be assigned to parameter "amount" of type "int"
paid.emit(Order(), 1, currencies="EUR")
# mypy [call-arg] Unexpected keyword argument "currencies" for "emit" of "Event"; di
# pyright [reportCallIssue] No parameter named "currencies"
paid.send(Order(), "much")
# mypy [arg-type] incompatible type "str"; expected "int"
# pyright [reportArgumentType] cannot be assigned to parameter "amount" of type "int"
emit(paid, Order(), "much")
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "amount" of type "int"
event("order.paid", check=True)
# mypy [call-overload] No overload variant
# pyright [reportCallIssue] No overloads for "event"
event("order.paid", signature="amount")
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "signature" of type "(SenderT@event, *

# A handler takes the arguments of a declared event


@paid.connect
# mypy [arg-type] incompatible type "def of_another_sender
# pyright [reportArgumentType] cannot be assigned to parameter "receiver" of type "(Order, amount: in
def of_another_sender(sender: str, amount: int, *, currency: str = "") -> None:
    pass


@on(paid)
# mypy [arg-type] incompatible type "def of_another_name
# pyright [reportArgumentType] cannot be assigned to parameter "handler" of type "(Order, amount: int
def of_another_name(sender: Order, sum: int, *, currency: str = "") -> None:
    pass


@paid.connect
# mypy [arg-type] incompatible type "Callable[[Order, int], None]"; expected "def (Order
# pyright [reportArgumentType] cannot be assigned to parameter "receiver" of type "(Order, amount: in
def of_too_little(sender: Order, amount: int) -> None:
    pass


@paid.connect
# mypy [arg-type] incompatible type "def of_too_much
# pyright [reportArgumentType] cannot be assigned to parameter "receiver" of type "(Order, amount: in
def of_too_much(sender: Order, amount: int, reason: str, *, currency: str = "") -> None:
    pass


@shipped.connect
# mypy [arg-type] incompatible type "Callable[[Order, str, str], None]"; expected "Calla
# pyright [reportArgumentType] cannot be assigned to parameter "receiver" of type "(Order, int, str)
def of_another_type(sender: Order, days: str, by: str) -> None:
    pass


def takes_too_little(sender: Order) -> None:
    pass


paid.subscribe(takes_too_little)
# mypy [arg-type] incompatible type "Callable[[Order], None]"; expected "def (Order, /
# pyright [reportArgumentType] cannot be assigned to parameter "receiver" of type "(Order, amount: in
paid.connected_to(takes_too_little)
# mypy [arg-type] incompatible type "Callable[[Order], None]"; expected "def (Order, /
# pyright [reportArgumentType] cannot be assigned to parameter "receiver" of type "(Order, amount: in

# A condition is callable


def take_all(*args: object, **kwargs: object) -> None:
    pass


paid.connect(take_all, condition=True)
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "condition" of type "((...) -> object)
placed.connect(take_all, condition=True)
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "condition" of type "((...) -> object)
on(paid, condition=True)(take_all)
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "condition" of type "((...) -> object)
paid.subscribe(take_all, condition=True)
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "condition" of type "((...) -> object)
paid.connected_to(take_all, condition=True)
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "condition" of type "((...) -> object)

# A handler with the event is not checked

paid.connect(5, with_event=True)
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "receiver" of type "HandlerT@connect"

# Emissions are awaited


async def emitting() -> None:
    await paid.emit_async(Order(), "much")
    # mypy [arg-type] incompatible type "str"; expected "int"
    # pyright [reportArgumentType] cannot be assigned to parameter "amount" of type "int"
    await emit_async(paid, Order(), "much")
    # mypy [call-overload] No overload variant
    # pyright [reportArgumentType] cannot be assigned to parameter "amount" of type "int"
    await paid.send_async(Order(), "much")
    # mypy [arg-type] incompatible type "str"; expected "int"
    # pyright [reportArgumentType] cannot be assigned to parameter "amount" of type "int"
    await paid.first_async(Order(), "much")
    # mypy [call-overload] No overload variant
    # pyright [reportArgumentType] parameter "amount" of type "int" in function "first_async"
    await paid.first_async("no order", 1, default=0)
    # mypy [call-overload] No overload variant
    # pyright [reportArgumentType] cannot be assigned to parameter "sender" of type "Order | AnySender"
    len(paid.emit_async(Order(), 1))
    # mypy [arg-type] incompatible type "Coroutine[Any, Any, list[Any]]"; expected "Sized"
    # pyright [reportArgumentType] cannot be assigned to parameter "obj" of type "Sized"


# The first result

placed.first("no order")
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "sender" of type "Order | AnySender"
placed.first("no order", default=0)
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "sender" of type "Order | AnySender"
paid.first(Order(), "much")
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "amount" of type "int"
paid.first(Order())
# mypy [call-overload] No overload variant
# pyright [reportCallIssue] No overloads for "first"

# A handler cancels with a reason

Cancel("why", "else")
# mypy [call-arg] Too many arguments for "Cancel"
# pyright [reportCallIssue] Expected 1 positional argument
Cancelled([], take_all, placed).reasons
# mypy [attr-defined] "Cancelled" has no attribute "reasons"
# pyright [reportAttributeAccessIssue] Cannot access attribute "reasons" for class "Cancelled"

# Emissions are held and merged

shop.held(merge="first")
# mypy [arg-type] incompatible type "Literal['first']"
# pyright [reportArgumentType] cannot be assigned to parameter "merge" of type "Merge"
placed.hold(5)
# mypy [arg-type] incompatible type "Literal[5]"; expected "Literal['last_per_sender'] | Callable
# pyright [reportArgumentType] cannot be assigned to parameter "merge" of type "Merge"
placed.held(lambda emissions: 5)
# mypy [arg-type] incompatible type
# pyright [reportArgumentType] cannot be assigned
shop.hold().release(1)
# mypy [call-arg] Too many arguments for "release" of "Hold"
# pyright [reportCallIssue] Expected 0 positional arguments
shop.hold().emissions = []
# mypy [misc] Property "emissions" defined in "Hold" is read-only
# pyright [reportAttributeAccessIssue] Cannot assign to attribute "emissions" for class "Hold"

# Waiting gives emissions with the event's sender type


async def waiting() -> None:
    (await placed.wait()).sender.sum
    # mypy [attr-defined] "Order" has no attribute "sum"
    # pyright [reportAttributeAccessIssue] Cannot access attribute "sum" for class "Order"
    await placed.wait("no order")
    # mypy [arg-type] incompatible type "str"; expected "Order | AnySender"
    # pyright [reportArgumentType] cannot be assigned to parameter "sender" of type "Order | AnySender"
    (await wait_any(placed.wait(), paid.wait())).sender.sum
    # mypy [attr-defined] "Order" has no attribute "sum"
    # pyright [reportAttributeAccessIssue] Cannot access attribute "sum" for class "Order"
    await wait_any()
    # mypy [call-overload] All overload variants of "wait_any" require at least one argument
    # pyright [reportCallIssue] No overloads for "wait_any"
    await wait_any(placed)
    # mypy [call-overload] No overload variant of "wait_any"
    # pyright [reportArgumentType] cannot be assigned to parameter "wait"
    paid.stream(overflow="block")
    # mypy [arg-type] incompatible type "Literal['block']"
    # pyright [reportArgumentType] cannot be assigned to parameter "overflow" of type "Overflow"
    async for emission in paid.stream():
        emission.sender.sum
        # mypy [attr-defined] "Order" has no attribute "sum"
        # pyright [reportAttributeAccessIssue] Cannot access attribute "sum" for class "Order"


# Threads wait for emissions with the event's sender type


def blocking() -> None:
    placed.wait_sync().sender.sum
    # mypy [attr-defined] "Order" has no attribute "sum"
    # pyright [reportAttributeAccessIssue] Cannot access attribute "sum" for class "Order"
    placed.wait_sync("no order")
    # mypy [arg-type] incompatible type "str"; expected "Order | AnySender"
    # pyright [reportArgumentType] cannot be assigned to parameter "sender" of type "Order | AnySender"
    placed.wait_sync(timeout="1")
    # mypy [arg-type] incompatible type "str"; expected "float | None"
    # pyright [reportArgumentType] cannot be assigned to parameter "timeout" of type "float | None"
    for emission in paid.stream():
        emission.sender.sum
        # mypy [attr-defined] "Order" has no attribute "sum"
        # pyright [reportAttributeAccessIssue] Cannot access attribute "sum" for class "Order"


# An instrument overrides the methods it needs


class Refusing(Instrument):
    def begin(self, start: EmissionStart) -> str:
        # mypy [override] Return type "str" of "begin" incompatible with return type "EmissionSpan | None"
        # pyright [reportIncompatibleMethodOverride] "begin" overrides class "Instrument" in an incompatible manner
        start.sender = start.way.sum
        # mypy [union-attr] has no attribute "sum"
        # pyright [reportAttributeAccessIssue] Cannot access attribute "sum" for class
        return ""


observe(5)
# mypy [arg-type] incompatible type "int"; expected "Instrument"
# pyright [reportArgumentType] cannot be assigned to parameter "instrument" of type "Instrument"
observe(Instrument)
# mypy [arg-type] incompatible type "type[Instrument]"; expected "Instrument"
# pyright [reportArgumentType] cannot be assigned to parameter "instrument" of type "Instrument"
observe(Instrument(), 5)
# mypy [arg-type] incompatible type "int"; expected "Namespace | Event[Any
# pyright [reportArgumentType] cannot be assigned to parameter "sources" of type "Namespace | Event[Any, ...]
observe(Instrument(), matches=5)
# mypy [arg-type] incompatible type "int"; expected "Callable[[str], object] | None"
# pyright [reportArgumentType] cannot be assigned to parameter "matches" of type "((str) -> object) | None"
EmissionStart(placed, "emitting", None, (), {})
# mypy [arg-type] incompatible type "Literal['emitting']"
# pyright [reportArgumentType] cannot be assigned to parameter "way" of type "Way"

# Handlers have a budget of time


def report_nothing() -> None: ...


default_namespace.watch("1 ms")
# mypy [arg-type] incompatible type "str"; expected "float"
# pyright [reportArgumentType] cannot be assigned to parameter "budget" of type "float"
default_namespace.watch(on_slow=report_nothing)
# mypy [arg-type] incompatible type "Callable[[], None]"
# pyright [reportArgumentType] cannot be assigned to parameter "on_slow"
placed.watch(0.1, 5)
# mypy [arg-type] incompatible type "int"
# pyright [reportArgumentType] cannot be assigned to parameter "on_slow"

# A handler is delivered to a target


def pack(order: Order) -> None: ...


placed.connect(pack, via=5)
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "via" of type "Target | None"
placed.subscribe(pack, via="loop")
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "via" of type "Target | None"
on("order.placed", via=asyncio.new_event_loop)
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "via" of type "Target | None"
placed.connected_to(pack, via=ThreadPoolExecutor)
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "via" of type "Target | None"

# A mailbox keeps calls until it is drained

Mailbox()
# mypy [call-arg] Missing positional argument "maxsize"
# pyright [reportCallIssue] Argument missing for parameter "maxsize"
Mailbox("100")
# mypy [arg-type] incompatible type "str"; expected "int"
# pyright [reportArgumentType] cannot be assigned to parameter "maxsize" of type "int"
Mailbox(1, "drop")
# mypy [arg-type] incompatible type "Literal['drop']"
# pyright [reportArgumentType] cannot be assigned to parameter "overflow"
Mailbox(1, "raise", print)
# mypy [call-arg] Too many positional arguments for "Mailbox"
# pyright [reportCallIssue] Expected 2 positional arguments
Mailbox(1, wakeup="fd")
# mypy [arg-type] incompatible type "str"
# pyright [reportArgumentType] cannot be assigned to parameter "wakeup"
Mailbox(1).drain("1")
# mypy [arg-type] incompatible type "str"; expected "float | None"
# pyright [reportArgumentType] cannot be assigned to parameter "budget" of type "float | None"
Mailbox(1).drain(limit=1.5)
# mypy [arg-type] incompatible type "float"; expected "int | None"
# pyright [reportArgumentType] cannot be assigned to parameter "limit" of type "int | None"
Mailbox(1).maxsize = 2
# mypy [misc] Property "maxsize" defined in "Mailbox" is read-only
# pyright [reportAttributeAccessIssue] Cannot assign to attribute "maxsize" for class "Mailbox"

# A handler is throttled or debounced


class View:
    @throttled(seconds=0.1)
    def draw(self, order: Order) -> None: ...


throttled(View().draw)
# mypy [call-overload] No overload variant of "throttled"
# pyright [reportCallIssue] No overloads for "throttled"
debounced(5, 1)
# mypy [call-overload] No overload variant of "debounced"
# pyright [reportArgumentType] cannot be assigned to parameter "f"
debounced(print, "1")
# mypy [call-overload] No overload variant of "debounced"
# pyright [reportArgumentType] cannot be assigned to parameter "seconds" of type "float"
throttled(print, 1, trailing="no")
# mypy [call-overload] No overload variant of "throttled"
# pyright [reportArgumentType] cannot be assigned to parameter "trailing" of type "bool"
View().draw("order 7")
# mypy [arg-type] incompatible type "str"; expected "Order"
# pyright [reportArgumentType] cannot be assigned to parameter "order" of type "Order"

# An event in a class binds its sender


class Thermostat:
    changed = Event["Thermostat", [int]]()
    placed = Event[Order]("order.placed")


def show_text(sender: Thermostat, degrees: str) -> None: ...


def show(sender: Thermostat, degrees: int) -> None: ...


thermostat = Thermostat()
thermostat.changed.emit("x")
# mypy [arg-type] Argument 1 to "emit" of "BoundEvent" has incompatible type "str"; expected "int"
# pyright [reportArgumentType] cannot be assigned to parameter of type "int" in function "emit"
thermostat.changed.emit(thermostat, 21)
# mypy [call-arg] Too many arguments for "emit" of "BoundEvent"
# pyright [reportCallIssue] Expected 1 positional argument
thermostat.changed.send("x")
# mypy [arg-type] Argument 1 to "send" of "BoundEvent" has incompatible type "str"; expected "int"
# pyright [reportArgumentType] cannot be assigned to parameter of type "int" in function "send"
thermostat.changed.connect(show_text)
# mypy [arg-type] expected "Callable[[Thermostat, int], None]"
# pyright [reportArgumentType] cannot be assigned to parameter "receiver" of type "(Thermostat, int)
thermostat.changed.connect(show, sender=thermostat)
# mypy [call-overload] No overload variant
# pyright [reportCallIssue] No overloads for "connect"
thermostat.changed.connect(show, priority="high")
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "priority" of type "int"
thermostat.placed.emit()
# mypy [call-overload] No overload variant of "__get__" of "Event" matches argument types "Thermostat"
# pyright [reportAttributeAccessIssue] Cannot access attribute "placed" for class "Thermostat"
thermostat.changed.sender = thermostat
# mypy [misc] Property "sender" defined in "BoundEvent" is read-only
# pyright [reportAttributeAccessIssue] Cannot assign to attribute "sender" for class "BoundEvent[Thermo

# Calls of an async handler may overlap in several ways

placed.connect(print, overlap="x")
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "overlap" of type "Overlap"
placed.connect(print, limit="1")
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "limit" of type "int | None"
placed.connect(print, timeout="1")
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "timeout" of type "float | None"
on("order.placed", overlap=None)
# mypy [call-overload] No overload variant
# pyright [reportArgumentType] cannot be assigned to parameter "overlap" of type "Overlap"
