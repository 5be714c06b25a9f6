"""Run every program of examples/: requests to the servers, tasks for the worker, a clean end."""

import json
import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "examples" / "web"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to end a program with")


# FastAPI and Starlette


@pytest.fixture
def fastapi_shop(needs, start):
    needs("fastapi", "uvicorn")
    return start("uvicorn --app-dir examples/web fastapi_shop:app", "--port", 0)


def order(shop, item, quantity):
    status, text = shop.ask("POST", "/orders", json.dumps({"item": item, "quantity": quantity}))
    return status, json.loads(text)


def test_fastapi_returns_results_of_handlers(fastapi_shop):
    assert order(fastapi_shop, "tea", 2) == (201, {"id": 1, "price": 9.0, "days": 2})
    assert order(fastapi_shop, "tea", 5000) == (422, {"detail": "refused by check_customer"})
    assert order(fastapi_shop, "coffee", 5) == (409, {"detail": "there is not enough coffee"})
    assert order(fastapi_shop, "tea", 0)[0] == 422
    assert fastapi_shop.ask("POST", "/orders/9/ship")[0] == 404
    fastapi_shop.end()
    assert "Application shutdown complete" in fastapi_shop.output


def test_fastapi_finishes_scheduled_handlers_at_its_end(fastapi_shop):
    for item in ("tea", "coffee", "tea", "tea"):
        order(fastapi_shop, item, 1)
    for number in (1, 2):
        assert fastapi_shop.ask("POST", f"/orders/{number}/ship")[0] == 202
    for number in (3, 4):  # handled in threads, but in one loop: they wait for one lock
        assert fastapi_shop.ask("POST", f"/orders/{number}/collect")[0] == 202
    fastapi_shop.end()
    for number in (1, 3, 4):
        assert f"mail: order {number} is on its way" in fastapi_shop.output
    assert "'order.shipped' failed for Order(id=2, item='coffee'" in fastapi_shop.output
    assert fastapi_shop.output.count("ConnectionError: the mail server is down") == 1
    assert fastapi_shop.output.count("Traceback") == 1
    assert fastapi_shop.output.index("ConnectionError") < fastapi_shop.output.index("Application shutdown complete")


@pytest.mark.parametrize("has_listener", [True, False])
def test_starlette_streams_emissions_to_listeners(needs, start, has_listener):
    needs("starlette", "uvicorn")
    command = "uvicorn --app-dir examples/web --timeout-graceful-shutdown 1 starlette_feed:app"
    feed = start(command, "--port", 0)
    browser = feed.connect()
    browser.request("GET", "/weather")
    with browser.getresponse() as answer:
        assert answer.readline() == b": welcome\n"
        for topic, text in (("sports", "goal"), ("weather", "rain"), ("weather", "sun")):
            assert feed.ask("POST", f"/{topic}", text) == (202, '{"listening":1}')
        lines = [answer.readline() for _ in range(4)]
        assert lines == [b"\n", b'data: {"text": "rain"}\n', b"\n", b'data: {"text": "sun"}\n']
        if has_listener:
            feed.end()
    browser.close()
    if not has_listener:
        while feed.ask("POST", "/sports", "goal") != (202, '{"listening":0}'):  # until the server notices
            pass
        feed.ask("POST", "/weather", "storm")
        feed.end()
    archived = {line.removeprefix("archived ") for line in feed.output.splitlines() if line.startswith("archived ")}
    assert archived == {"goal", "rain", "sun"} | ({"storm"} if not has_listener else set())
    assert "Application shutdown complete" in feed.output


# Flask


def use_flask_shop(shop):
    assert shop.ask("POST", "/orders", item="tea", quantity=2) == (201, '{"price":9.0}\n')
    assert shop.ask("POST", "/orders", item="tea", quantity=5000) == (422, '{"refused_by":"validate"}\n')
    assert shop.ask("POST", "/orders", item="tea")[0] == 400
    assert shop.ask("POST", "/orders", item="tea", quantity="many")[0] == 500
    assert shop.ask("POST", "/orders", item="coffee", quantity=1)[0] == 201
    assert shop.end() == 0
    assert "mail: 2 of tea" in shop.output
    assert "mail: 1 of coffee" in shop.output
    assert shop.output.count("request.failed: /orders: ValueError(") == 1


@pytest.mark.parametrize("command", ["python", "python -m cyevents.blinker"])
def test_flask(needs, start, command):
    needs("flask", "waitress")
    use_flask_shop(start(f"{command} examples/web/flask_shop.py", 0))


def test_flask_in_several_processes(needs, start):
    needs("flask", "gunicorn")
    command = "gunicorn --chdir examples/web flask_shop:app"
    use_flask_shop(start(command, "--bind", "127.0.0.1:0", "--workers", 2, "--preload"))


# Django


@pytest.mark.parametrize("command", ["uvicorn django_shop.asgi:application", "gunicorn django_shop.wsgi:application"])
def test_django(needs, start, environment, command):
    server = command.partition(" ")[0]
    needs("django", server)
    assert (
        start("python -m django migrate --settings django_shop.settings --run-syncdb --verbosity 0", cwd=WEB).wait()
        == 0
    )
    arguments = ["--port", 0] if server == "uvicorn" else ["--bind", "127.0.0.1:0", "--workers", 2, "--preload"]
    shop = start(command, *arguments, cwd=WEB)
    answers = [
        ("/place", "tea", 2, 200, {"id": 1, "notes": ["booked"]}),
        ("/place", "tea", 5000, 409, {"error": "refused by limit"}),
        ("/place", "antimatter", 1, 409, {"error": "there is no account for antimatter"}),
        ("/place-async", "antimatter", 1, 409, {"error": "there is no account for antimatter"}),
        ("/place-async", "cake", 1, 200, {"id": 2, "notes": ["booked", "mailed"]}),
        ("/place", "coffee", 1, 200, {"id": 3, "notes": ["booked"]}),
    ]
    for path, item, quantity, status, answer in answers:
        got, text = shop.ask("POST", path, item=item, quantity=quantity)
        assert (got, json.loads(text)) == (status, answer), path
    assert shop.end() == (-signal.SIGTERM if server == "uvicorn" else 0)  # uvicorn ends like the signal
    for item in ("tea", "cake", "coffee"):
        assert f"mailed {item}" in shop.output
    with closing(sqlite3.connect(environment["SHOP_DATABASE"])) as database:
        rows = database.execute("select text, count(*) from shop_note group by text order by text").fetchall()
    assert rows == [("booked", 3), ("mailed", 3)]


# Celery


def test_celery(needs, start, environment):
    needs("celery")
    folder = ROOT / "examples" / "worker"
    worker = start("celery -A celery_shop worker --loglevel INFO", "--max-tasks-per-child", 1, cwd=folder)
    worker.wait_for(r"celery@\S+ ready")
    shop = start("python celery_shop.py", "12", cwd=folder)
    assert shop.wait() == 0, shop.output
    assert shop.output == "['invoice 12 sent']"
    many = "import celery_shop; print(celery_shop.make_invoices.delay(list('abc')).get(timeout=30))"
    client = start("python", "-c", many, cwd=folder)
    assert client.wait() == 0, client.output
    assert client.output.isdigit()
    assert int(client.output) != worker.process.pid
    assert worker.end() == 0
    mails = Path(environment["SHOP_QUEUE"], "mails").read_text().split()
    assert sorted(mails) == ["12", "a", "b", "c"]  # including the forked process that ended after its task


# Scripts


@pytest.fixture
def unreadable(tmp_path):
    """Return a file that not even root can read."""
    path = tmp_path / "unreadable"
    if not Path("/proc/self/mem").exists():
        pytest.skip("root reads any file here")
    path.symlink_to("/proc/self/mem")
    return path


def test_checksums(start, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    script = start("python examples/checksums.py", tmp_path)
    assert script.wait() == 0
    assert sorted(script.output.splitlines(), key=lambda line: line[-1]) == ["ca978112ca1b  a", "3e23e8160039  b"]


def test_checksums_of_unreadable_files(start, unreadable):
    (unreadable.parent / "b").write_text("b")
    script = start("python examples/checksums.py", unreadable.parent)
    assert script.wait() == 1
    failure, output = sorted(script.output.splitlines())
    assert output == "3e23e8160039  b"
    assert str(unreadable) in failure


# Windows


def test_qt_window(needs, start):
    needs("PySide6")
    if sys.version_info < (3, 12):
        pytest.skip("PySide6 6.12 ends with a fatal error on Python 3.11, with or without cyevents")
    loading = start("python", "-c", "import PySide6.QtWidgets")
    if loading.wait() != 0:
        pytest.skip(f"PySide6 does not load: {loading.output.splitlines()[-1]}")
    window = start("python examples/windows/qt_progress.py", "--close", QT_QPA_PLATFORM="offscreen")
    assert window.wait() == 0, window.output
    assert "download: 100 %, shown by MainThread" in window.output


def test_tk_window(start):
    pytest.importorskip("tkinter")
    opening = start("python", "-c", "import tkinter; tkinter.Tk()")
    if opening.wait() != 0:
        pytest.skip(f"no display: {opening.output.splitlines()[-1]}")
    window = start("python examples/windows/tk_progress.py", "--close")
    assert window.wait() == 0, window.output
    assert window.output == "download: 100 %, shown by MainThread"


@pytest.mark.slow
def test_tk_progress_without_a_display(start):
    pytest.importorskip("tkinter")
    driver = """if True:
        import threading, tkinter, tk_progress
        root = tkinter.Tcl()  # the loop of Tcl, without windows
        progress = tk_progress.Progress(root)
        threading.Thread(target=tk_progress.work, args=("download",)).start()
        while progress.text.get() != "download is done":
            root.tk.dooneevent(0)
        assert progress.percent.get() == 100
    """
    progress = start("python", "-c", driver, cwd=ROOT / "examples" / "windows")
    assert progress.wait() == 0, progress.output
    assert progress.output == "download: 100 %, shown by MainThread"


# The examples' own tests


@pytest.mark.slow
def test_example_tests(start):
    tests = start("python -m pytest examples/testing", "-p", "no:cacheprovider")
    assert tests.wait() == 0, tests.output
    assert "11 passed" in tests.output


def test_example_tests_of_fastapi(needs, start):
    needs("fastapi", "httpx2")
    tests = start("python -m pytest examples/web", "-p", "no:cacheprovider")
    assert tests.wait() == 0, tests.output
    assert "4 passed" in tests.output


def test_every_program_is_tested():
    here = Path(__file__).read_text("utf-8")
    others = {"orders.py", "async_pages.py"}  # these run without arguments: see test_documentation.py
    for path in (ROOT / "examples").rglob("*.py"):
        name = path.parent.name if path.parent.name in ("django_shop", "testing") else path.stem.removeprefix("test_")
        assert name in here or path.name in others, path
