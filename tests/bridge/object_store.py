"""A store of objects on the loopback: as much of S3's interface as Tansu needs to keep its messages outside itself.

An object is replaced only by who has its last version, as S3 does it by `If-Match` and `If-None-Match`. All is in
memory. Tansu finds the end of a partition by the times of its objects, so no two of them are of the same millisecond.
"""

import asyncio
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

objects = {}  # by name: the contents, the version's mark, and when that was made
latest = 0  # milliseconds


def put(name, about, body):
    mark = objects[name][1] if name in objects else None
    wanted = about.get("if-match", mark)
    if wanted != mark or (mark is not None and about.get("if-none-match") == "*"):
        return 412, {}, b""
    global latest
    latest = max(latest + 1, time.time_ns() // 1_000_000)
    objects[name] = body, f'"{latest}"', datetime.fromtimestamp(latest / 1000, UTC)
    return 200, {"ETag": objects[name][1]}, b""


def get(name, about):
    if name not in objects:
        return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"
    body, mark, made = objects[name]
    known = {"ETag": mark, "Last-Modified": format_datetime(made, usegmt=True)}
    if about.get("if-none-match") == mark:
        return 304, known, b""
    if about.get("if-match", mark) != mark:
        return 412, known, b""
    if "range" in about:
        first, _, last = about["range"].removeprefix("bytes=").partition("-")
        start = int(first) if first else len(body) - int(last)
        end = min(int(last), len(body) - 1) if first and last else len(body) - 1
        return 206, {**known, "Content-Range": f"bytes {start}-{end}/{len(body)}"}, body[start : end + 1]
    return 200, known, body


def names(bucket, query):
    """Those that begin so, each with what is between that and the next delimiter, if one is given."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
    after = max(query.get("start-after", ""), query.get("continuation-token", ""))
    found, folders = [], set()
    for name in sorted(objects):
        key = name.removeprefix(f"{bucket}/")
        if key == name or not key.startswith(prefix) or key <= after:
            continue
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        if end >= 0:
            folders.add(key[: end + 1])
        else:
            body, mark, made = objects[name]
            moment = made.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            about = f"<ETag>{escape(mark)}</ETag><LastModified>{moment}</LastModified>"
            found.append(f"<Contents><Key>{escape(key)}</Key>{about}<Size>{len(body)}</Size></Contents>")
    found += [f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in sorted(folders)]
    result = f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(found)}</ListBucketResult>"
    return 200, {"Content-Type": "application/xml"}, result.encode()


def answer(method, target, about, body):
    address = urlsplit(target)
    name = unquote(address.path).strip("/")
    query = {key: each[0] for key, each in parse_qs(address.query, keep_blank_values=True).items()}
    if method == "PUT":
        return put(name, about, body)
    if method == "DELETE":
        objects.pop(name, None)
        return 204, {}, b""
    if method == "POST":  # several are to be deleted
        for each in ElementTree.fromstring(body).iter():
            if each.tag.endswith("Key"):
                objects.pop(f"{name}/{each.text}", None)
        return 200, {}, b"<DeleteResult></DeleteResult>"
    if "list-type" in query:
        return names(name, query)
    return get(name, about)


async def serve(reader, writer):
    try:
        while line := await reader.readline():
            method, target, _ = line.decode().split()
            about = {}
            while line := (await reader.readline()).decode().strip():
                key, _, value = line.partition(":")
                about[key.lower()] = value.strip()
            body = await reader.readexactly(int(about.get("content-length", 0)))
            status, head, content = answer(method, target, about, body)
            head["Content-Length"] = len(content)
            lines = [f"HTTP/1.1 {status} -", *(f"{key}: {value}" for key, value in head.items()), "", ""]
            writer.write("\r\n".join(lines).encode() + (b"" if method == "HEAD" else content))
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):  # who asked was killed
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
