"""The events of the shop: who emits and who listens both import this, and not each other."""

from cyevents import Event, Namespace

shop = Namespace()

order_placing: Event = shop.event("order.placing", doc="Within the transaction: what raises, or cancels, undoes it.")
order_placed: Event = shop.event("order.placed", doc="The transaction is committed: for what cannot be undone.")
