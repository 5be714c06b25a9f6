"""The events of the shop: who emits and who listens both import this, and not each other."""

from cyevents import Event, Namespace

shop = Namespace()

# Within the transaction: a handler that raises, or cancels, undoes it.
order_placing: Event = shop.event("order.placing")

# The transaction is committed: for what cannot be undone.
order_placed: Event = shop.event("order.placed")


class Refused(Exception):
    """A handler does not want the order."""
