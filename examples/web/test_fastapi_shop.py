"""Tests of fastapi_shop.py, with FastAPI's test client. Run them: python -m pytest examples/web."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from fastapi_shop import app, get_events, order_placed, shop

from cyevents import Namespace, drain_async
from cyevents.testing import Recorder


@pytest.fixture
def client() -> Iterator[TestClient]:
    """Start the application and return a client; stop it after the test."""
    with TestClient(app) as client:
        yield client


def test_an_order_emits(client: TestClient, events: Recorder) -> None:
    events.record(shop)
    answer = client.post("/orders", json={"item": "tea", "quantity": 2})
    assert answer.json() == {"id": 1, "price": 9.0, "days": 2}
    events.assert_emitted(order_placed, where=lambda it: it.sender.item == "tea")
    events.assert_not_emitted("order.shipped")


def test_a_handler_refuses(client: TestClient) -> None:
    answer = client.post("/orders", json={"item": "tea", "quantity": 5000})
    assert answer.status_code == 422
    assert answer.json() == {"detail": "refused by check_customer"}


def test_the_mail_is_sent(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    client.post("/orders/1/collect")
    assert client.portal is not None
    client.portal.call(drain_async)
    assert capsys.readouterr().out == "mail: order 1 is on its way\n"


def test_with_events_of_its_own(client: TestClient) -> None:
    mine = Namespace()
    app.dependency_overrides[get_events] = lambda: mine
    try:
        with Recorder(mine) as recorded:
            answer = client.post("/orders/1/ship")
    finally:
        app.dependency_overrides.clear()
    assert answer.status_code == 202
    assert recorded.names == ["order.shipped"]
