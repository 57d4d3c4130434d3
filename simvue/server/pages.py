"""Pages: the files of ``simvue/ui`` as a browser gets them, and the log-in page.

The files are read once, at start, from wherever the package is installed, and go out as they
are written, but for the comments and indents of our scripts, which are half of them.  The page
asks for them under ``/ui/<version>/``, where a browser may keep them for good: other files are
another version.  A browser that shows a token (in the tokened URL or on the log-in page) gets
it back as a cookie that no script can read and that no other site's page can send.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import mimetypes
import posixpath
import re
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
# which needs no exception.  Text is never made into markup, and with no trusted type at all the
# browser itself sees to it.
CSP: Final = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
# Below it a compressed file is hardly smaller.
COMPRESS_MIN: Final = 256
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
<body class="bare">
<main class="login card">
<h1 class="brand"><img src="/ui/icon.svg" alt="" width="28" height="28"> Simvue</h1>
<p>Runs of simulations: their charts, events and files. To see them, show this server a token.</p>
<form method="post" action="/login">
{wrong}<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<input name="next" type="hidden" value="{next}">
<button>Log in</button>
</form>
<h2>Where is mine?</h2>
<ul>
<li>Your simulations already send their runs here: it is the <code>token = "…"</code> in their
<code>simvue.toml</code> or <code>~/.simvue.toml</code>.</li>
<li>You started this server: <code>simvue.toml</code> in its data directory has an
administrator's.</li>
<li>Neither: whoever runs this server makes one for you, in Settings, Tokens.</li>
</ul>
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


# What stays as it is in a path with its query, which is encoded already.
_PLACE: Final = "/?&=%,:;~+@!$'()*"

# What bears a version never changes.
_FOREVER = {**_PRIVATE, "Cache-Control": "private, max-age=31536000, immutable"}

# Comments that have their lines to themselves, and types within one.  The lines stay, so that a
# browser's messages name those of the source.
_COMMENT = re.compile(
    rb"^[ \t]*(?:/\*(?:(?!\*/).)*\*/|//[^\n]*)[ \t]*$|/\*\* @type (?:(?!\*/).)*\*/ ?",
    re.MULTILINE | re.DOTALL,
)
_INDENT = re.compile(rb"^[ \t]+", re.MULTILINE)
_VERSIONED = re.compile(r"([0-9a-f]{12})/(.+)")
# What app.js loads when an address asks for it: [/address/, () => import("./view.js")].
_ROUTE = re.compile(rb'^\[/(.+)/, \(\) => import\("\./(.+?)"\)\],$', re.MULTILINE)
# What the views that show charts of ticked runs load beyond it.
_OVERLAY: Final = "overlay.js"
_SHEET = re.compile(rb'<link rel="stylesheet" href="/ui/(.+?)">\n')
_SHEETS: Final = "all.css"
_IMPORT = re.compile(rb'^(?:import|export)\s[^;]*?from "(\.[^"]+)";', re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """One file as it is sent: its bytes, compressed if that is worth it, its type, its tag."""

    content: bytes
    compressed: bytes | None
    media_type: str
    etag: str


@dataclass(frozen=True)
class Pages:
    """Every file of the user interface by its path below ``/ui/``, and their version."""

    files: dict[str, Page]
    version: str
    views: list[tuple[re.Pattern[str], set[str]]]
    """Of each kind of address the modules of its view, beyond those of every one."""
    overlay: set[str]
    """Of the charts of ticked runs, in the same way."""

    def links(self, path: str, query: str) -> str:
        """Return the ``Link`` header of an address: modules that it will load in a moment."""
        modules = next((found for pattern, found in self.views if pattern.match(path)), set())
        if "runs=" in query:
            modules = modules | self.overlay
        return ", ".join(
            f"</ui/{self.version}/{module}>; rel=modulepreload" for module in sorted(modules)
        )


def read_pages() -> Pages:
    """Read the files of the user interface; ``index.html`` comes out naming the version."""
    found: dict[str, bytes] = {}

    def walk(folder: Traversable, prefix: str) -> None:
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
            path = prefix + entry.name
            if entry.is_dir():
                walk(entry, f"{path}/")
            elif entry.is_file():
                content = entry.read_bytes()
                # What is vendored bears its licence in a comment.
                ours = path.endswith(".js") and not path.startswith("vendor/")
                found[path] = shorter(content) if ours else content

    walk(resources.files("simvue") / "ui", "")
    version = _tag(b"".join(found.values()))[:12]
    # A browser learns of a module when it has read who imports it; told of all of them at
    # once, it asks for them at once.
    frame = _modules("app.js", found)
    preload = "".join(f'<link rel="modulepreload" href="/ui/{path}">\n' for path in sorted(frame))
    views = [
        (re.compile(pattern.decode()), _modules(view.decode(), found) - frame)
        for pattern, view in _ROUTE.findall(found["app.js"])
    ]
    overlay = _modules(_OVERLAY, found) - frame
    # Style sheets hold up the first paint, and one of them is there sooner than six.
    sheets = _SHEET.findall(found["index.html"])
    found[_SHEETS] = b"\n".join(found[sheet.decode()] for sheet in sheets)
    index = _SHEET.sub(b"", found["index.html"])
    links = f'<link rel="stylesheet" href="/ui/{_SHEETS}">\n{preload}</head>'
    index = index.replace(b"</head>", links.encode())
    found["index.html"] = index.replace(b'"/ui/', f'"/ui/{version}/'.encode())
    files = {path: _page(path, content) for path, content in found.items()}
    return Pages(files, version, views, overlay)


def shorter(script: bytes) -> bytes:
    """Return *script* without its comments, types and indents; lines keep their number.

    No text of ours goes over several lines, in which an indent would be part of it (tested).
    """
    code = _COMMENT.sub(lambda comment: b"\n" * comment[0].count(b"\n"), script)
    return _INDENT.sub(b"", code)


def _modules(path: str, files: dict[str, bytes]) -> set[str]:
    """Return *path* and what it imports, directly or not."""
    met, new = {path}, [path]
    while new:
        path = new.pop()
        for match in _IMPORT.finditer(files[path]):
            imported = posixpath.normpath(
                posixpath.join(posixpath.dirname(path), match[1].decode())
            )
            if imported not in met:
                met.add(imported)
                new.append(imported)
    return met


def _page(path: str, content: bytes) -> Page:
    media_type = _media_type(path)
    small = None
    if len(content) >= COMPRESS_MIN and media_type.startswith("text/"):
        small = gzip.compress(content, mtime=0)
    return Page(content, small, media_type, f'"{_tag(content)}"')


def _media_type(path: str) -> str:
    # mimetypes asks the machine's own tables, and some of those call modules text/plain,
    # which browsers then refuse to run.
    if path.endswith((".js", ".mjs")):
        return "text/javascript; charset=utf-8"
    guessed = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed


def _tag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def routes(pages: Pages, tokens: Tokens, cookie: str) -> list[HTTPRouteHandler]:
    """Make the handlers of the pages; browsers keep their token under the name *cookie*."""

    def enter(token: str, place: str) -> Response[bytes]:
        kept = f"{cookie}={token}; Path=/; Max-Age={COOKIE_S}; HttpOnly; SameSite=Strict"
        headers = {**_PRIVATE, "Location": place, "Set-Cookie": kept}
        return Response(b"", status_code=303, media_type="text/plain", headers=headers)

    async def show(request: Request[Any, Any, Any]) -> Response[bytes]:
        token = request.query_params.get("token")
        if token is not None and await tokens.find(token):
            return enter(token, _place(request))
        if token is not None or request.scope["user"] is None:
            return _login(_place(request), wrong=token is not None)
        links = pages.links(request.url.path, request.url.query)
        return send(request, "index.html", {**_PRIVATE, "Link": links} if links else _PRIVATE)

    def send(
        request: Request[Any, Any, Any], path: str, caching: dict[str, str]
    ) -> Response[bytes]:
        page = pages.files.get(path)
        if page is None:
            raise Refused(404, f"there is no page {path[:200]!r}")
        headers = {**caching, "ETag": page.etag, "Content-Security-Policy": CSP}
        content = page.content
        if page.compressed is not None:
            headers["Vary"] = "Accept-Encoding"
            if "gzip" in request.headers.get("accept-encoding", ""):
                headers["Content-Encoding"] = "gzip"
                content = page.compressed
        if page.etag in request.headers.get("if-none-match", ""):
            return Response(b"", status_code=304, media_type=page.media_type, headers=headers)
        return Response(content, media_type=page.media_type, headers=headers)

    @get(["/", "/dashboard", "/dashboard/{view:path}"])
    async def index(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await show(request)

    @get("/ui/{file:path}")
    async def asset(request: Request[Any, Any, Any]) -> Response[bytes]:
        path = request.path_params["file"].lstrip("/")
        versioned = _VERSIONED.fullmatch(path)
        if versioned is None:
            return send(request, path, _PRIVATE)
        # A page that was open while the server was renewed gets what there is now.
        caching = _FOREVER if versioned[1] == pages.version else _PRIVATE
        return send(request, versioned[2], caching)

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
            return enter(token, quote(place, safe=_PLACE))
        return _login(place, wrong=True)

    @post("/logout", request_max_body_size=FORM_MAX)
    async def logout(request: Request[Any, Any, Any]) -> Response[bytes]:
        # The token itself stays: other browsers and simulations may speak with it.
        ended = f"{cookie}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"
        headers = {**_PRIVATE, "Location": "/login", "Set-Cookie": ended}
        return Response(b"", status_code=303, media_type="text/plain", headers=headers)

    return [index, asset, login_page, login, logout]


def _place(request: Request[Any, Any, Any]) -> str:
    """Return the path and query that were asked for, without a token that was shown there."""
    members = request.scope["query_string"].decode("ascii", "replace").split("&")
    query = "&".join(member for member in members if not member.startswith("token="))
    path = quote(request.scope["path"])
    return f"{path}?{quote(query, safe=_PLACE)}" if query else path


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
