"""No request that the OpenAPI document allows, nor one beside it, gets a 5xx or no answer."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import requests
from fix_server import Server, good

from simvue import wire

# Seconds for all operations; the systematic cases of each alone take half of that.
FUZZ_S = int(os.environ.get("SIMVUE_TEST_FUZZ_S") or 30)
# Seconds for one answer, which takes milliseconds: this is for a machine that is busy with
# everything else.
ANSWER_S_MAX = 20
# What has no end: test_stream.py listens to it.
ENDLESS = "/api/live"
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
]

STAMP = "2026-01-31T12:00:00.123456"
METRIC_ALERT = {
    "aggregation": "at least one",
    "rule": "is above",
    "threshold": 0.5,
    "metric": "loss",
    "window": 10,
    "frequency": 3,
}


def objects(server: Server) -> dict[str, list[str]]:
    """Make one object of each kind, with something in it; return the ids."""
    tenant = server.post("/tenants", {"name": wire.new_id()})["id"]
    member = {"username": "a", "fullname": "A B", "email": "a@b.c"}
    user = server.post("/users", {"user": member, "tenant": tenant})["id"]
    folder = server.post("/folders", {"path": "/fuzz"})["id"]
    run = server.new_run(folder="/fuzz", tags=["a tag"], metadata={"a": 1})
    row = {"values": {"loss": 0.5, "n": 3}, "time": 0.5, "timestamp": STAMP}
    server.send_rows(run, [{**row, "step": step} for step in range(50)])
    good(server.send("/events", {"run": run, "events": [{"message": "m", "timestamp": STAMP}]}))
    axes = {"name": "a grid", "grid": [[0.0, 1.0]], "labels": ["x"]}
    grid = server.post("/grids", axes)["id"]
    server.put(f"/runs/{run}/grids/{grid}", {"metric": "flow"})
    array = {"array": [1.0, 2.0], "grid": grid, "metric": "flow", "step": 0}
    good(server.send(f"/runs/{run}/metrics", [{**array, "time": 0.5, "timestamp": STAMP}]))
    alert = {"name": "high", "source": "metrics", "alert": METRIC_ALERT, "notification": "none"}
    content = uuid.uuid4().bytes
    checksum = hashlib.sha256(content).hexdigest()
    artifact = server.post("/artifacts", {"name": "a file", "size": 16, "checksum": checksum})
    assert requests.put(artifact["url"], data=content, timeout=30).status_code == 200
    server.put(f"/artifacts/{artifact['id']}", {"uploaded": True})
    server.put(f"/runs/{run}/artifacts/{artifact['id']}", {"category": "output"})
    return {
        "tenant": [tenant],
        "user": [user],
        "token": [],
        "run": [run],
        "grid": [grid],
        "alert": [server.post("/alerts", alert)["id"]],
        "artifact": [artifact["id"]],
        "storage": [server.post("/storage", {"name": "a storage", "backend": "File"})["id"]],
        "folder": [folder],
        "tag": [server.post("/tags", {"name": wire.new_id()})["id"]],
    }


def own(server: Server) -> list[str]:
    """Return the ids of who asks, its tenant and its tokens, and of the root of all folders."""
    found: list[str] = []
    for kind in ("users", "tenants", "tokens", "folders"):
        found += [one["id"] for one in server.get(f"/{kind}")["data"]]
    return found


@pytest.mark.timeout(FUZZ_S + 180)
def test_no_request_gets_a_5xx_or_no_answer(
    fresh_server: Server, rng: random.Random, tmp_path: Path
) -> None:
    """Goal: also answers that are not as described are found.  Method: schemathesis."""
    hooks = Path(__file__).with_name("operations_hooks.py")
    mine = own(fresh_server)
    known = objects(fresh_server)
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": hooks.stem,
        "PYTHONPATH": str(hooks.parent),
        "SIMVUE_FUZZ_OWN": json.dumps(mine),
        "SIMVUE_FUZZ_KNOWN": json.dumps(known),
    }
    options: list[Any] = [
        *("--header", f"Authorization: Bearer {fresh_server.token}"),
        *("--max-time", FUZZ_S, "--seed", rng.randrange(2**31)),
        *("--phases", "coverage,fuzzing,stateful", "--checks", ",".join(CHECKS)),
        *("--exclude-path", ENDLESS, "--request-timeout", ANSWER_S_MAX),
        *("--continue-on-failure", "--suppress-health-check", "all", "--no-color"),
        *("--generation-database", "none"),
    ]
    fuzz = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "run"),
            *(f"{fresh_server.url}/schema/openapi.json", *map(str, options)),
        ],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert fuzz.returncode == 0, fuzz.stdout[-20_000:] + fuzz.stderr[-2000:]
    # Whoever asks was there to the end.
    fresh_server.get("/whoami")
    assert "Traceback" not in fresh_server.log_text()
