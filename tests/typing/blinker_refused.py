"""What type checkers are to refuse of cyevents.blinker, a line each, marked with the rule of mypy's."""

from cyevents.blinker import NamedSignal, Namespace, Signal, signal

ready = signal("ready")
ready.send(1, 2)  # call-arg
ready.send(_async_wrapper=5)  # arg-type
ready.connect(5)  # type-var
ready.connect(print, priority=1)  # call-arg
ready.disconnect()  # call-arg
ready.emit_async()  # attr-defined
ready.receivers = {}  # misc
NamedSignal()  # call-arg
Namespace().signal(5)  # arg-type
Signal(5)  # arg-type
