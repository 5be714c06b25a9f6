"""Mistakes that are easily made with events of objects, `handles` and `wait_any`: what the error text says to do."""

import asyncio
import gc
import re

import pytest


@pytest.fixture
def thermostat(api):
    class Thermostat:
        changed = api.Event("thermostat.changed")

    return Thermostat()


def show(sender):
    return sender


def hint(handler):
    return re.escape(
        f"not as {handler!r}: give the event first, as in @on('order.paid'), @handles('order.paid') or"
        " connect('order.paid', f)"
    )


def test_handles_needs_event(api):
    with pytest.raises(TypeError, match=hint(show)):
        api.handles(show)


def test_on_needs_event(api, ns):
    with pytest.raises(TypeError, match=hint(show)):
        api.on(show)
    with pytest.raises(TypeError, match=hint(show)):
        ns.on([show])


def test_event_comes_before_handler(ns):
    with pytest.raises(TypeError, match=hint(show)):
        ns.connect(show, "paid")
    assert list(ns) == []


def test_other_values_get_no_hint(api):
    with pytest.raises(TypeError, match="not as 3$"):
        api.handles(3)


@pytest.mark.parametrize("way", ["wait", "wait_sync", "stream"])
def test_sender_is_no_condition(thermostat, way):
    with pytest.raises(TypeError, match=re.escape(f"{way}() of 'thermostat.changed' was given {thermostat!r}, which")):
        getattr(thermostat.changed, way)(thermostat)
    assert thermostat.changed.handlers == []


def test_callable_sender_is_condition(api):
    class Picky:
        changed = api.Event("changed")

        def __call__(self, sender, **kwargs):
            return kwargs["degrees"] > 20

    picky = Picky()
    with picky.changed.stream(picky) as stream:
        picky.changed.emit(degrees=20)
        picky.changed.emit(degrees=21)
        assert next(stream).kwargs == {"degrees": 21}


def test_wait_any_says_how_to_wait(api, thermostat):
    for given in (thermostat.changed, type(thermostat).changed):
        with pytest.raises(TypeError, match=re.escape(f"not {given!r}: call its wait()")):
            api.wait_any(given)


@pytest.mark.parametrize("kind", [list, tuple])
def test_wait_any_says_to_unpack(api, thermostat, kind):
    waits = kind([thermostat.changed.wait()])
    with pytest.raises(TypeError, match=r": unpack it, as in wait_any\(\*waits\)$"):
        api.wait_any(waits)
    for each in waits:
        each.close()
    assert thermostat.changed.handlers == []


def test_wait_shows_its_name(api, thermostat):
    waiting = thermostat.changed.wait()
    several = api.wait_any(thermostat.changed.wait())
    try:
        assert waiting.__name__ == "Event.wait"
        assert several.__name__ == "wait_any"
    finally:
        waiting.close()
        several.close()


def test_task_of_wait_shows_its_name(api, thermostat):
    async def main():
        task = asyncio.create_task(thermostat.changed.wait())
        text = repr(task)
        task.cancel()
        await asyncio.wait([task])
        return text

    assert "coro=<Event.wait()" in asyncio.run(main())
    gc.collect()
    assert thermostat.changed.handlers == []


def test_described_table_shows_settings(api, ns):
    console = pytest.importorskip("rich.console").Console(width=100, color_system=None)
    ns.event("closing", sequential=True).connect(show)
    ns.event("ready", replay=2)
    ns.event("*").connect(show)
    with console.capture() as capture:
        console.print(api.describe(ns).table())
    assert re.findall(r"sequential|replay=\d+", capture.get()) == ["sequential", "replay=2"]
    assert "closing  sequential\n" in str(api.describe(ns))
    assert "ready  replay=2\n" in str(api.describe(ns))


def test_errors_name_public_classes(api, ns, thermostat):
    event = type(thermostat).changed
    twice = "got multiple values for argument 'sender'"
    for call, text in (
        (lambda: event.emit(thermostat, sender=1), f"Event.emit() {twice}"),
        (lambda: event.send(thermostat, sender=1), f"Event.send() {twice}"),
        (lambda: thermostat.changed.emit(sender=1), f"Event.emit() {twice}"),
        (lambda: thermostat.changed.send(sender=1), f"Event.send() {twice}"),
        (lambda: ns.emit("paid", 1, sender=1), f"Namespace.emit() {twice}"),
        (lambda: ns.emit(), "Namespace.emit() missing 1 required positional argument: 'evt'"),
    ):
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value) == text
    assert event.emit.__qualname__ == "Event.emit"
    assert ns.emit.__qualname__ == "Namespace.emit"
    assert thermostat.changed.emit.__qualname__ == "BoundEvent.emit"
