"""What a run has beside its metrics, as clients send it: artifacts and events."""

from __future__ import annotations

import hashlib
from typing import Any

import requests
from fix_server import Server

HOSTILE = "<img src=x onerror='window.hacked=1'><b>bold</b>"
BACKWARDS = "\u202ekcab ot tnorf"
"""Begins with the mark that turns all that follows it."""
HEBREW = "\u05e9\u05dc\u05d5\u05dd, step 7!"


def save(
    server: Server, run: str, name: str, mime_type: str, content: bytes, category: str = "output"
) -> str:
    """Save an artifact as clients do; return its id."""
    artifact = {
        "name": name,
        "original_path": "",
        "size": len(content),
        "mime_type": mime_type,
        "checksum": hashlib.sha256(content).hexdigest(),
    }
    made: dict[str, Any] = server.post("/artifacts", artifact)
    if made["url"]:
        assert requests.put(made["url"], data=content, timeout=30).ok
    server.put(f"/runs/{run}/artifacts/{made['id']}", {"category": category})
    identifier: str = made["id"]
    return identifier


def say(server: Server, run: str, *messages: str, level: str = "info") -> None:
    """Log events of one moment, in this order."""
    events = [
        {"message": text, "timestamp": "2026-01-31T12:00:00.000000", "log_level": level}
        for text in messages
    ]
    assert server.send("/events", {"run": run, "events": events}).status_code == 200
