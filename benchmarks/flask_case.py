"""A Flask application under load, with receivers for all its signals: over blinker, and over cyevents.blinker."""

import importlib
import importlib.util
import sys

from .contestants import muster
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


def why_not():
    """The reason why there is no such race here, or the empty string."""
    for name in ("flask", "blinker"):
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed"
    return muster()[1].get("cyevents.blinker", "")


def flask_over(blinker):
    """A Flask of its own, whose signals are those of this module."""

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
    """A receiver of any signal, as one writes it; each is a function of its own."""

    def receive(sender, **kwargs):
        pass

    return receive


class Loaded:
    """An application with so many receivers for each of Flask's signals."""

    def __init__(self, flask, receivers):
        from jinja2 import DictLoader

        self.flask = flask
        self.app = flask.Flask("benchmark")
        self.app.secret_key = "benchmark"
        self.app.jinja_loader = DictLoader({"page.html": "Hello, {{ name }}!"})
        self.app.add_url_rule("/", view_func=self.page)
        self.client = self.app.test_client(use_cookies=False)
        self.signals = [getattr(flask, name) for name in SIGNALS]
        self.receivers = []  # which are held by nothing else
        for signal in self.signals:
            for _ in range(receivers):
                self.receivers.append(signal.connect(receiver()))

    def page(self):
        self.flask.flash("hello")
        return self.flask.render_template("page.html", name="Ada")

    def prove(self):
        """See that a request is answered, and tells each receiver once; all but those of exceptions."""
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
        """A stopwatch of whole requests."""
        return stopwatch("get('/')", get=self.client.get)

    def sends(self):
        """A stopwatch of what a request sends, as Flask sends it."""
        names = {f"s{number}": signal for number, signal in enumerate(self.signals[:-1])}
        statement = "\n".join(f"{name}.send(app, _async_wrapper=app.ensure_sync, template=None)" for name in names)
        return stopwatch(statement, app=self.app, **names)


def flask_race(receivers, seconds, whole=True):
    """Race requests to applications with so many receivers for each signal, or only what these requests send."""
    present, _ = muster()
    loaded = {name: Loaded(flask_over(present[name].library), receivers) for name in NAMES}
    for one in loaded.values():
        one.prove()
    return race({name: one.request() if whole else one.sends() for name, one in loaded.items()}, seconds)
