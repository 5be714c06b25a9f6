"""Races of requests to a Flask application whose signals come from blinker or from cyevents.blinker."""

import importlib
import importlib.util
import sys

from .contestants import load_contestants
from .timing import race, stopwatch

RECEIVERS = (0, 1, 10)
NAMES = ("blinker", "cyevents.blinker")
SIGNALS = (
    "appcontext_pushed",
    "request_started",
    "message_flashed",
    "before_render_template",
    "template_rendered",
    "request_finished",
    "request_tearing_down",
    "appcontext_tearing_down",
    "appcontext_popped",
    "got_request_exception",
)


def skip_reason():
    """Return why this race cannot run here, or the empty string."""
    for name in ("flask", "blinker"):
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed"
    return load_contestants()[1].get("cyevents.blinker", "")


def flask_over(blinker):
    """Import a separate copy of Flask, whose signals are those of the given module."""

    def modules():
        return {name: sys.modules[name] for name in list(sys.modules) if name.split(".")[0] in ("flask", "blinker")}

    before = modules()
    for name in before:
        del sys.modules[name]
    sys.modules["blinker"] = blinker
    try:
        return importlib.import_module("flask")
    finally:
        for name in modules():
            del sys.modules[name]
        sys.modules.update(before)


def receiver():
    """Return a new function that receives any signal."""

    def receive(sender, **kwargs):
        pass

    return receive


class FlaskApplication:
    """A Flask application with a number of receivers for each of Flask's signals."""

    def __init__(self, flask, receivers):
        from jinja2 import DictLoader

        self.flask = flask
        self.app = flask.Flask("benchmark")
        self.app.secret_key = "benchmark"
        self.app.jinja_loader = DictLoader({"page.html": "Hello, {{ name }}!"})
        self.app.add_url_rule("/", view_func=self.page)
        self.client = self.app.test_client(use_cookies=False)
        self.signals = [getattr(flask, name) for name in SIGNALS]
        self.receivers = []  # the signals hold them weakly
        for signal in self.signals:
            for _ in range(receivers):
                self.receivers.append(signal.connect(receiver()))

    def page(self):
        self.flask.flash("hello")
        return self.flask.render_template("page.html", name="Ada")

    def verify(self):
        """Check that a request is answered and calls each receiver once, except those of exceptions."""
        calls = 0
        codes = {receiver.__code__ for receiver in self.receivers}

        def profile(frame, event, _):
            nonlocal calls
            calls += event == "call" and frame.f_code in codes

        sys.setprofile(profile)
        try:
            answer = self.client.get("/")
        finally:
            sys.setprofile(None)
        expected = len(self.receivers) // len(SIGNALS) * (len(SIGNALS) - 1)
        if (answer.text, calls) != ("Hello, Ada!", expected):
            raise AssertionError(f"Flask answers {answer.text!r}, and {calls} receivers are called, not {expected}")

    def request(self):
        """Return a stopwatch of whole requests."""
        return stopwatch("get('/')", get=self.client.get)

    def sends(self):
        """Return a stopwatch of the signals of a request, sent as Flask sends them."""
        names = {f"s{number}": signal for number, signal in enumerate(self.signals[:-1])}
        statement = "\n".join(f"{name}.send(app, _async_wrapper=app.ensure_sync, template=None)" for name in names)
        return stopwatch(statement, app=self.app, **names)


def flask_race(receivers, seconds, whole=True):
    """Race whole requests, or only the signals that they send."""
    present, _ = load_contestants()
    applications = {name: FlaskApplication(flask_over(present[name].library), receivers) for name in NAMES}
    for one in applications.values():
        one.verify()
    return race({name: one.request() if whole else one.sends() for name, one in applications.items()}, seconds)
