"""Tests of shop.py, with the fixtures of the pytest plugin. Run them: python -m pytest examples/testing."""

import asyncio
from collections.abc import Iterator

import pytest
from shop import Order, order_placed, place, price, send_mail

from cyevents import Namespace, drain
from cyevents.testing import Isolation, Recorder


@pytest.fixture(autouse=True)
def handlers_finish() -> Iterator[None]:
    """Wait after each test for the async handlers that it has scheduled."""
    yield
    assert drain(timeout=5)


# Assert that the program emits


def test_an_order_emits(events: Recorder) -> None:
    order = place("tea", 2)
    events.assert_emitted("order.placed", sender=order, times=1)
    events.assert_not_emitted("order.refused")


def test_a_large_order_is_refused(events: Recorder) -> None:
    order = place("tea", 5000)
    events.assert_emitted("order.refused", order, reason="too large")
    assert events.names == ["order.placed", "order.refused"]


def test_what_is_in_it(events: Recorder) -> None:
    place("tea", 2)
    place("coffee", 1)
    found = events.assert_emitted(order_placed, where=lambda it: it.sender.item == "coffee")
    assert [it.sender.quantity for it in found] == [1]


# Test a handler by itself


def test_a_handler_by_itself() -> None:
    assert price(Order("tea", 2)) == 9.0


def test_an_async_handler_by_itself() -> None:
    order = Order("tea", 2)
    asyncio.run(send_mail(order))
    assert order.mailed


# Run without the program's handlers


def test_without_the_program_s_handlers(isolated_events: Isolation) -> None:
    isolated_events.clear()
    order_placed.connect(refuse)
    assert place("tea", 2).mailed is False
    assert len(order_placed.handlers) == 1


def refuse(order: Order) -> bool:
    """Refuse every order."""
    return False


def test_the_program_s_handlers_are_back() -> None:
    assert [connection.handler for connection in order_placed.handlers][1:] == [price, send_mail]


def test_without_one_handler(events: Recorder) -> None:
    with order_placed.muted(send_mail):
        order = place("tea", 2)
    assert drain(timeout=5)
    assert not order.mailed


# Wait for scheduled handlers


def test_the_mail_is_sent(events: Recorder) -> None:
    order = place("tea", 2)
    assert drain(timeout=5)
    assert order.mailed


@pytest.mark.leaves_scheduled
def test_that_does_not_care(events: Recorder) -> None:
    place("tea", 2)


# Record another namespace


warehouse = Namespace()


@pytest.fixture
def recorded() -> Iterator[Recorder]:
    """Record emissions in the warehouse, and restore its handlers afterwards."""
    with Isolation(warehouse), Recorder(warehouse) as recorder:
        yield recorder


def test_in_a_namespace(recorded: Recorder) -> None:
    warehouse.emit("goods.arrived", "tea", tons=2)
    recorded.assert_emitted("goods.*", "tea", tons=2)
