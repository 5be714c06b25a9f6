"""`Subscriptions`: subscriptions that you cancel together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._connection import Subscription
from ._core._safe import safe_isinstance, safe_repr

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Any, Self, TypeVar

    SubscriptionT = TypeVar("SubscriptionT", bound="Subscription | Subscriptions")


class Subscriptions:
    """A set of subscriptions that you cancel together. `Namespace.attach` returns one too.

    It contains the active ones: a subscription that ends leaves the set. `cancel` and leaving a `with` block cancel
    them all. In the set, a subscription keeps its handler alive, except for those of `attach`.

    Thread-safe.

    Example:
        >>> from cyevents import Event, Subscriptions
        >>> ticked, stopped = Event("ticked"), Event("stopped")
        >>> with Subscriptions() as subscriptions:
        ...     _ = subscriptions.add(ticked.subscribe(lambda sender: "tock"))
        ...     once = subscriptions.add(stopped.subscribe(lambda sender: "bye", once=True))
        ...     ticked.emit("clock"), stopped.emit("clock"), len(subscriptions), once in subscriptions
        (['tock'], ['bye'], 1, False)
        >>> ticked.emit("clock")
        []
    """

    __slots__ = ("_members", "_prune_at", "_watch")

    def __init__(self) -> None:
        self._members: dict[int, Subscription] = {}  # by id: a subclass may define `__eq__`
        self._prune_at = 16
        self._watch: Any = None  # kept for `attach`: see there

    def add(self, subscription: SubscriptionT) -> SubscriptionT:
        """Add a subscription, or all those of a `Subscriptions`, and return the argument."""
        members = self._members
        if safe_isinstance(subscription, Subscription):
            members[id(subscription)] = subscription  # type: ignore[assignment]
        elif safe_isinstance(subscription, Subscriptions):
            members.update({id(each): each for each in subscription})  # type: ignore[union-attr]
        else:
            raise TypeError(
                f"add() takes the result of subscribe() or attach(), not {safe_repr(subscription)}: connect() and on()"
                " return the handler"
            )
        if len(members) >= self._prune_at:  # ended ones, which may hold their handlers, do not accumulate
            for key, each in list(members.items()):
                if not each.active:
                    members.pop(key, None)
            self._prune_at = 2 * len(members) + 16
        return subscription

    def cancel(self) -> bool:
        """Cancel all subscriptions and remove them from the set. Return whether any was active.

        If one raises, the others are still cancelled. You can use the set again.
        """
        was_active = False
        errors: list[BaseException] = []
        while self._members:
            try:
                _, each = self._members.popitem()
            except KeyError:  # another thread was faster
                break
            try:
                was_active |= each.cancel()
            except BaseException as error:
                errors.append(error)
        try:
            if len(errors) > 1:
                raise BaseExceptionGroup(f"{len(errors)} subscriptions failed to cancel", errors)
            if errors:
                raise errors[0]
        finally:
            errors = []  # their tracebacks refer to this frame
        return was_active

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancel()

    def __iter__(self) -> Iterator[Subscription]:
        return iter([each for each in list(self._members.values()) if each.active])

    def __len__(self) -> int:
        return sum(each.active for each in list(self._members.values()))

    def __contains__(self, subscription: object) -> bool:
        found = self._members.get(id(subscription))
        return found is subscription and found is not None and found.active

    def __repr__(self) -> str:
        return f"<Subscriptions: {len(self)} active>"
