"""Results: what an emission returns, and what cancels it."""

import asyncio
import collections.abc
import types
from unittest.mock import MagicMock, Mock

import pytest

WAYS = ["emit", "emit_async"]


@pytest.fixture(params=WAYS)
def emit(request, ns):
    """Emit "x" of `ns` with `emit` or `emit_async`."""
    if request.param == "emit":
        return lambda *args, **kwargs: ns.emit("x", *args, **kwargs)

    async def main(*args, **kwargs):
        return await ns.emit_async("x", *args, **kwargs)

    return lambda *args, **kwargs: asyncio.run(main(*args, **kwargs))


@pytest.fixture
def returning(ns):
    """Connect a handler to "x" that returns a value: `returning(value, priority=0)`."""
    return lambda value, **options: ns.on("x", weak=False, **options)(lambda sender, **kwargs: value)


class Generatorlike:
    """Looks like a compiled generator: not of the generator type, and not even iterable."""

    def __init__(self, *items, returned=None):
        self.items = list(items)
        self.returned = returned

    def send(self, value):
        return next(self)

    def throw(self, *error):
        raise error[0]

    def __next__(self):
        if self.items:
            return self.items.pop(0)
        raise StopIteration(self.returned)


class LikeFalse:
    """Equal to False and false, like numpy.False_."""

    def __eq__(self, other):
        return other is False or other is self

    def __hash__(self):
        return hash(False)

    def __bool__(self):
        return False


class EqualToAll:
    def __eq__(self, other):
        return True

    __hash__ = None


# The list


def test_results_are_in_the_order_of_calls(emit, returning):
    returning("last", priority=-1)
    returning("second")
    returning("third")
    returning("first", priority=1)
    assert emit() == ["first", "second", "third", "last"]


def test_every_emission_returns_a_new_list(emit, returning):
    assert emit() is not emit()
    returning(1)
    one = emit()
    one.append(2)
    assert emit() == [1]


def test_values_are_returned_unchanged(emit, returning):
    values = [object(), [1], (2,), {"a": 3}, iter([4]), range(5), True, "text", ValueError("not raised"), int]
    for value in values:
        returning(value)
    results = emit()
    assert len(results) == len(values)
    assert all(got is put for got, put in zip(results, values, strict=True))


def test_only_none_is_dropped(emit, returning):
    odd = EqualToAll()
    for value in (None, 1, None, odd, None):
        returning(value)
    results = emit()
    assert len(results) == 2
    assert results[0] == 1
    assert results[1] is odd


def test_object_with_every_attribute_is_a_value(emit, returning):
    class Proxy:
        def __getattr__(self, name):
            return lambda *args, **kwargs: None

    for value in (Proxy(), Mock(), MagicMock()):
        returning(value)
    assert [type(result).__name__ for result in emit()] == ["Proxy", "Mock", "MagicMock"]


def test_no_handlers_give_an_empty_list(emit, ns):
    ns.event("x")
    assert type(emit()) is list
    assert emit() == []


# Generators


def test_generator_contributes_one_list(emit, ns, returning):
    @ns.on("x")
    def handler(sender, **kwargs):
        yield 1
        yield 2

    returning(3)
    assert emit() == [[1, 2], 3]


def test_none_is_dropped_from_a_generators_list(emit, ns):
    @ns.on("x")
    def handler(sender, **kwargs):
        yield None
        yield 1
        yield
        yield 0

    assert emit() == [[1, 0]]


def test_empty_list_of_a_generator_is_kept(emit, ns):
    @ns.on("x")
    def nothing(sender, **kwargs):
        return
        yield

    @ns.on("x")
    def only_none(sender, **kwargs):
        yield

    assert emit() == [[], []]


def test_generator_is_consumed_at_its_turn(emit, ns):
    log = []

    @ns.on("x")
    def before(sender, **kwargs):
        log.append("before")

    @ns.on("x")
    def handler(sender, **kwargs):
        log.append("begins")
        yield
        log.append("ends")

    @ns.on("x")
    def after(sender, **kwargs):
        log.append("after")

    emit()
    assert log == ["before", "begins", "ends", "after"]


def test_returned_type_decides_not_the_handlers_type(emit, ns):
    @ns.on("x")
    def returns_a_generator(sender, **kwargs):
        return (number for number in (1, 2))

    assert emit() == [[1, 2]]


def test_method_may_be_a_generator(emit, ns):
    class Service:
        def handler(self, sender, **kwargs):
            yield sender

    service = Service()
    ns.on("x")(service.handler)
    assert emit(1) == [[1]]


def test_compiled_generator_is_a_generator(emit, ns):
    ns.on("x", weak=False)(lambda sender, **kwargs: Generatorlike(1, None, 2))
    ns.on("x", weak=False)(lambda sender, **kwargs: Generatorlike())
    assert emit() == [[1, 2], []]


@pytest.mark.parametrize("missing", ["send", "throw", "__next__"])
def test_incomplete_generator_protocol_is_a_value(emit, returning, missing):
    parts = {name: part for name, part in vars(Generatorlike).items() if name in ("send", "throw", "__next__")}
    del parts[missing]
    value = type("Almost", (), parts)()
    returning(value)
    assert emit() == [value]


def test_yielded_false_does_not_cancel(emit, ns, returning):
    @ns.on("x", priority=1)
    def handler(sender, **kwargs):
        yield False
        yield 1

    returning("ran")
    results = emit()
    assert results == [[False, 1], "ran"]
    assert type(results) is list


def test_generator_that_returns_false_cancels(api, emit, ns, returning):
    @ns.on("x", priority=1)
    def handler(sender, **kwargs):
        yield 1
        yield 2
        return False

    returning("never")
    results = emit()
    assert results == [[1, 2]]
    assert isinstance(results, api.Cancelled)
    assert results.handler is handler


def test_compiled_generator_that_returns_false_cancels(api, emit, ns, returning):
    ns.on("x", weak=False, priority=1)(lambda sender, **kwargs: Generatorlike(1, returned=False))
    returning("never")
    results = emit()
    assert results == [[1]]
    assert isinstance(results, api.Cancelled)


def test_cancelling_generator_keeps_its_empty_list(api, emit, ns, returning):
    @ns.on("x", priority=1)
    def handler(sender, **kwargs):
        return False
        yield

    returning("never")
    results = emit()
    assert results == [[]]
    assert isinstance(results, api.Cancelled)


@pytest.mark.parametrize("value", [0, "", LikeFalse(), None, True, "text"])
def test_other_returns_of_a_generator_are_ignored(emit, ns, returning, value):
    @ns.on("x", priority=1)
    def handler(sender, **kwargs):
        yield 1
        return value

    returning("ran")
    results = emit()
    assert results == [[1], "ran"]
    assert type(results) is list


def test_generator_marked_as_coroutine_is_awaited(api, ns, run, returning):
    log = []

    @ns.on("x")
    @types.coroutine
    def handler(sender, **kwargs):
        log.append(sender)
        yield from asyncio.sleep(0).__await__()
        log.append("done")
        return "awaited"

    returning("value")
    assert ns.emit("x", 1) == ["value"]
    assert api.drain(10)
    assert log == [1, "done"]

    async def main():
        return await ns.emit_async("x", 2)

    assert run(main()) == ["awaited", "value"]


def test_compiled_generator_coroutine_is_awaited(ns, run, returning):
    class Compiled(collections.abc.Generator):
        def send(self, value):
            raise StopIteration("awaited")

        def throw(self, *error):
            raise error[0]

    ns.on("x", weak=False)(types.coroutine(lambda sender, **kwargs: Compiled()))
    returning("value")

    async def main():
        return await ns.emit_async("x"), ns.emit("x")

    assert run(main()) == (["awaited", "value"], ["value"])


# Async generators


def test_async_generator_contributes_one_list(ns, run):
    @ns.on("x")
    async def handler(sender, **kwargs):
        yield 1
        yield None
        await asyncio.sleep(0)
        yield 2

    @ns.on("x")
    async def nothing(sender, **kwargs):
        return
        yield

    async def main():
        return await ns.emit_async("x")

    assert run(main()) == [[1, 2], []]


def test_async_generator_cannot_cancel(ns, run, returning):
    @ns.on("x", priority=1)
    async def handler(sender, **kwargs):
        yield False

    returning("ran")

    async def main():
        return await ns.emit_async("x")

    results = run(main())
    assert results == [[False], "ran"]
    assert type(results) is list


def test_emit_runs_an_async_generator_to_its_end(api, ns):
    log = []

    @ns.on("x")
    async def handler(sender, **kwargs):
        log.append("begins")
        yield 1
        log.append("ends")

    assert ns.emit("x") == []
    assert api.drain(10)
    assert log == ["begins", "ends"]


# emit_async


def test_emit_async_results_are_in_dispatch_order(ns, run):
    done = []

    async def main():
        second_done = asyncio.Event()

        @ns.on("x")
        async def first(sender, **kwargs):
            await second_done.wait()
            done.append("first")
            return "first"

        @ns.on("x")
        async def second(sender, **kwargs):
            done.append("second")
            second_done.set()
            return "second"

        @ns.on("x")
        async def third(sender, **kwargs):
            await second_done.wait()
            yield "third"

        @ns.on("x")
        def fourth(sender, **kwargs):
            return "fourth"

        return await ns.emit_async("x")

    assert run(main()) == ["first", "second", ["third"], "fourth"]
    assert done == ["second", "first"]


def test_emit_async_drops_an_awaited_none(ns, run):
    @ns.on("x")
    async def handler(sender, **kwargs):
        pass

    @ns.on("x")
    async def value(sender, **kwargs):
        return 0

    async def main():
        return await ns.emit_async("x")

    assert run(main()) == [0]


def test_awaited_list_is_a_value(ns, run):
    @ns.on("x")
    async def handler(sender, **kwargs):
        return [None, False]

    async def main():
        return await ns.emit_async("x")

    assert run(main()) == [[None, False]]


# Cancelling


@pytest.mark.parametrize("value", [0, 0.0, "", b"", (), [], LikeFalse()], ids=repr)
def test_only_the_object_false_cancels(emit, returning, value):
    returning(value, priority=1)
    returning("ran")
    results = emit()
    assert len(results) == 2
    assert results[0] is value
    assert results[1] == "ran"
    assert type(results) is list


@pytest.mark.parametrize("value", [0, "", LikeFalse()], ids=repr)
def test_only_the_object_false_cancels_when_awaited(ns, run, returning, value):
    @ns.on("x", priority=1)
    async def handler(sender, **kwargs):
        return value

    returning("ran")

    async def main():
        return await ns.emit_async("x")

    results = run(main())
    assert len(results) == 2
    assert results[0] is value
    assert type(results) is list


def test_false_is_dropped_and_earlier_results_are_kept(api, emit, ns, returning):
    returning("before", priority=1)
    returning(["before too"], priority=1)

    @ns.on("x")
    def refuse(sender, **kwargs):
        return False

    returning("never", priority=-1)
    results = emit()
    assert results == ["before", ["before too"]]
    assert isinstance(results, api.Cancelled)
    assert isinstance(results, list)
    assert results.handler is refuse
    assert results.event is ns["x"]


def test_false_skips_the_rest_of_its_priority(emit, returning):
    returning("before")
    returning(False)
    returning("never")
    assert emit() == ["before"]


def test_last_handler_can_cancel(api, emit, ns, returning):
    returning("before")

    @ns.on("x", priority=-1)
    def refuse(sender, **kwargs):
        return False

    results = emit()
    assert results == ["before"]
    assert isinstance(results, api.Cancelled)
    assert results.handler is refuse


def test_only_handler_can_cancel(api, emit, ns):
    @ns.on("x")
    def refuse(sender, **kwargs):
        return False

    results = emit()
    assert results == []
    assert isinstance(results, api.Cancelled)


def test_cancelling_method_is_reported_as_handler(emit, ns):
    class Service:
        def refuse(self, sender, **kwargs):
            return False

    service = Service()
    ns.on("x")(service.refuse)
    assert emit().handler == service.refuse


def test_cancelled_result_has_the_emitted_event(emit, ns):
    @ns.on("x*")
    def refuse(sender, **kwargs):
        return False

    evt = ns.event("x")
    assert emit().event is evt


def test_uncancelled_emission_returns_a_plain_list(emit, ns, returning):
    returning(1)

    @ns.on("x")
    def generator(sender, **kwargs):
        yield 2

    assert type(emit()) is list


def test_nested_cancellation_cancels_only_itself(api, emit, ns):
    @ns.on("inner")
    def refuse(sender, **kwargs):
        return False

    @ns.on("x")
    def outer(sender, **kwargs):
        return ns.emit("inner")

    results = emit()
    assert type(results) is list
    assert len(results) == 1
    assert isinstance(results[0], api.Cancelled)


def test_emit_ignores_an_async_false(api, ns, returning):
    log = []

    @ns.on("x", priority=1)
    async def handler(sender, **kwargs):
        log.append("ran")
        return False

    returning("ran")
    results = ns.emit("x")
    assert results == ["ran"]
    assert type(results) is list
    assert api.drain(10)
    assert log == ["ran"]


def test_emit_ignores_an_async_value(api, ns, returning):
    @ns.on("x")
    async def handler(sender, **kwargs):
        return "ignored"

    returning("value")

    async def main():
        results = ns.emit("x")
        assert await api.drain_async(10)
        return results

    assert asyncio.run(main()) == ["value"]


def test_async_false_cancels_lower_priorities(api, ns, run, returning):
    @ns.on("x", priority=1)
    async def refuse(sender, **kwargs):
        await asyncio.sleep(0)
        return False

    @ns.on("x", priority=1)
    async def beside(sender, **kwargs):
        return "beside"

    returning("never")

    async def main():
        return await ns.emit_async("x")

    results = run(main())
    assert results == ["beside"]
    assert isinstance(results, api.Cancelled)
    assert results.handler is refuse
    assert results.event is ns["x"]
