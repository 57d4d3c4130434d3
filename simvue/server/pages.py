"""Pages: the files of ``simvue/ui`` as a browser gets them, and the log-in page.

The files are read once, at start, from wherever the package is installed.  A browser
that shows a token (in the tokened URL or on the log-in page) gets it back as a cookie
that no script can read and that no other site's page can send.
"""

from __future__ import annotations

import hashlib
import html
import mimetypes
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

from .auth import Tokens
from .forms import Refused

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

# Everything comes from this server; the drawing library sets styles from its own script,
# which needs no exception.
CSP: Final = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# Browsers cap the life of a cookie at 400 days.
COOKIE_S: Final = 400 * 86_400
# A token is some hundred characters; a form larger than this is none of ours.
FORM_MAX: Final = 16_384

_LOGIN = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Log in – Simvue</title>
<link rel="icon" href="/ui/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/ui/style.css">
</head>
<body>
<main class="login card">
<h1 class="brand"><img src="/ui/icon.svg" alt="" width="28" height="28"> Simvue</h1>
<form method="post" action="/login">
{wrong}<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<input name="next" type="hidden" value="{next}">
<button>Log in</button>
<p>The server's first start left it in <code>simvue.toml</code> in its data directory.</p>
</form>
</main>
</body>
</html>
"""
# No script at all: nothing here needs one.
_LOGIN_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
# Pages hold what a token lets one see: not for caches on the way.  The referrer stays
# among our own pages, because with none at all browsers hide the Origin of a form, too.
_PRIVATE = {"Cache-Control": "private, no-cache", "Referrer-Policy": "same-origin"}


@dataclass(frozen=True)
class Page:
    """One file as it is sent: its bytes, its type, and the tag by which caches know it."""

    content: bytes
    media_type: str
    etag: str


def read_pages() -> dict[str, Page]:
    """Read every file of the user interface, by its path below ``/ui/``."""
    found: dict[str, Page] = {}

    def walk(folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            path = prefix + entry.name
            if entry.is_dir():
                walk(entry, f"{path}/")
            elif entry.is_file():
                content = entry.read_bytes()
                found[path] = Page(content, _media_type(path), f'"{_tag(content)}"')

    walk(resources.files("simvue") / "ui", "")
    return found


def _media_type(path: str) -> str:
    # mimetypes asks the machine's own tables, and some of those call modules text/plain,
    # which browsers then refuse to run.
    if path.endswith((".js", ".mjs")):
        return "text/javascript; charset=utf-8"
    guessed = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed


def _tag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def routes(pages: dict[str, Page], tokens: Tokens, cookie: str) -> list[HTTPRouteHandler]:
    """Make the handlers of the pages; browsers keep their token under the name *cookie*."""

    def enter(token: str, place: str) -> Response[bytes]:
        kept = f"{cookie}={token}; Path=/; Max-Age={COOKIE_S}; HttpOnly; SameSite=Strict"
        headers = {**_PRIVATE, "Location": place, "Set-Cookie": kept}
        return Response(b"", status_code=303, media_type="text/plain", headers=headers)

    async def show(request: Request[Any, Any, Any]) -> Response[bytes]:
        token = request.query_params.get("token")
        if token is not None and await tokens.find(token):
            return enter(token, quote(request.scope["path"]))
        if token is not None or request.scope["user"] is None:
            return _login(request.scope["path"], wrong=token is not None)
        return send(request, "index.html")

    def send(request: Request[Any, Any, Any], path: str) -> Response[bytes]:
        page = pages.get(path)
        if page is None:
            raise Refused(404, f"there is no page {path[:200]!r}")
        headers = {**_PRIVATE, "ETag": page.etag, "Content-Security-Policy": CSP}
        if page.etag in request.headers.get("if-none-match", ""):
            return Response(b"", status_code=304, media_type=page.media_type, headers=headers)
        return Response(page.content, media_type=page.media_type, headers=headers)

    @get(["/", "/dashboard", "/dashboard/{view:path}"])
    async def index(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await show(request)

    @get("/ui/{file:path}")
    async def asset(request: Request[Any, Any, Any]) -> Response[bytes]:
        return send(request, request.path_params["file"].lstrip("/"))

    @get("/login")
    async def login_page() -> Response[bytes]:
        return _login("/", wrong=False)

    @post("/login", request_max_body_size=FORM_MAX)
    async def login(request: Request[Any, Any, Any]) -> Response[bytes]:
        fields = parse_qs((await request.body()).decode("ascii", "replace"))
        token = fields.get("token", [""])[-1].strip()
        place = fields.get("next", ["/"])[-1]
        # Only a path of ours: "//elsewhere" and "/\\elsewhere" are other servers.
        if not place.startswith("/") or place[1:2] in ("/", "\\"):
            place = "/"
        if await tokens.find(token):
            return enter(token, quote(place))
        return _login(place, wrong=True)

    return [index, asset, login_page, login]


def _login(place: str, wrong: bool) -> Response[bytes]:
    text = _LOGIN.format(
        wrong='<p class="wrong">This server does not know that token.</p>\n' if wrong else "",
        next=html.escape(place),
    )
    return Response(
        text.encode(),
        status_code=401,
        media_type="text/html; charset=utf-8",
        headers={**_PRIVATE, "Content-Security-Policy": _LOGIN_CSP},
    )
