"""Files: the bytes of artifacts, in and out by links that need no token (links.py).

::

    PUT   the bytes            POST  the same, as the `file` of a form
    GET   the bytes, or a range of them

What comes in goes to the disk a piece at a time, and is an artifact's only when it is all
there and has the checksum that was announced; whatever else happens, it is forgotten, and
may be sent again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any, BinaryIO, Final
from urllib.parse import quote

from litestar import Request, Response, get, head, post, put
from litestar.response import Stream
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from ..forms import Refused, answer, check_id
from ..links import Purpose
from ..parameters import Link
from ..shapes import Made
from ..store import ChecksumDiffers, NoSpace
from ..store.blobs import Upload

DIFFERENT: Final = "The SHA256 you specified did not match the calculated checksum."
"""Of bytes that are not those announced; clients look for this sentence."""

# Any bytes, and the file among the parts of a form.
OCTETS: Final = "application/octet-stream"
FORM: Final = "multipart/form-data"
# What a thread writes or reads at a time: enough to forget the cost of changing threads,
# little enough that a thousand transfers fit into memory (chosen).
PIECE: Final = 1 << 20
# Fields of a form beside the file; stores of others sign with a dozen.
FIELDS_MAX: Final = 64

_MIME_TYPE: Final = re.compile(r"[\w.+-]{1,127}/[\w.+-]{1,127}", re.ASCII)
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

# ---- In ---------------------------------------------------------------------------------


@put(
    "/files/{artifact:str}",
    status_code=200,
    request_max_body_size=None,
    query=Link,
    body=bytes,
    body_media=OCTETS,
    answer=Made,
)
async def put_file(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Take the bytes of an artifact."""
    return await _take(request, _pieces(request))


@post(
    "/files/{artifact:str}",
    status_code=200,
    request_max_body_size=None,
    query=Link,
    body=bytes,
    body_media=FORM,
    answer=Made,
)
async def post_file(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Take the bytes of an artifact as the part `file` of a form, or bare."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != "multipart/form-data":
        return await _take(request, _pieces(request))
    return await _take(request, _file(_pieces(request), options.get("boundary", "")))


async def _take(request: Request[Any, Any, Any], pieces: AsyncIterator[bytes]) -> Response[bytes]:
    artifact = _linked(request, "put")
    try:
        upload = await asyncio.to_thread(request.app.state.store.begin_upload, artifact)
        try:
            await _write(upload, request.headers.get("content-length"), pieces)
            await asyncio.to_thread(upload.finish)
        finally:
            await asyncio.to_thread(upload.discard)
    except KeyError:
        raise _missing(artifact) from None
    except NoSpace as error:
        raise Refused(507, str(error)) from None
    except MultipartError as error:
        raise Refused(400, f"this is not a form with a file: {error}") from None
    except ChecksumDiffers:
        raise Refused(400, DIFFERENT) from None
    return answer({"id": artifact})


async def _write(upload: Upload, length: str | None, pieces: AsyncIterator[bytes]) -> None:
    # Said before a gigabyte came in vain.  The HTTP parser has refused anything but digits.
    if length is not None:
        await asyncio.to_thread(upload.reserve, int(length))
    gathered: list[bytes] = []
    size = 0
    async for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= PIECE:
            await asyncio.to_thread(upload.write, b"".join(gathered))
            gathered, size = [], 0
    await asyncio.to_thread(upload.write, b"".join(gathered))


async def _pieces(request: Request[Any, Any, Any]) -> AsyncIterator[bytes]:
    """Yield the body as it comes; not by Litestar, which takes who hangs up for a fault of ours."""
    more = True
    while more:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the rest of the body did not come")
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def _file(pieces: AsyncIterator[bytes], boundary: str) -> AsyncIterator[bytes]:
    """Yield the bytes of the part `file` of a form."""
    if not boundary:
        raise MultipartError("its header names no boundary")
    found = inside = False
    with PushMultipartParser(boundary, max_segment_count=FIELDS_MAX) as parser:
        async for piece in pieces:
            # An empty piece would mean the end.
            for item in parser.parse(piece) if piece else ():
                if isinstance(item, MultipartSegment):
                    inside = item.name == "file"
                    found = found or inside
                elif inside and item:
                    yield bytes(item)
    if not found:
        raise MultipartError("it has no part called file")


# ---- Out --------------------------------------------------------------------------------


@get("/files/{artifact:str}", query=Link, answer=bytes, answer_media=OCTETS)
async def get_file(request: Request[Any, Any, Any]) -> Stream | Response[None]:
    """Answer the bytes of an artifact, all or the one range that is asked for.

    Where the storage answers clients itself, the answer (307) is an address there.
    """
    # A page may not read what another host sends, so what its scripts ask for comes from here.
    if request.headers.get("sec-fetch-mode", "navigate") == "navigate":
        elsewhere = await _elsewhere(request)
        if elsewhere is not None:
            headers = {"Location": elsewhere, "Cache-Control": "no-store"}
            return Response(None, status_code=307, headers=headers)
    file, size, headers = await _open(request)
    first, end = 0, size
    asked = request.headers.get("range")
    if asked is not None and request.headers.get("if-range", headers["ETag"]) == headers["ETag"]:
        first, end = _range(asked, size)
    status = 200
    if (first, end) != (0, size):
        status = 206
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - first)
    media_type = headers.pop("Content-Type")
    return Stream(
        _read(file, first, end), status_code=status, headers=headers, media_type=media_type
    )


@head("/files/{artifact:str}", query=Link, answer=bytes, answer_media=OCTETS)
async def head_file(request: Request[Any, Any, Any]) -> Response[None]:
    """Answer what a GET would, without the bytes."""
    file, size, headers = await _open(request)
    file.close()
    media_type = headers.pop("Content-Type")
    headers["Content-Length"] = str(size)
    return Response(None, headers=headers, media_type=media_type)


async def _elsewhere(request: Request[Any, Any, Any]) -> str | None:
    """Return where the storage itself has the bytes; None: they come from here."""
    artifact = _linked(request, "get")
    store = request.app.state.store
    found = await asyncio.to_thread(store.get_artifact, artifact)
    try:
        url: str | None = await asyncio.to_thread(
            store.artifact_url,
            artifact,
            _mime_type(found["mime_type"]),
            _disposition(found["name"]),
        )
    except KeyError:
        raise _missing(artifact) from None
    return url


async def _open(
    request: Request[Any, Any, Any],
) -> tuple[BinaryIO, int, dict[str, str]]:
    artifact = _linked(request, "get")
    store = request.app.state.store
    found = await asyncio.to_thread(store.get_artifact, artifact)
    try:
        file, size = await asyncio.to_thread(store.open_artifact, artifact)
    except KeyError:
        raise _missing(artifact) from None
    headers = {
        "Content-Type": _mime_type(found["mime_type"]),
        "Content-Disposition": _disposition(found["name"]),
        # Whatever a stranger has uploaded, a browser does not run it here; nor does it guess
        # what it is, which all our answers forbid (process.py).
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, no-cache",
        "Accept-Ranges": "bytes",
        "ETag": f'"{found["checksum"]}"',
    }
    return file, size, headers


async def _read(file: BinaryIO, first: int, end: int) -> AsyncIterator[bytes]:
    with file:
        await asyncio.to_thread(file.seek, first)
        while first < end:
            piece = await asyncio.to_thread(file.read, min(PIECE, end - first))
            if not piece:
                # Cut short on the disk: the connection breaks, and the client knows.
                return
            first += len(piece)
            yield piece


def _range(asked: str, size: int) -> tuple[int, int]:
    """Return the first byte that is asked for and the one behind the last."""
    match = _RANGE.fullmatch(asked.strip())
    if not match or match[1] == match[2] == "":
        # Several ranges, or another unit: all of it is a good answer to that.
        return 0, size
    if match[1] == "":
        first, end = max(0, size - int(match[2])), size
    else:
        first, end = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
    if first >= end:
        raise Refused(416, f"the file has {size} bytes", {"Content-Range": f"bytes */{size}"})
    return first, end


def _mime_type(text: str) -> str:
    return text if _MIME_TYPE.fullmatch(text) else "application/octet-stream"


def _disposition(name: str) -> str:
    """Say under which name to save a file: the last part of it, whatever is in it."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2] or "artifact"
    plain = re.sub(r"[^A-Za-z0-9 ._()-]", "_", last)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(last, safe='')}"


# ---- Both -------------------------------------------------------------------------------


def _linked(request: Request[Any, Any, Any], purpose: Purpose) -> str:
    """Return the artifact that the link of *request* is for; refuses (403) any other."""
    artifact = check_id(request.path_params["artifact"], "path", "id")
    if not request.app.state.links.allow(artifact, purpose, request.query_params):
        raise Refused(
            403, "this link is not valid, or its time is over: ask for the artifact again"
        )
    return artifact


def _missing(artifact: str) -> Refused:
    return Refused(404, f"there is no artifact {artifact}, or its bytes did not arrive")


HANDLERS: Final = [put_file, post_file, get_file, head_file]
