"""What type checkers are to refuse, a line each, marked with the rule of mypy's."""

from cyevents import Event, Namespace, on


class Order:
    pass


placed: Event[Order] = Event("order.placed")
placed.emit("no order")  # arg-type
placed.connect(5)  # type-var
placed.connect(print, priority="high")  # arg-type
placed.connect(print, None, True, 0, None, True)  # misc
placed.on_error = "explode"  # assignment
Event(5)  # arg-type
on(5)  # arg-type
Namespace("name")  # call-arg
