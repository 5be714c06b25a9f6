"""The recipes of docs/bridge/security.md: bridges work with them, and who only receives cannot publish events."""

import asyncio
import re
import shlex
import subprocess
from pathlib import Path

import pytest

import cyevents
from conftest import find
from cyevents_bridge import Bridge
from processes import until

RECIPES = Path(__file__).parent / "permissions"
DELIVERIES = ["at_most_once", "at_least_once"]


def make_bridge(address, user, group, delivery, **options):
    """Return a bridge of a new namespace, and the list of what arrives there. A handler raises for "poison"."""
    got, ns = [], cyevents.Namespace()

    def note(sender):
        got.append(sender)
        if sender == "poison":
            raise ValueError(sender)

    ns.event("order.*").connect(note, weak=False)
    name = {"username" if address.startswith("redis") else "user": user}
    options = {"password": "change-me", "backoff": (), "connect_timeout": 20, **name, **options}
    return Bridge(ns, address, ["order.*"], group=group, delivery=delivery, **options), ns, got


async def orders_arrive(shop, others, dead):
    """Check that all others get what the shop emits, and that what fails there goes to the dead letters."""
    bridge, ns, _ = shop
    async with bridge:
        for other, _, _ in others:
            await other.__aenter__()
        await ns.emit_async("order.placed", "ada")
        with ns.muted():  # here, but not elsewhere
            await ns.emit_async("order.placed", "poison")
        for other, _, got in others:
            await until(lambda got=got: got == ["ada", "poison"])
            await until(lambda other=other: other.stats.dead == 1)
            await other.__aexit__(None, None, None)
    assert bridge.stats.published == 2
    assert await dead() == len(others)


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_nats(start, run, delivery):
    import nats

    server = start("nats", "-c", str(RECIPES / "nats.conf"))

    def make(user):
        return make_bridge(server.address, user, user, delivery, inbox_prefix=f"_INBOX_{user}")

    async def main():
        for user in ("shop", "billing"):  # the streams and consumers
            async with make_bridge(server.address, "admin", user, "at_least_once")[0]:
                pass
        admin = await nats.connect(server.address, user="admin", password="change-me")
        letters = await admin.subscribe("cyevents-dead.>")
        events = await admin.subscribe("cyevents.>")
        await admin.flush()

        async def dead():
            return len([await letters.next_msg(5)])

        await orders_arrive(make("shop"), [make("billing")], dead)
        for _ in range(2):
            assert (await events.next_msg(5)).subject == "cyevents.order.placed"
        errors = asyncio.Queue()
        eve = await nats.connect(server.address, user="billing", password="change-me", error_cb=errors.put)
        forbidden = ["cyevents.order.placed", "cyevents.user.created", "$JS.API.STREAM.DELETE.cyevents"]
        forbidden += ["$JS.API.CONSUMER.CREATE.cyevents", "$JS.API.CONSUMER.MSG.NEXT.cyevents.shop"]
        for subject in forbidden:
            await eve.publish(subject, b"{}")
            assert "permissions violation for publish" in str(await errors.get()).lower()
        await eve.subscribe("_INBOX_shop.>")
        assert "permissions violation for subscription" in str(await errors.get()).lower()
        with pytest.raises(nats.errors.TimeoutError):
            await events.next_msg(0.2)
        await eve.close()
        await admin.close()

    run(main())


def major_version_of_redis():
    """Return 7 for Redis 7.0, or 0 if there is none."""
    program = find("redis-server")
    text = subprocess.run([program, "--version"], capture_output=True, text=True).stdout if program else "v=0."
    return int(re.search(r"v=(\d+)\.", text)[1])


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("group", [None, "billing"])
@pytest.mark.parametrize("version", [6, 7])
def test_redis(start, run, tmp_path, delivery, group, version):
    import redis.asyncio

    rules = (RECIPES / "redis.acl").read_text("utf-8")
    if version == 7:
        if 0 < major_version_of_redis() < 7:
            pytest.skip("rules with parentheses need Redis 7.0")
        rules += (RECIPES / "redis7.acl").read_text("utf-8")
    (tmp_path / "users.acl").write_text(rules)
    server = start("redis", "--aclfile", str(tmp_path / "users.acl"))
    user = "billing" if version == 7 else "shop"

    def client(user):
        return redis.asyncio.Redis.from_url(server.address, username=user, password="change-me")

    async def main():
        async with client("admin") as admin:

            async def dead():
                return await admin.xlen("{cyevents}:dead")

            shop = make_bridge(server.address, "shop", "shop", delivery)
            await orders_arrive(shop, [make_bridge(server.address, user, group, delivery)], dead)
        forbidden = [("DEL", "{cyevents}:events"), ("XADD", "other", "*", "event", "order.placed")]
        forbidden += [("PUBLISH", "cyevents.user.created", "x"), ("SUBSCRIBE", "other"), ("ACL", "LIST")]
        if user == "billing":
            forbidden += [
                ("XADD", "{cyevents}:events", "*", "event", "order.placed", "body", "x"),
                ("PUBLISH", "cyevents.order.placed", "x"),
                ("EVALSHA", "0" * 40, "1", "other"),
            ]
        async with client(user) as eve:
            for command in forbidden:
                with pytest.raises(redis.exceptions.NoPermissionError):
                    await eve.execute_command(*command)

    run(main())


@pytest.fixture(scope="module")
def rabbitmq(start):
    """A server with the queues of both groups, and the recipe's users."""
    server = start("amqp")
    for user in ("shop", "billing"):
        with make_bridge(server.address, "guest", user, "at_least_once", password="guest")[0]:
            pass
    for line in (RECIPES / "rabbitmq.sh").read_text("utf-8").splitlines():
        program, *arguments = shlex.split(line)
        assert program == "rabbitmqctl"
        server.ctl(*arguments)
    return server


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_rabbitmq(rabbitmq, run, delivery):
    import aiormq

    server = rabbitmq
    queues = [name for name in server.ctl("list_queues", "name").split() if name.startswith("cyevents")]

    async def main():
        guest = await aiormq.connect(server.address)
        channel = await guest.channel()
        for queue in queues:  # a group at least once also has what was published at most once
            await channel.queue_purge(queue)

        async def dead():
            return (await channel.queue_declare("cyevents-dead", passive=True)).message_count

        make = [make_bridge(server.address, user, user, delivery) for user in ("shop", "billing")]
        await orders_arrive(make[0], make[1:], dead)
        await guest.close()
        eve = await aiormq.connect(server.address.replace("//", "//billing:change-me@"))
        for exchange, key in (("cyevents", "order.placed"), ("cyevents-dead", "user.created")):
            channel = await eve.channel()
            with pytest.raises(aiormq.exceptions.ChannelAccessRefused):
                await channel.basic_publish(b"{}", exchange=exchange, routing_key=key)
        for queue in ("cyevents.group.shop", "cyevents.once.shop"):
            channel = await eve.channel()
            with pytest.raises(aiormq.exceptions.ChannelAccessRefused):
                await channel.basic_get(queue)
        await eve.close()
        shop = await aiormq.connect(server.address.replace("//", "//shop:change-me@"))
        channel = await shop.channel()
        with pytest.raises(aiormq.exceptions.ChannelAccessRefused):
            await channel.basic_publish(b"{}", exchange="cyevents", routing_key="user.created")
        await shop.close()

    run(main())
