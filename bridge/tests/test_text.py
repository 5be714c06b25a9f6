"""What is shown of addresses, names and errors: one short line each, and nothing secret."""

import importlib
import logging

import pytest


@pytest.fixture
def text(api):
    return importlib.import_module("cyevents_bridge._text")


@pytest.fixture
def address(api):
    return importlib.import_module("cyevents_bridge.engine").Address


HOSTILE = ["x\n2026-01-01 ERROR forged", "\x1b[31mred", "a\u202eb", "\r", "\ud800", "y" * 1_000_000]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_names_and_errors_are_one_short_line(text, hostile):
    for shown in (text.quoted(hostile), text.one_line(hostile), text.error_text(ValueError(hostile))):
        assert shown.isprintable()
        assert len(shown) < 600
    assert text.quoted("order.placed") == "'order.placed'"
    assert text.error_text(ValueError("no")) == "ValueError: no"
    assert text.error_text(ValueError()) == "ValueError"


def test_an_error_that_cannot_be_shown(text):
    class Broken(Exception):
        def __str__(self):
            raise ZeroDivisionError

    assert text.error_text(Broken()).endswith("Broken: (its message cannot be shown)")


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("where", ["message", "note", "cause", "group", "source"])
def test_a_logged_exception_forges_no_line(text, caplog, hostile, where):
    def fail():
        error = ValueError(hostile if where == "message" else "no")
        if where == "source":
            raise SyntaxError("invalid syntax", ("<unknown>", 1, 1, hostile))
        if where == "note":
            error.add_note(hostile)
        if where == "cause":
            raise error from KeyError(hostile)
        if where == "group":
            raise ExceptionGroup("some", [error, ValueError(hostile)])
        raise error

    logger = logging.getLogger("cyevents_bridge")
    try:
        fail()
    except Exception as error:
        text.log_exception(logger, logging.WARNING, "a handler raised", error)
    (record,) = caplog.records
    assert "in fail" in caplog.text  # the traceback is there
    lines = caplog.text.splitlines()
    assert not any(line.startswith("2026-01-01 ERROR forged") for line in lines)
    assert len(caplog.text) < 5000
    assert "\x1b" not in caplog.text
    assert "\u202e" not in caplog.text


def test_an_ordinary_exception_is_logged_with_its_traceback(text, caplog):
    try:
        raise ValueError("no")
    except ValueError as error:
        text.log_exception(logging.getLogger("cyevents_bridge"), logging.WARNING, "a handler raised", error)
        assert caplog.records[0].exc_info[1] is error


SECRETS = [
    ("nats://ada:s3cret@one:4222", "nats://one:4222"),
    ("nats://s3cret@one", "nats://one"),
    ("nats://a:b@one:1,nats://ada:s3cret@two:2", "nats://one:1,nats://two:2"),
    ("redis://:s3cret@one/0?password=s3cret", "redis://one/0"),
    ("amqp://ada:s3cret%2Fs3cret@one/%2F?s3cret=1", "amqp://one/%2F"),
]


@pytest.mark.parametrize(("given", "shown"), SECRETS)
def test_an_address_is_shown_without_secrets(address, given, shown):
    assert address.parse(given).safe == shown


WRONG = [
    "amqp://ada:s3/cret@one/vhost",  # what looks like a path has the rest of the password
    "amqp://ada:12/s3cret@one",
    "redis://:s3?cret@one",
    "redis://:s3#cret@one",
    "redis://:s3cret@s3cret@one",
    "nats://ada:s3crét@one",
    "nats://ada:s3cret\n@one",
    "nats://ada:s3 cret@one",
    "nats://ada:s3cret@one:s3cret",
    "nats://ada:s3cret@one:99999",
    "nats://ada:s3cret@[one",
    "nats://one,redis://ada:s3cret@two",
    "ada:s3cret@one",
    "//ada:s3cret@one",
    "s3cret",
    "",
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_address_is_not_shown(address, wrong):
    with pytest.raises(ValueError) as caught:
        address.parse(wrong)
    error = caught.value
    assert "cret" not in str(error)
    assert "crét" not in str(error)
    assert error.__suppress_context__ or error.__context__ is None


def test_an_address_that_is_no_text(address):
    with pytest.raises(TypeError, match="a broker's address must be a str, not bytes"):
        address.parse(b"nats://x")


def test_secrets_are_removed_from_what_a_client_says(address, text):
    at = address.parse("amqp://ada:s3%2Fcret@one?auth_token=t0ken")
    secrets = at.secrets_with({"password": "0ther", "user": "bob", "tls": object()})
    said = text.error_text(OSError("cannot reach amqp://ada:s3/cret@one or s3%2Fcret with t0ken, 0ther, bob"), secrets)
    assert said == "OSError: cannot reach amqp://ada:***@one or *** with ***, ***, bob"
