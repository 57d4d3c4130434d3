"""Figures: the frame in which a browser draws users' figures with plotly.

A figure is a stranger's JSON, and plotly is large and takes much of what it is told for
granted.  So it runs in a frame that is sandboxed without an origin of its own: no cookies, no
network, no way to the page around it, which hands it the figure and nothing else::

    page ── postMessage(figure) ──> /figure   sandbox, default-src 'none'
                                       ├── /figure/plotly.js   of the installed distribution
                                       └── /figure/draw.js     ui/figure.js

The frame has no cookie to show, so its scripts are open to whoever asks (auth.PAGES); both are
public anyway.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from litestar import Request, Response, get

from .forms import Refused

# Plotly makes functions for its WebGL traces, into which it turns large scatters by itself, and
# sets styles of its own; images within figures are data.  `sandbox` holds wherever it is opened.
_CSP: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'self' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
_CACHED: Final = {"Cache-Control": "public, max-age=86400"}
_SCRIPT: Final = "text/javascript; charset=utf-8"
_FRAME: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Figure</title>
{scripts}
</head>
<body>{words}</body>
</html>
"""
_SCRIPTS: Final = (
    '<script src="/figure/plotly.js"></script>\n<script src="/figure/draw.js"></script>'
)
_MISSING: Final = (
    "<p>Figures are drawn by plotly, which this server does not have: "
    "<code>pip install 'simvue[plot]'</code> where it runs, and start it again.</p>"
)


@cache
def _plotly() -> Path | None:
    """Find plotly's script without importing plotly, which takes a second."""
    spec = find_spec("plotly")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "package_data" / "plotly.min.js"
        if path.is_file():
            return path
    return None


@cache
def _compressed(path: Path) -> bytes:
    """Return 4 MB of script as 1.4, kept from the first time that somebody looks at a figure."""
    return gzip.compress(path.read_bytes(), compresslevel=6, mtime=0)


@get("/figure", sync_to_thread=False)
def get_frame() -> Response[str]:
    """Answer the frame, or in it what is missing."""
    there = _plotly() is not None
    text = _FRAME.format(scripts=_SCRIPTS if there else "", words="" if there else _MISSING)
    headers = {"Content-Security-Policy": _CSP, "Cache-Control": "no-cache"}
    return Response(text, media_type="text/html; charset=utf-8", headers=headers)


@get("/figure/plotly.js", sync_to_thread=True)
def get_plotly(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer plotly's script."""
    path = _plotly()
    if path is None:
        raise Refused(404, "this server has no plotly")
    headers = {**_CACHED, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        content = _compressed(path)
    else:
        content = path.read_bytes()
    return Response(content, media_type=_SCRIPT, headers=headers)


@get("/figure/draw.js", sync_to_thread=True)
def get_script() -> Response[bytes]:
    """Answer the script that draws what the frame is told."""
    script = Path(__file__).parent.parent / "ui" / "figure.js"
    return Response(script.read_bytes(), media_type=_SCRIPT, headers=_CACHED)


HANDLERS: Final = [get_frame, get_plotly, get_script]
