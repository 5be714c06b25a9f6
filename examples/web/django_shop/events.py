"""The events of the shop. Emitters and handlers both import this module, and not each other."""

from cyevents import Event, Namespace

shop = Namespace()

# Emitted inside the transaction: a handler that raises or cancels rolls it back.
order_placing: Event = shop.event("order.placing")

# Emitted after the commit, for work that cannot be undone.
order_placed: Event = shop.event("order.placed")


class Refused(Exception):
    """A handler has refused the order."""
