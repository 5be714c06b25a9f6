"""A news feed with Starlette: every emission goes to the browsers that listen.

Run it: uvicorn --app-dir examples/web --timeout-graceful-shutdown 1 starlette_feed:app
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from cyevents import Event, Stream, drain_async, event, on, use_loop

news: Event[str] = event("news", doc="A piece of news: the topic is the sender, the text a keyword.")
archive: list[str] = []


@on("news")
async def keep(topic: str, *, text: str) -> None:
    """Archive the news, after the request that published it has been answered."""
    await asyncio.sleep(0.2)
    archive.append(text)
    print(f"archived {text}", flush=True)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Name the loop for threads, and finish scheduled handlers at shutdown."""
    use_loop(asyncio.get_running_loop())
    yield
    await drain_async(timeout=10)
    use_loop(None)


async def publish(request: Request) -> JSONResponse:
    """Send a piece of news to all listening browsers."""
    text = (await request.body()).decode()
    news.emit(request.path_params["topic"], text=text)
    return JSONResponse({"listening": len(listening)}, status_code=202)


listening: set[Stream[str]] = set()


async def listen(request: Request) -> StreamingResponse:
    """Stream the news of a topic to one browser until it disconnects."""
    topic = request.path_params["topic"]
    stream = news.stream(topic, buffer=100, overflow="drop_oldest")

    async def lines() -> AsyncIterator[str]:
        listening.add(stream)
        try:
            async with stream:
                yield ": welcome\n\n"
                async for emission in stream:
                    yield f"data: {json.dumps(emission.kwargs)}\n\n"
        finally:
            listening.discard(stream)

    return StreamingResponse(lines(), media_type="text/event-stream")


app = Starlette(
    routes=[Route("/{topic}", publish, methods=["POST"]), Route("/{topic}", listen)],
    lifespan=lifespan,
)
