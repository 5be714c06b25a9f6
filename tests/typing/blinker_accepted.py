"""Valid code with cyevents.blinker that mypy --strict and pyright accept, with the types that they infer."""

from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from cyevents.blinker import ANY, NamedSignal, Namespace, Signal, default_namespace, install, signal

install()
shop = Namespace()
placed = shop.signal("placed", doc="An order has been placed.")
assert_type(placed, NamedSignal)
assert_type(signal("placed"), NamedSignal)
assert_type(default_namespace["placed"], NamedSignal)
assert_type(placed.name, str)


@placed.connect
def confirm(sender: object, *, total: int) -> str:
    return f"{sender}: {total}"


@placed.connect_via(ANY, weak=True)
async def index(sender: object, **kwargs: object) -> None: ...


assert_type(confirm(1, total=2), str)


def run(function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    return function


placed.send()
for receiver, value in placed.send("ada", total=12, _async_wrapper=run):
    receiver(value)


async def send() -> int:
    return len(await placed.send_async("ada", total=12, _sync_wrapper=lambda function: index))


with placed.muted(), placed.connected_to(confirm, sender=3):
    placed.disconnect(confirm, 3)


@placed.muted()
def quietly(number: int) -> int:
    return number


assert_type(quietly(1), int)
assert_type(placed.is_muted, bool)
placed.is_muted = True
assert_type(placed.has_receivers_for("ada"), bool)
if placed.receivers:
    for receiver in placed.receivers_for("ada"):
        receiver("ada")


class Loud(Signal):
    def connect_loudly(self) -> None:
        self.connect(confirm)


assert_type(Loud("doc").receiver_connected, Signal)
Loud.set_class = set
