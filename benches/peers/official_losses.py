"""What the official client loses, and this one: ``python -m benches.peers.official_losses``.

By hand, for docs/guarantees.md: the release that the figures there are of is installed from the
package index into an environment of its own, so this needs the network.  Both clients get into
each trouble once (lose.py), against our server, through a proxy that answers 500 where a
situation asks for it; what arrived is counted on the server.  The rows differ with the timing,
whether any are missing does not.
"""

from __future__ import annotations

import http.client
import http.server
import struct
import subprocess
import sys
import tempfile
import threading
import time
import venv
from pathlib import Path

from benches.node import Node
from benches.peers.__main__ import OFFICIAL
from simvue import Client

SITUATIONS = {
    "S1": "an exception in the block, 1,000 rows",
    "S2": "one 500 to metrics, 20,000 rows",
    "S3": "one 500 to a heartbeat, 6 s of silence",
    "S4": "offline, without close(), 1,000 rows",
    "S5": "sys.exit(3) in the block, 1,000 rows",
    "S6": "SIGKILL at 500 Hz",
    "S7": "SIGTERM at 500 Hz",
    "S8": "os.fork(), the child logs 500 rows of 510",
}

SETTLE_S = 5.0
"""Behind the end of a simulation, for what is still on its way: five deliveries."""


class Proxy:
    """Forwards to the server, and answers 500 once to a path that ends as ``refuse`` does."""

    def __init__(self, url: str) -> None:
        self.refuse = ""
        self.heartbeats = 0
        netloc = url.removeprefix("http://")
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.heartbeats += self.path.endswith("/heartbeat")
                if proxy.refuse and self.path.endswith(proxy.refuse):
                    proxy.refuse = ""
                    status, kind, content = 500, "application/json", b'{"detail": "by the proxy"}'
                else:
                    server = http.client.HTTPConnection(netloc)
                    server.request(self.command, self.path, body, dict(self.headers))
                    answer = server.getresponse()
                    status, content = answer.status, answer.read()
                    kind = answer.headers.get("Content-Type", "")
                    server.close()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = forward

            def log_message(self, format: str, *args: object) -> None:
                pass

        listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{listener.server_port}"
        threading.Thread(target=listener.serve_forever, daemon=True).start()


def main() -> None:
    """Install, lose and print a table."""
    with tempfile.TemporaryDirectory(dir=".") as directory:
        home = Path(directory).absolute()
        venv.create(home / "official", with_pip=True)
        official = str(home / "official" / "bin" / "python")
        subprocess.run([official, "-m", "pip", "install", "--quiet", OFFICIAL], check=True)
        print(f"{'':52}{'returned':>10}{'arrived':>10}  status, events")
        with Node(home) as node:
            proxy = Proxy(node.url)
            for situation, words in SITUATIONS.items():
                for side, python in ((OFFICIAL, official), ("this one", sys.executable)):
                    figures = lose(node, proxy, home, python, side, situation)
                    print(f"{situation} {words:49}{figures}  {side}", flush=True)


def lose(node: Node, proxy: Proxy, home: Path, python: str, side: str, situation: str) -> str:
    """Have one client in one trouble; return what came of it."""
    ours = side == "this one"
    name = f"{situation}-{'this-one' if ours else 'official'}"
    counter = home / f"{name}.returned"
    counter.write_bytes(bytes(8))
    environment = {**node.environment, "SIMVUE_URL": proxy.url}
    environment["SIMVUE_OFFLINE_DIRECTORY"] = str(home / f"{name}.offline")
    if not ours:
        del environment["PYTHONPATH"]
    proxy.heartbeats = 0
    proxy.refuse = {"S2": "/metrics", "S3": "/heartbeat"}.get(situation, "")
    script = Path(__file__).with_name("lose.py")
    run_quietly([python, str(script), situation, name, str(counter)], environment, node.runtime)
    proxy.refuse = ""
    heartbeats = proxy.heartbeats
    time.sleep(SETTLE_S)
    if situation == "S4":
        theirs = [str(Path(python).with_name("simvue-sender"))]
        run_quietly([python, "-m", "simvue", "ship"] if ours else theirs, environment, node.runtime)
    (returned,) = struct.unpack("<q", counter.read_bytes())
    assert returned, f"{side} did not get as far as its trouble"
    with Client(server_url=node.url, server_token=node.token) as client:
        try:
            run = client.get_run_id_from_name(name)
        except ValueError:
            return f"{returned:10,}{0:10,}  no such run"
        arrived = 0
        if "x" in list(client.get_metrics_names(run)):
            arrived = len(client.get_series(run, "x"))
        told = f"{client.get_run(run)['status']}, {len(list(client.get_events(run)))}"
    if situation == "S3":
        told += f", {heartbeats} heartbeats"
    return f"{returned:10,}{arrived:10,}  {told}"


def run_quietly(command: list[str], environment: dict[str, str], directory: Path) -> None:
    """Run *command* to whatever end it comes to, without what it says."""
    subprocess.run(
        command, env=environment, cwd=directory, timeout=120, check=False,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


if __name__ == "__main__":
    main()
