"""The Django how-to's emissions wait for the commit, whatever happens to the transaction."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "examples" / "web"

SETUP = """
import django
django.setup()
from django.core.management import call_command
from django.db import transaction
from django_shop.commits import placed_on_commit
from django_shop.events import order_placed
from django_shop.handlers import send_mail
from django_shop.models import Order

call_command("migrate", run_syncdb=True, verbosity=0)
order_placed.disconnect(send_mail)

@order_placed.connect
def note(order):
    assert not transaction.get_connection().in_atomic_block
    print(order, Order.objects.filter(item=order).count())

def place(item):
    Order.objects.create(item=item, quantity=1)
    order_placed.emit(item)

class Failed(Exception):
    pass
"""


@pytest.fixture
def output(needs, environment):
    """Return what a program of Django prints, and what it logs."""
    needs("django")

    def run(program):
        done = subprocess.run(
            [sys.executable, "-c", SETUP + textwrap.dedent(program)],
            env={**environment, "DJANGO_SETTINGS_MODULE": "django_shop.settings"},
            cwd=WEB,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines(), done.stderr

    return run


def test_emissions_wait_for_the_commit(output):
    program = """
        with placed_on_commit():
            place("tea")
            print("placed")
        place("cake")
    """
    assert output(program) == (["placed", "tea 1", "cake 1"], "")


def test_block_that_raises_emits_nothing(output):
    program = """
        with transaction.atomic():
            try:
                with placed_on_commit():
                    place("tea")
                    raise Failed
            except Failed:
                print("failed")
            with placed_on_commit():
                place("cake")
        place("coffee")
    """
    assert output(program) == (["failed", "cake 1", "coffee 1"], "")


def test_outermost_transaction_decides(output):
    program = """
        with transaction.atomic():
            with placed_on_commit():
                place("tea")
                with placed_on_commit():
                    place("cake")
            with placed_on_commit():
                place("coffee")
            print("placed")
    """
    assert output(program) == (["placed", "tea 1", "cake 1", "coffee 1"], "")


def test_outer_rollback_drops_and_logs_the_emissions(output):
    program = """
        try:
            with transaction.atomic():
                with placed_on_commit():
                    place("tea")
                raise Failed
        except Failed:
            print("failed")
        place("cake")
    """
    lines, logged = output(program)
    assert lines == ["failed", "cake 1"]
    assert "held emissions are lost" in logged
    assert logged.endswith("They are: emit('order.placed', 'tea')\n")


def test_held_around_a_transaction_emits_after_it(output):
    program = """
        with order_placed.held("last_per_sender"), transaction.atomic():
            place("tea")
            order_placed.emit("tea")
        try:
            with order_placed.held(), transaction.atomic():
                place("cake")
                raise Failed
        except Failed:
            print("failed")
    """
    assert output(program) == (["tea 1", "failed"], "")
