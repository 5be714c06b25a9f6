"""What users write, which mypy --strict and pyright accept; with the types that they find."""

from typing import Any, assert_type

from cyevents import ANY, Cancelled, Event, Namespace, default_namespace, emit, emit_async, event, filter_signals, on


class Order:
    total: int = 0


placed: Event[Order] = Event("order.placed", doc="An order.")
anything: Event = event("anything")
shop = Namespace(on_error="group")


@on("order.*", sender=ANY, priority=1, condition=lambda sender, **kwargs: sender.total > 0, once=True)
def audit(sender: Order, **kwargs: object) -> str:
    return ""


assert_type(audit(Order()), str)


@placed.connect
async def pay(sender: Order) -> int:
    return 1


@shop.on(placed, with_event=True, thread=True)
def count(sender: Order, event: Event[Order]) -> None:
    pass


def report(error: Exception, handler: Any, event: Event[Any], sender: Any) -> None:
    pass


assert_type(placed.emit(Order(), 1, key=2), list[Any])
assert_type(placed.emit(sender=Order()), list[Any])
assert_type(emit("order.placed", Order(), key=2), list[Any])
assert_type(placed.disconnect(audit), bool)
assert_type(filter_signals("order.*"), dict[str, Event[Any]])
assert_type(default_namespace["order.placed"].name, str)
for each in shop.values():
    assert_type(each.has_handlers_for(None), bool)
placed.on_error = report
placed.on_error = "raise"
with placed.subscribe(lambda sender: None) as subscription:
    assert_type(subscription.cancel(), bool)
with placed.muted(audit), placed.connected_to(audit, Order()):
    results = placed.emit(Order())
if isinstance(results, Cancelled):
    print(results.handler, results.event)
for connection in placed.handlers:
    assert_type(connection.priority, int)


async def main() -> None:
    assert_type(await placed.emit_async(Order()), list[Any])
    assert_type(await emit_async("order.placed"), list[Any])
    pay_again = placed.connect(pay)
    assert_type(await pay_again(Order()), int)
