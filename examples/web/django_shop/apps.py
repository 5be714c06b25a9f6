"""The app: connects its handlers when Django is ready."""

from django.apps import AppConfig


class Shop(AppConfig):
    """The shop."""

    name = "django_shop"
    label = "shop"

    def ready(self) -> None:
        """Import the handlers, which connects them; models can be imported now."""
        from . import handlers  # noqa: F401
