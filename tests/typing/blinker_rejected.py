"""Errors with cyevents.blinker that type checkers must report; each comment gives the report for the line above."""

from cyevents.blinker import NamedSignal, Namespace, Signal, signal

ready = signal("ready")
ready.send(1, 2)
# mypy [call-arg] Too many positional arguments for "send" of "Signal"
# pyright [reportCallIssue] Expected 1 positional argument
ready.send(_async_wrapper=5)
# mypy [arg-type] Argument "_async_wrapper" to "send" of "Signal" has incompatible type "int"; expected "Cal
# pyright [reportArgumentType] Argument of type "Literal[5]" cannot be assigned to parameter "_async_wrapper" of type "
ready.connect(5)
# mypy [type-var] Value of type variable "ReceiverT" of "connect" of "Signal" cannot be "int"
# pyright [reportArgumentType] Argument of type "Literal[5]" cannot be assigned to parameter "receiver" of type "Receiv
ready.connect(print, priority=1)
# mypy [call-arg] Unexpected keyword argument "priority" for "connect" of "Signal"
# pyright [reportCallIssue] No parameter named "priority"
ready.disconnect()
# mypy [call-arg] Missing positional argument "receiver" in call to "disconnect" of "Signal"
# pyright [reportCallIssue] Argument missing for parameter "receiver"
ready.emit_async()
# mypy [attr-defined] "NamedSignal" has no attribute "emit_async"
# pyright [reportAttributeAccessIssue] Cannot access attribute "emit_async" for class "NamedSignal"
ready.receivers = {}
# mypy [misc] Property "receivers" defined in "Signal" is read-only
# pyright [reportAttributeAccessIssue] Cannot assign to attribute "receivers" for class "NamedSignal"
NamedSignal()
# mypy [call-arg] Missing positional argument "name" in call to "NamedSignal"
# pyright [reportCallIssue] Argument missing for parameter "name"
Namespace().signal(5)
# mypy [arg-type] Argument 1 to "signal" of "Namespace" has incompatible type "int"; expected "str"
# pyright [reportArgumentType] Argument of type "Literal[5]" cannot be assigned to parameter "name" of type "str" in fu
Signal(5)
# mypy [arg-type] Argument 1 to "Signal" has incompatible type "int"; expected "str | None"
# pyright [reportArgumentType] Argument of type "Literal[5]" cannot be assigned to parameter "doc" of type "str | None"
