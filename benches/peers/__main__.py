"""The official client beside ours, against our server: ``python -m benches.peers [ROWS]``.

It is installed from the package index into an environment of its own, made for the occasion,
so this needs the network and is not part of the tests.  Both run work.py, in turn, online and
offline; the online rows of both are counted on the server.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from benches.loops import dict_s
from benches.node import Node
from simvue import Client

OFFICIAL = "simvue==2.6.2"
"""The release that the targets were set against."""

ROWS = 20_000
"""Three seconds of what the official client drains."""

ROUNDS = 3


def main() -> None:
    """Install, measure and print a table."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory(dir=".") as directory:
        home = Path(directory).absolute()
        venv.create(home / "official", with_pip=True)
        official = str(home / "official" / "bin" / "python")
        install = [official, "-m", "pip", "install", "--quiet", OFFICIAL]
        subprocess.run(install, check=True)
        sides = {OFFICIAL: official, "this one": sys.executable}
        print(f"a dict of five floats: {dict_s() * 1e9:.0f} ns; {rows} rows, {ROUNDS} rounds")
        print(f"{'':16}{'mode':>9}{'p50, us':>10}{'p99, us':>10}{'rows/s, close included':>24}")
        with Node(home) as node:
            for mode in ("online", "offline"):
                best = {side: [float("inf")] * 3 for side in sides}
                for _ in range(ROUNDS):
                    for side, python in sides.items():
                        found = work(node, python, side == "this one", mode, rows)
                        best[side] = [min(pair) for pair in zip(best[side], found, strict=True)]
                for side, (p50, p99, spent) in best.items():
                    print(f"{side:16}{mode:>9}{p50:10.2f}{p99:10.2f}{rows / spent:24,.0f}")


def work(node: Node, python: str, ours: bool, mode: str, rows: int) -> list[float]:
    """Run work.py by *python* once; return p50 and p99 in microseconds, and seconds in all."""
    environment = dict(node.environment)
    if not ours:
        del environment["PYTHONPATH"]
    script = Path(__file__).with_name("work.py")
    done = subprocess.run(
        [python, str(script), mode, str(rows)],
        cwd=node.runtime,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    name, *figures = done.stdout.splitlines()[-1].split()
    if mode == "online":
        with Client(server_url=node.url, server_token=node.token) as client:
            series = client.get_series(client.get_run_id_from_name(name), "loss")
            assert len(series) == rows, f"{len(series)} rows of {rows} are on the server"
    return [float(figure) for figure in figures]


if __name__ == "__main__":
    main()
