"""Run every rule and every example of the events API's reference as written."""

import ast
import asyncio
import logging
import re
import runpy
import sys
import types
import weakref
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EXAMPLES = dict(
    re.findall(r"^## (.+?)\n\n```python\n(.*?)^```$", (HERE / "reference_examples.md").read_text("utf-8"), re.M | re.S)
)


@pytest.fixture
def example(api, monkeypatch):
    """Run an example by its title; return its names, including the stubs."""
    names = runpy.run_path(str(HERE / "reference_stubs.py"))
    names.update(__name__="example", event=api.event, on=api.on, emit=api.emit, emit_async=api.emit_async)
    for module in ("nitro", "nitro.domain", "nitro.domain.entities", "nitro.domain.entities.base_entity"):
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    sys.modules["nitro.domain.entities.base_entity"].Entity = names["Entity"]

    def run_example(title):
        code = compile(EXAMPLES[title], title, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        awaits = eval(code, names)
        if awaits is not None:
            asyncio.run(awaits)
        return types.SimpleNamespace(**names)

    return run_example


# The examples


def test_every_example_is_tested():
    assert len(EXAMPLES) == 26


def test_quick_reference(api, example):
    names = example("Quick Reference")
    assert names.results == []
    assert [connection.handler for connection in names.user_created.handlers] == [names.handler]
    assert (names.Event, names.Namespace, names.ANY) == (api.Event, api.Namespace, api.ANY)


def test_creating_events(api, example):
    names = example("Creating Events")
    assert isinstance(names.user_created, api.Event)
    assert names.evt1 is names.evt2 is names.user_created
    assert names.order_placed.__doc__ == "Fired when an order is successfully placed"


def test_naming_conventions(api, example):
    example("Naming Conventions")
    assert list(api.default_namespace) == [
        "created", "updated", "deleted",
        "user.created", "order.placed", "payment.failed",
        "user-registered", "order-shipped",
    ]  # fmt: skip


def test_basic_usage(example, capsys):
    names = example("Basic Usage")
    assert names.user_created.emit(names.user) == []
    assert capsys.readouterr().out == "Welcome ada@example.com!\nCreating profile for ada\n"


def test_sync_function(api, example, capsys):
    names = example("Sync Function")
    assert api.emit("order-placed", names.Order(id=7)) == ["logged"]
    assert capsys.readouterr().out == "Order 7 placed\n"


def test_async_function(api, example, run):
    names = example("Async Function")
    order = names.Order(customer_email="bob@example.com")
    assert api.emit("order-placed", order) == []
    assert api.drain(10)
    assert names.mails == [("bob@example.com", "Order confirmed")]

    async def main():
        return await api.emit_async("order-placed", order)

    assert run(main()) == ["email sent"]
    assert len(names.mails) == 2


def test_sync_generator(api, example, run):
    names = example("Sync Generator")
    order = names.Order(items=["a", "b"])
    assert api.emit("order-placed", order) == [["processed a", "processed b"]]

    async def main():
        return await api.emit_async("order-placed", order)

    assert run(main()) == [["processed a", "processed b"]]


def test_async_generator(api, example, run):
    names = example("Async Generator")
    order = names.Order(items=["a", "b"])
    assert api.emit("order-placed", order) == []
    assert api.drain(10)
    assert names.processed == ["a", "b"]

    async def main():
        return await api.emit_async("order-placed", order)

    assert run(main()) == [["update a", "update b"]]


def test_sender_filtering(api, example, capsys):
    names = example("Sender Filtering")
    api.emit("entity-updated", names.User(id="other"))
    assert capsys.readouterr().out == "Entity other updated\n"
    api.emit("entity-updated", names.admin_user)
    assert capsys.readouterr().out == "Entity admin-123 updated\nAdmin entity updated!\n"


def test_priority_execution(api, example, capsys):
    names = example("Priority Execution")
    good = names.User(email="eve@example.com")
    assert api.emit("user-registered", good) == [True]
    assert (good.role, good.saved, names.mails) == ("user", 1, [("eve@example.com", "Welcome!")])
    bad = names.User(email="nonsense")
    assert api.emit("user-registered", bad) == []
    assert capsys.readouterr().out == "Invalid email!\n"
    assert not hasattr(bad, "role")
    assert len(names.mails) == 1


def test_conditional_handlers(api, example, capsys):
    names = example("Conditional Handlers")
    api.emit("order-placed", names.Order(total=100, items=[]))
    assert capsys.readouterr().out == ""
    api.emit("order-placed", names.Order(total=501, items=[1] * 10))
    assert capsys.readouterr().out == "High value order: $501\n"
    api.emit("order-placed", names.Order(total=501, items=[1] * 11))
    assert capsys.readouterr().out == "High value order: $501\nProcessing bulk order\n"
    api.emit("user-login", names.User(username="ada"))
    api.emit("user-login", names.User(username="bob", subscription="basic"))
    assert capsys.readouterr().out == ""
    api.emit("user-login", names.User(username="eve", subscription="premium"))
    assert capsys.readouterr().out == "Welcome back, premium user eve!\n"


def test_handler_cancellation(api, example, capsys):
    names = example("Handler Cancellation")
    api.emit("order-placed", names.Order(total=10_001))
    assert capsys.readouterr().out == "⚠️ Fraud alert! Blocking order.\n"
    api.emit("order-placed", names.Order(total=10_000))
    assert capsys.readouterr().out == "Order confirmed!\n"


def test_emit_example(example, capsys):
    names = example("emit")
    calls = []

    @names.order_placed.connect
    def handler(sender, **kwargs):
        calls.append((sender, kwargs))
        return "handled"

    order = names.Order(customer_email="bob@example.com", total=5, customer_id="c-1")
    order.place_order()
    assert capsys.readouterr().out == "Handlers returned: ['handled']\n"
    assert calls == [(order, {}), (order, {"order_total": 5, "customer_id": "c-1"})]


def test_passing_data_to_handlers(example, capsys):
    names = example("Passing Data to Handlers")
    assert capsys.readouterr().out == ""
    names.emit("user-registered", names.user, welcome_bonus=100, referral_code="XYZ")
    assert capsys.readouterr().out == "Applying $100 bonus with code XYZ\n"


def test_emit_async_example(example, run, capsys):
    names = example("emit_async")
    order = names.Order(customer_email="bob@example.com", items=[{"product_id": "p1", "quantity": 2}])
    run(order.place_order_async())
    expected = re.search(r"# Output: (.+)", EXAMPLES["emit_async"])[1]
    assert capsys.readouterr().out == f"All handlers completed: {expected}\n"
    assert names.mails == [("bob@example.com", "Order confirmed")]
    assert names.stock == [("p1", 2)]


@pytest.mark.parametrize("title", ["event.emit", "event.emit_async"])
def test_both_ways_to_emit_are_equivalent(api, example, title):
    calls = []

    @api.on("user-created")
    def handler(*args, **kwargs):
        calls.append((args, kwargs))

    names = example(title)
    assert calls == [((names.user,), {})] * 2


def test_event_connect(example, capsys):
    names = example("event.connect")
    assert names.emit("user-created", names.user) == []
    assert capsys.readouterr().out == "User created: ada\n"
    assert [connection.priority for connection in names.user_created.handlers] == [5]


def test_creating_namespaces(api, example):
    names = example("Creating Namespaces")
    assert dict(names.auth_events) == {
        "login": names.login_event,
        "logout": names.logout_event,
        "password-reset": names.password_reset,
    }
    assert "login" not in api.default_namespace


def test_default_namespace(api, example):
    names = example("Default Namespace")
    assert names.default_namespace is api.default_namespace
    assert names.user_created is api.event("user-created") is api.default_namespace.event("user-created")


def test_filtering_events_by_pattern(api, example):
    names = example("Filtering Events by Pattern")
    assert names.user_events == {name: api.event(name) for name in ("user.created", "user.updated", "user.deleted")}
    assert names.all_events == {**names.user_events, "order.placed": api.event("order.placed")}


def test_complete_example_prints_what_the_reference_says(api, example, capsys):
    names = example("Complete Example")
    assert api.drain(10)
    printed = capsys.readouterr().out.splitlines()
    said = EXAMPLES["Complete Example"].partition("# Output:\n")[2].splitlines()
    expected = [line.removeprefix("# ") for line in said]
    assert len(expected) == 5
    asynchronous = "💳 Processing payment of $1500"  # printed in the background, at any position
    assert sorted(printed) == sorted(expected)
    printed.remove(asynchronous)
    expected.remove(asynchronous)
    assert printed == expected
    assert (names.order.status, names.order.saved) == ("placed", 1)


def test_complete_example_in_a_loop(api, example, run, capsys):
    names = example("Complete Example")
    assert api.drain(10)
    capsys.readouterr()
    paid = []

    @names.payment_processed.connect
    def remember(sender, **kwargs):
        paid.append(sender)

    async def main():
        names.order.place_order()
        assert paid == []
        await api.drain_async(10)

    run(main())
    assert capsys.readouterr().out.splitlines() == [
        "🚨 High value order: $1500",
        "📧 Sending confirmation to alice@example.com",
        "📦 Reducing stock for Widget",
        "Sync results: [True, ['inventory updated']]",
        "💳 Processing payment of $1500",
    ]
    assert paid == [names.order]


def test_complete_example_awaited(api, example, run, capsys):
    names = example("Complete Example")
    assert api.drain(10)
    capsys.readouterr()
    run(names.order.place_order_async())
    printed = capsys.readouterr().out.splitlines()
    assert printed.index("💳 Processing payment of $1500") in (2, 3)  # eager or not
    printed.remove("💳 Processing payment of $1500")
    assert printed == [
        "🚨 High value order: $1500",
        "📧 Sending confirmation to alice@example.com",
        "📦 Reducing stock for Widget",
        "All results: [True, 'payment complete', ['inventory updated']]",
    ]


def test_complete_example_cancelled(api, example, capsys):
    names = example("Complete Example")
    assert api.drain(10)
    capsys.readouterr()
    names.order.total = 0
    names.order.place_order()
    assert capsys.readouterr().out.splitlines()[0] == "❌ Invalid order - total must be > 0"
    assert names.emit(names.order_placed, names.order) == []


def test_event_naming(api, example):
    example("Event Naming")
    assert len(api.default_namespace) == 9
    assert "inventory.low-stock" in api.default_namespace


def test_handler_signatures(api, example, collect):
    names = example("Handler Signatures")
    collect()  # the handlers replaced by the next ones of the same name
    assert [connection.handler for connection in api.event("event").handlers] == [names.handler]
    assert api.emit("event", 1) == []
    with pytest.raises(TypeError, match="user_id"):  # as the example says: added keywords break it
        api.emit("event", 1, user_id=2, total=3)


def test_extracted_keywords(api):
    @api.on("event")
    def handler(sender, user_id, total, **kwargs):
        return user_id, total, kwargs

    assert api.emit("event", None, user_id=1, total=2, more=3) == [(1, 2, {"more": 3})]


def test_error_handling(api, example, capsys):
    names = example("Error Handling")

    @api.on("order-placed")
    def after(sender, **kwargs):
        return "ran"

    assert api.emit("order-placed", names.Order(customer_email="bob@example.com")) == ["ran"]
    assert names.mails == [("bob@example.com", "Confirmed")]
    assert api.emit("order-placed", names.Order()) == ["ran"]
    assert re.match("Email failed: .*customer_email", capsys.readouterr().out)


def test_testing(api, example):
    names = example("Testing")
    names.test_order_placed_handler()
    assert "test-order-placed" in api.default_namespace


# Creating events


def test_event_uses_the_default_namespace(api):
    created = api.event(name="created", doc="It was made.")
    assert isinstance(created, api.Event)
    assert (created.name, created.__doc__) == ("created", "It was made.")
    assert api.default_namespace["created"] is created


def test_same_name_same_instance(api):
    assert api.event("a") is api.event("a")
    assert api.event("a") is not api.event("b")


# Registering handlers


@pytest.mark.parametrize("by_name", [True, False])
def test_on_returns_the_function_unchanged(api, by_name):
    def handler(sender, **kwargs):
        return "called"

    assert api.on("x" if by_name else api.event("x"))(handler) is handler
    assert api.emit("x") == ["called"]


def test_on_takes_the_parameters_of_the_reference(api):
    class Sender:
        pass

    calls = []
    sender = Sender()
    api.on(evt="x", sender=sender, weak=False, priority=3, condition=lambda sender, **kw: kw["go"])(
        lambda sender, **kwargs: calls.append(sender)
    )
    api.emit("x", sender, go=False)
    api.emit("x", Sender(), go=True)
    assert calls == []
    api.emit("x", sender, go=True)
    assert calls == [sender]


def test_weak_handler_is_collected(api, collect):
    def handler(sender, **kwargs):
        return "called"

    api.on("x")(handler)
    assert api.emit("x") == ["called"]
    reference = weakref.ref(handler)
    del handler
    collect()
    assert reference() is None
    assert api.emit("x") == []


def test_weak_false_keeps_the_handler(api, collect):
    api.on("x", weak=False)(lambda sender, **kwargs: "called")
    collect()
    assert api.emit("x") == ["called"]


# Sender filtering


def test_any_matches_every_sender(api):
    class Sender:
        pass

    one, other = Sender(), Sender()

    @api.on("x")
    def default(sender, **kwargs):
        return "default"

    @api.on("x", sender=api.ANY)
    def everyone(sender, **kwargs):
        return "any"

    @api.on("x", sender=one)
    def special(sender, **kwargs):
        return "special"

    assert api.emit("x", one) == ["default", "any", "special"]
    assert api.emit("x", other) == ["default", "any"]
    assert api.emit("x") == ["default", "any"]


# Priority rules


def priorities(api, *given):
    calls = []
    for number, priority in enumerate(given):
        options = {} if priority is None else {"priority": priority}
        api.on("x", weak=False, **options)(lambda sender, label=(priority, number): calls.append(label))
    api.emit("x")
    return calls


def test_higher_numbers_execute_first(api):
    assert [priority for priority, _ in priorities(api, 1, 10, 5)] == [10, 5, 1]


def test_same_priority_executes_in_registration_order(api):
    assert priorities(api, 7, 7, 7) == [(7, 0), (7, 1), (7, 2)]


def test_default_priority_is_0(api):
    assert priorities(api, 0, None, 1, 0, None) == [(1, 2), (0, 0), (None, 1), (0, 3), (None, 4)]


def test_negative_priorities_are_allowed(api):
    assert [priority for priority, _ in priorities(api, -1, None, -5, 1)] == [1, None, -1, -5]


# Condition rules


def test_condition_gets_sender_and_kwargs_and_decides(api):
    checked = []

    def condition(sender, **kwargs):
        checked.append((sender, kwargs))
        return kwargs["go"]

    @api.on("x", condition=condition)
    def handler(sender, **kwargs):
        return "called"

    assert api.emit("x", 1, go=True) == ["called"]
    assert api.emit("x", 2, go=False) == []
    assert checked == [(1, {"go": True}), (2, {"go": False})]


def test_exception_in_a_condition_skips_the_handler(api, caplog):
    @api.on("x", condition=lambda sender, **kwargs: 1 / 0)
    def handler(sender, **kwargs):
        return "called"

    @api.on("x")
    def after(sender, **kwargs):
        return "after"

    with caplog.at_level(logging.DEBUG, "cyevents"):
        assert api.emit("x") == ["after"]
    assert caplog.records[0].name == "cyevents"


def test_conditions_are_evaluated_in_priority_order(api):
    log = []
    for priority in (1, 3, 2):
        api.on(
            "x",
            weak=False,
            priority=priority,
            condition=lambda sender, p=priority: log.append(("condition", p)) or True,
        )(lambda sender, p=priority: log.append(("handler", p)))
    api.emit("x")
    assert log == [(what, priority) for priority in (3, 2, 1) for what in ("condition", "handler")]


# Cancellation


def test_returning_false_stops_all_remaining_handlers(api, run):
    calls = []

    @api.on("x", priority=1)
    def refuse(sender, **kwargs):
        calls.append("refuse")
        return False

    @api.on("x")
    def never(sender, **kwargs):
        calls.append("never")

    @api.on("x", priority=-1)
    async def never_either(sender, **kwargs):
        calls.append("never")

    async def main():
        return await api.emit_async("x")

    api.emit("x")
    assert api.drain(10)
    run(main())
    assert calls == ["refuse"] * 2


# Emitting


@pytest.mark.parametrize("by_name", [True, False])
def test_emit_passes_sender_positionals_and_keywords(api, by_name):
    @api.on("x")
    def handler(sender, *args, **kwargs):
        return sender, args, kwargs

    assert api.emit("x" if by_name else api.event("x"), "me", 1, 2, a=3) == [("me", (1, 2), {"a": 3})]


def test_sender_is_any_by_default(api, run):
    @api.on("x")
    def handler(sender, **kwargs):
        return sender

    async def main():
        return await api.emit_async("x")

    assert api.emit("x") == run(main()) == [api.ANY]


def test_emit_schedules_async_handlers(api, run):
    calls = []

    @api.on("x")
    async def scheduled(sender, **kwargs):
        calls.append("async")
        return "async"

    @api.on("x")
    def immediate(sender, **kwargs):
        calls.append("sync")
        return "sync"

    async def main():
        assert api.emit("x") == ["sync"]
        assert calls == ["sync"]  # not awaited
        assert await api.drain_async(10)

    run(main())
    assert calls == ["sync", "async"]


def test_emit_works_without_a_loop_too(api):
    calls = []

    @api.on("x")
    async def scheduled(sender, **kwargs):
        calls.append(sender)

    assert api.emit("x", 1) == []
    assert api.drain(10)
    assert calls == [1]


def test_emit_async_returns_all_results(api, run):
    @api.on("x")
    def sync(sender, **kwargs):
        return "sync"

    @api.on("x")
    async def asynchronous(sender, **kwargs):
        return "async"

    @api.on("x")
    def generator(sender, **kwargs):
        yield "generated"

    @api.on("x")
    async def async_generator(sender, **kwargs):
        yield "async generated"

    async def main():
        return await api.emit_async("x")

    assert run(main()) == ["sync", "async", ["generated"], ["async generated"]]


def test_emit_async_awaits_in_parallel(api, run):
    log = []

    def make(label):
        async def handler(sender, **kwargs):
            log.append(f"{label} begins")
            await asyncio.sleep(0)
            log.append(f"{label} ends")

        return handler

    handlers = [api.on("x")(make(label)) for label in "ab"]

    async def main():
        await api.emit_async("x")

    run(main())
    assert len(handlers) == 2
    assert sorted(log[:2]) == ["a begins", "b begins"]
    assert sorted(log[2:]) == ["a ends", "b ends"]


def test_emit_async_executes_sync_handlers_immediately(api, run):
    log = []

    @api.on("x")
    async def asynchronous(sender, **kwargs):
        await asyncio.sleep(0)
        log.append("async done")

    @api.on("x")
    def sync(sender, **kwargs):
        log.append("sync")

    async def main():
        await api.emit_async("x")

    run(main())
    assert log == ["sync", "async done"]


# Event methods


def test_event_methods_take_the_documented_parameters(ns):
    class Sender:
        pass

    sender = Sender()
    evt = ns.event("x")

    def handler(sender, *args, **kwargs):
        return args, kwargs

    evt.connect(receiver=handler, sender=sender, weak=True, priority=2, condition=lambda sender, **kw: kw["go"])
    assert evt.emit(sender, 1, go=True) == [((1,), {"go": True})]
    assert evt.emit(sender, 1, go=False) == []
    assert evt.emit(Sender(), 1, go=True) == []


def test_event_emit_async_is_emit_async_of_the_event(ns, run):
    evt = ns.event("x")

    @evt.connect
    async def handler(sender, *args, **kwargs):
        return sender, args, kwargs

    async def main():
        return await evt.emit_async("me", 1, a=2), await ns.emit_async(evt, "me", 1, a=2)

    assert run(main()) == ([("me", (1,), {"a": 2})],) * 2


# Patterns


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", ["order.created", "order.placed", "user", "user.created", "users.created"]),
        ("user.*", ["user.created"]),
        ("*.created", ["order.created", "user.created", "users.created"]),
        ("nothing.*", []),
    ],
)
def test_filter_signals(api, pattern, names):
    for name in ("order.placed", "order.created", "user", "user.created", "users.created"):
        api.event(name)
    found = api.filter_signals(pattern)
    assert sorted(found) == names
    assert all(found[name] is api.event(name) for name in names)
    assert all(api.match(pattern, name) for name in names)
