"""Leaks of async handlers: scheduled in the running loop or the background loop, awaited, cancelled, in threads."""

import asyncio
import logging
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from leak_check import Error, echo, event_for, main, scenario
from leak_check import fail as fail_in_place

from cyevents import Event, Namespace, drain, drain_async, use_loop, wait_any

logging.getLogger("cyevents").addHandler(logging.NullHandler())
logging.getLogger("cyevents").propagate = False


class Fatal(BaseException):
    pass


class Awaitable:
    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return self


class Owner:
    async def method(self, sender, *args, **kwargs):
        return sender

    async def __call__(self, sender, *args, **kwargs):
        return args


async def at_once(sender, *args, **kwargs):
    return sender


async def later(sender, *args, **kwargs):
    await asyncio.sleep(0)
    return sender


async def much_later(sender, *args, **kwargs):
    await asyncio.sleep(1000)


async def fail(sender, *args, **kwargs):
    raise Error


async def fail_later(sender, *args, **kwargs):
    await asyncio.sleep(0)
    raise Error


async def fatal_later(sender, *args, **kwargs):
    await asyncio.sleep(0)
    raise Fatal


async def refuse(sender, *args, **kwargs):
    return False


async def refuse_later(sender, *args, **kwargs):
    await asyncio.sleep(0)
    return False


async def several(sender, *args, **kwargs):
    yield sender
    await asyncio.sleep(0)
    yield args


def awaitable(sender, *args, **kwargs):
    return Awaitable()


def generate(sender, *args, **kwargs):
    yield sender


def raising(operation):
    """Wrap an async operation that raises, so that it does not."""

    async def quiet():
        with suppress(Error, Fatal, ExceptionGroup, asyncio.CancelledError, RuntimeError):
            await operation()
            raise SystemExit("nothing was raised")

    return quiet


def emitting(event, *args, **kwargs):
    """Return an operation that emits and awaits."""

    async def operation():
        return await event.emit_async(*args, **kwargs)

    return operation


def silent(function):
    """A scenario whose loop does not report unhandled exceptions."""

    def scenario():
        asyncio.get_event_loop().set_exception_handler(lambda loop, context: None)
        yield from function()

    scenario.__name__ = function.__name__
    return scenario


# Waiting


@scenario(cost=30)
def waited_for_the_first():
    first, second, sender = Event("x"), Event("y"), object()

    async def operation():
        waiting = wait_any(first.wait(sender), second.wait())
        asyncio.get_running_loop().call_soon(first.emit, sender)
        await waiting
        waiting = wait_any(first.wait(sender), second.wait())
        second.emit(sender)
        await waiting
        wait_any(first.wait(), second.wait(sender)).close()
        with suppress(TimeoutError):
            await wait_any(first.wait(timeout=0), second.wait(timeout=1))
        with suppress(TypeError):
            wait_any(first.wait(), sender)

    yield operation, sender
    assert first.handlers == second.handlers == []


# Scheduled in the running loop


@scenario
def scheduled():
    owner, sender, value = Owner(), object(), object()
    event = event_for(at_once, later, owner.method, owner, several, awaitable, echo)

    async def operation():
        event.emit(sender, value, keyword=value)
        await asyncio.sleep(0)

    yield operation, sender, value, owner, at_once


@scenario
@silent
def scheduled_and_raised():
    event, sender = event_for(fail, fail_later, refuse), object()

    async def operation():
        event.emit(sender)
        await asyncio.sleep(0)

    yield operation, sender, event


@scenario
@silent
def scheduled_and_raised_to_a_callable():
    event, sender = event_for(fail, fail_later, fatal_later), object()
    event.on_error = lambda *args: None

    async def operation():
        event.emit(sender)
        with suppress(Fatal):
            await asyncio.sleep(0)

    yield operation, sender, event


@scenario
@silent
def scheduled_and_cancelled():
    event, sender = event_for(at_once, later, much_later), object()

    async def operation():
        event.emit(sender)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)
        event.emit(sender)
        await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    yield operation, sender, event


@scenario
def scheduled_with_a_task_factory():
    event, sender = event_for(at_once, later), object()
    made = [0]

    def factory(loop, coroutine, **options):
        made[0] += 1
        return asyncio.Task(coroutine, loop=loop, **options)

    async def operation():
        asyncio.get_running_loop().set_task_factory(factory)
        event.emit(sender)
        await event.emit_async(sender)
        asyncio.get_running_loop().set_task_factory(None)

    yield operation, sender, event
    assert made[0]


@scenario
def scheduled_with_a_task_factory_that_raises():
    event, sender = event_for(at_once, later), object()

    def factory(loop, coroutine, **options):
        coroutine.close()
        raise Error

    async def operation():
        asyncio.get_running_loop().set_task_factory(factory)
        for emission in (event.emit, event.emit_async):
            with suppress(Error):
                await emission(sender)
        asyncio.get_running_loop().set_task_factory(None)

    yield operation, sender, event


@scenario
def scheduled_and_drained():
    event, sender = event_for(at_once, later), object()

    async def operation():
        event.emit(sender)
        assert await drain_async(timeout=60)

    yield operation, sender, event


@scenario(cyclic=True, cost=100)
def scheduled_in_a_loop_that_closes():
    event, sender = event_for(at_once), object()

    def operation():
        async def emit():
            event.emit(sender)

        loop = asyncio.new_event_loop()
        loop.run_until_complete(emit())
        loop.close()

    yield operation, sender, event
    asyncio.run(drain_after(event))


async def drain_after(event):
    """Emit in another loop: then the jobs of a closed one are known to be lost."""
    event.emit()
    await drain_async()


# Scheduled in another loop


@scenario(cost=5)
def in_the_background():
    owner, sender, value = Owner(), object(), object()
    event = event_for(at_once, later, owner.method, several, awaitable)

    def operation():
        event.emit(sender, value, keyword=value)
        assert drain(timeout=60)

    yield operation, sender, value, owner


@scenario(cost=5)
def raised_in_the_background():
    event, sender = event_for(fail, fail_later), object()

    def operation():
        event.emit(sender)
        assert drain(timeout=60)

    yield operation, sender, event


@scenario(cost=5)
def drained_with_a_timeout():
    event, sender = event_for(later), object()

    def operation():
        event.emit(sender)
        drain(timeout=0)
        assert drain(timeout=60)

    yield operation, sender, event


@scenario(cost=5)
def in_a_loop_that_is_named():
    event, sender = event_for(at_once, later), object()

    async def operation():
        use_loop(asyncio.get_running_loop())
        await asyncio.to_thread(event.emit, sender)
        assert await drain_async(timeout=60)
        use_loop(None)

    yield operation, sender, event


@scenario(cost=5)
def in_a_loop_that_is_named_and_closed():
    event, sender = event_for(at_once, later), object()
    loop = asyncio.new_event_loop()
    loop.close()

    def operation():
        use_loop(loop)
        event.emit(sender)
        assert drain(timeout=60)
        use_loop(None)

    yield operation, sender, event


# Awaited


@scenario
def awaited_of_sync_handlers():
    event, sender = event_for(echo, generate), object()
    yield emitting(event, sender, 1, key=2), sender, event


@scenario
def awaited():
    owner, sender, value = Owner(), object(), object()
    event = event_for(at_once, later, owner.method, owner, several, awaitable, echo, generate)
    event.connect(later, "text")
    event.connect(at_once, sender, priority=1, condition=lambda sender, **kwargs: True)
    yield emitting(event, sender, value, key=value), sender, value, owner


@scenario
def awaited_with_many_arguments():
    owner, sender, value = Owner(), object(), object()
    event = event_for(owner.method, at_once, with_event=True)
    many, names = [value] * 40, dict.fromkeys(map(str, range(40)), value)
    yield emitting(event, sender, *many, **names), sender, value, owner, event


@scenario
def awaited_one_by_one():
    owner, sender, value = Owner(), object(), object()
    event = event_for(at_once, later, owner.method, several, awaitable, echo, generate)
    event.sequential = True
    yield emitting(event, sender, value, key=value), sender, value, owner


@scenario
def awaited_as_pairs_or_up_to_the_first():
    owner, sender, value = Owner(), object(), object()
    event = event_for(owner.method, at_once, later, awaitable, echo)

    async def operation():
        for event.sequential in (False, True):
            await event.send_async(sender, value)
            await event.first_async(sender, value, default=value)

    yield operation, sender, value, owner


@scenario
def raised_one_by_one():
    event, sender = event_for(at_once, later, fail_later, fail), object()
    event.sequential = True
    yield raising(emitting(event, sender)), sender, event


@scenario
def awaited_in_tiers():
    event, sender = Event("x"), object()
    for priority, handler in enumerate((at_once, later, echo, several)):
        event.connect(handler, priority=priority)
    yield emitting(event, sender), sender, event


@scenario
def awaited_once():
    event, sender = Event("x"), object()

    async def operation():
        event.connect(later, once=True)
        event.connect(at_once, sender, once=True)
        other = asyncio.ensure_future(event.emit_async(sender))
        await event.emit_async(sender)
        await other

    yield operation, sender, event
    assert event.handlers == []


@scenario
def awaited_by_name():
    names, sender = Namespace(), object()
    names.event("x").connect(later)
    names.event("*").connect(at_once, sender, with_event=True)
    count = 0

    async def operation():
        nonlocal count
        count += 1
        await names.emit_async("x", sender, key=1)
        await names.emit_async(f"unmade {count % 9}", sender)  # the namespace caches some of these names

    yield operation, sender, names


@scenario
def awaited_and_cancelled_by_false():
    events, sender = [event_for(refuse, at_once), event_for(refuse_later, later)], object()
    for event in events:
        event.connect(echo, priority=-1)

    async def operation():
        for event in events:
            results = await event.emit_async(sender)
            assert results.event is event

    yield operation, sender, *events


@scenario
def awaited_and_raised():
    event, sender = event_for(fail), object()
    yield raising(emitting(event, sender)), sender, event


@scenario
@silent
def awaited_and_raised_later():
    event, sender = event_for(later, fail_later, fail, fail_later), object()
    yield raising(emitting(event, sender)), sender, event


@scenario
@silent
def awaited_and_raised_in_place():
    event, sender = event_for(later, fail, fail_in_place, later), object()
    yield raising(emitting(event, sender)), sender, event


@scenario
def awaited_and_grouped():
    event, sender = event_for(later, fail, fail_later, fail_in_place), object()
    event.on_error = "group"
    yield raising(emitting(event, sender)), sender, event


@scenario
def awaited_and_given_to_a_callable():
    event, sender = event_for(later, fail, fail_later, fail_in_place), object()
    event.on_error = lambda *args: None
    yield emitting(event, sender), sender, event


@scenario
@silent
def awaited_and_a_callable_raises():
    event, sender = event_for(later, fail, fail_later), object()

    def policy(error, handler, event, sender):
        raise Error  # not the given exception, which refers to this frame

    event.on_error = policy
    yield raising(emitting(event, sender)), sender, event


@scenario
@silent
def awaited_and_raised_through_all():
    event, sender = event_for(later, much_later, fail, fatal_later), object()
    event.on_error = "group"
    operation = raising(emitting(event, sender))

    async def quiet():
        await operation()
        await asyncio.sleep(0)

    yield quiet, sender, event


@scenario
def awaited_and_cancelled():
    event, sender = event_for(at_once, later, much_later), object()

    async def operation():
        task = asyncio.ensure_future(event.emit_async(sender))
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    yield operation, sender, event


@scenario
def awaited_and_cancelled_in_a_wait():
    async def wait(sender):
        await asyncio.wait([asyncio.get_running_loop().create_future()])

    event, sender = event_for(wait, wait), object()

    async def operation():
        task = asyncio.ensure_future(event.emit_async(sender))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    yield operation, sender, event


@scenario
def cancelled_before_it_began():
    event, sender = event_for(later), object()

    async def operation():
        task = asyncio.ensure_future(event.emit_async(sender))
        task.cancel()
        await asyncio.sleep(0)
        event.emit_async(sender).close()

    yield operation, sender, event


@scenario
def closed_while_it_waits():
    event, sender = event_for(much_later), object()

    async def operation():
        emission = event.emit_async(sender)
        emission.send(None)
        emission.close()
        for _ in range(3):
            await asyncio.sleep(0)

    yield operation, sender, event


@scenario
def handlers_that_cancel_their_own_task():
    async def cancel(sender):
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    event, sender = event_for(later, cancel), object()
    yield raising(emitting(event, sender)), sender, event


@scenario
def nested():
    inner, sender = event_for(later, at_once), object()

    async def between(sender):
        return await inner.emit_async(sender)

    event = event_for(between, at_once, between)
    yield emitting(event, sender), sender, event, inner


@scenario(cost=10_000, cyclic=True)
def runaway_recursion():
    warnings.simplefilter("ignore")  # there may be no stack left to await a handler
    event, sender, limit = Event("x"), object(), sys.getrecursionlimit()
    sys.setrecursionlimit(120)

    async def again(sender):
        await event.emit_async(sender)

    event.connect(again)
    yield raising(emitting(event, sender)), sender, event
    sys.setrecursionlimit(limit)
    warnings.resetwarnings()


# In threads


def in_one_thread(function):
    """A scenario whose loop has one thread for handlers."""

    def scenario():
        with ThreadPoolExecutor(1) as pool:
            asyncio.get_event_loop().set_default_executor(pool)
            yield from function()

    scenario.__name__ = function.__name__
    return scenario


@scenario(cost=20)
@in_one_thread
def in_threads():
    sender, value = object(), object()
    event = event_for(echo, generate, thread=True)
    event.connect(later, thread=True)
    yield emitting(event, sender, value, key=value), sender, value


@scenario(cost=20)
@silent
@in_one_thread
def raised_in_threads():
    event, sender = event_for(echo, fail_in_place, thread=True), object()
    yield raising(emitting(event, sender)), sender, event


@scenario(cost=20)
@in_one_thread
def cancelled_in_threads():
    event, sender = event_for(echo, generate, thread=True), object()

    async def operation():
        task = asyncio.ensure_future(event.emit_async(sender))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await asyncio.to_thread(int)  # the thread has finished the others

    yield operation, sender, event


if __name__ == "__main__":
    sys.exit(main())
