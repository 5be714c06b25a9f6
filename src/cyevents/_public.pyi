# Public classes, for annotations in modules below those that define them. Only type checkers read this file.
#
# An `Event` has a `namespace`, and an `Emission` and a `Subscription` have an `event`. The types of such attributes
# must be exact, but the modules of these classes must not import each other in a circle. `watch` returns a `Scope`.

from ._event import Event as Event
from ._namespace import Namespace as Namespace
from .instrument._scope import Scope as Scope
