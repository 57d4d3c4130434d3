"""The intensity of the grid: asked for where somebody wants it, never waited for."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fix_node import eventually

from simvue import emissions
from simvue.config import Eco
from simvue.emissions import INTENSITY_DEFAULT, Intensity


class Service(ThreadingHTTPServer):
    """Answers as the web service does; ``asked`` are the paths and tokens, ``go`` lets it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.status = 200
        self.go = threading.Event()
        self.go.set()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.asked.append((self.path, self.headers["auth-token"]))
                service.go.wait()
                self.send_response(service.status)
                self.end_headers()
                self.wfile.write(json.dumps({"zone": "GB", "carbonIntensity": 125}).encode())

            def log_message(self, *arguments: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service()
    monkeypatch.setattr(emissions, "ADDRESS", f"http://127.0.0.1:{made.server_port}/latest")
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    made.go.set()
    made.shutdown()
    made.server_close()


def test_a_fixed_intensity_or_none_at_all_asks_nobody(service: Service, tmp_path: Path) -> None:
    fixed = Intensity(Eco(token="t", co2_intensity=0.05)._asdict(), tmp_path)
    unknown = Intensity(Eco()._asdict(), tmp_path)
    assert fixed.latest() == 0.05
    assert unknown.latest() == INTENSITY_DEFAULT
    assert service.asked == []
    assert list(tmp_path.iterdir()) == []


def test_the_service_is_asked_once_for_all_and_not_waited_for(
    service: Service, tmp_path: Path
) -> None:
    eco = Eco(token="secret", zone="GB")._asdict()
    service.go.clear()
    one = Intensity(eco, tmp_path)
    # It does not answer, and this returns.
    assert one.latest() == INTENSITY_DEFAULT
    service.go.set()
    eventually(lambda: one.latest() == 0.125, "the answer")
    assert Intensity(eco, tmp_path).latest() == 0.125
    assert service.asked == [("/latest?zone=GB", "secret")]
    # That of another grid is no news of this one.
    assert Intensity({**eco, "zone": "FR"}, tmp_path).latest() == INTENSITY_DEFAULT


def test_where_the_service_refuses_the_last_intensity_counts(
    service: Service, tmp_path: Path
) -> None:
    eco = Eco(token="secret")._asdict()
    old = {"kg_per_kwh": 0.3, "zone": None, "fetched": time.time() - 10_000}
    (tmp_path / "co2_intensity.json").write_text(json.dumps(old))
    service.status = 429
    intensity = Intensity(eco, tmp_path)
    assert intensity.latest() == 0.3
    eventually(lambda: service.asked, "the question")
    assert intensity.latest() == 0.3
    assert len(service.asked) == 1
