"""The application for ASGI servers: Django, plus the server's startup and shutdown, which Django ignores."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.core.asgi import get_asgi_application

from cyevents import drain_async, use_loop

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_shop.settings")
django = get_asgi_application()

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Pass requests to Django, and handle the server's startup and shutdown."""
    if scope["type"] != "lifespan":
        await django(scope, receive, send)
        return
    await receive()
    use_loop(asyncio.get_running_loop())  # runs the async handlers of sync views
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await drain_async(timeout=10)
    use_loop(None)
    await send({"type": "lifespan.shutdown.complete"})
