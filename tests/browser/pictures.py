"""Take the pictures of docs/images: a real server, runs of the examples, a scan and an MPI job.

``make pictures`` runs it.  What stands on the pictures was logged by the package itself, except
for the ranks of the job, whose rows are sent as a launch of 32 would send them.
"""

from __future__ import annotations

import io
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))

from fix_browser import Browser
from fix_server import ROOT, Server
from PIL import Image
from playwright.sync_api import sync_playwright

from benches.bench_page import FLAGS
from simvue import wire

IMAGES = ROOT / "docs" / "images"
SIZE = {"width": 1280, "height": 800}
# Larger ones are no pleasure in a clone.
BYTES_MAX = 200_000

RANKS = 32
SLOW, ODD = 11, 23

# A scan as its user would write it.
CAVITY = """
import math, random
from simvue import Run

random.seed(4)
for re in (100, 400, 1000, 3200):
    for mesh in (32, 64, 128):
        for scheme in ("upwind", "quick"):
            with Run() as run:
                run.init(
                    name=f"cavity-re{re}-{mesh}-{scheme}",
                    metadata={"re": re, "mesh": {"nx": mesh, "ny": mesh}, "scheme": scheme,
                              "relaxation": 0.7, "solver": {"name": "simple", "tolerance": 1e-8}},
                    tags=["cavity", scheme], folder=f"/cavity/re{re}",
                    description="Lid-driven cavity, steady.",
                )
                rate = 6 / math.sqrt(re * mesh) * (1.0 if scheme == "upwind" else 0.8)
                for step in range(900):
                    fall = math.exp(-rate * step / 12)
                    noise = 1 + 0.15 * random.random() + 0.4 * math.sin(step / 9) * fall
                    run.log_metrics({
                        "residual.momentum": fall * noise + 1e-8,
                        "residual.mass": 0.1 * fall**1.2 * noise + 1e-9,
                        "drag": 0.12 + 1.4 / math.sqrt(re) + 0.02 / mesh - 0.3 * fall,
                        "vortex.x": 0.53 + 0.1 * fall * math.cos(step / 20),
                    }, step=step)
                run.log_event(f"converged: residual {fall:.2e}")
"""


@contextmanager
def node(directory: Path) -> Iterator[Server]:
    """Start a server, and point everything that a run looks at to it and to *directory*."""
    server = Server(directory / "data")
    settings = {
        "SIMVUE_URL": server.url,
        "SIMVUE_TOKEN": server.token,
        "SIMVUE_RUNTIME_DIRECTORY": str(directory / "runtime"),
        "SIMVUE_OFFLINE_DIRECTORY": str(directory / "spool"),
        "SIMVUE_LINGER": "0",
    }
    (directory / "runtime").mkdir(mode=0o700)
    os.environ.update(settings)
    yield server
    server.stop()


def run_python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def make_job(server: Server) -> str:
    """Send the rows of an MPI job whose ranks share a run; one rank is slow and one is odd."""
    random.seed(7)
    began = datetime.now(timezone.utc) - timedelta(minutes=15)
    run = server.new_run(
        name="channel-dns-512",
        folder="/turbulence",
        tags=["production"],
        description="Turbulent channel on 32 ranks.",
        status="completed",
        started=wire.format_timestamp(int(began.timestamp() * 1e6)),
        metadata={"grid": [512, 257, 256], "re_tau": 590, "ranks": RANKS},
    )
    for rank in range(RANKS):
        writer = f"rank{rank:02d}".ljust(wire.ID_SIZE, "x")
        server.put(f"/runs/{run}", {"writers": {writer: {"kind": "metrics", "rank": rank}}})
        rows = []
        for second in range(0, 900, 5):
            wait = 0.02 + 0.01 * random.random() + 0.015 * math.sin(second / 60 + rank / 5) ** 2
            imbalance = 0.25 if rank == ODD and second > 400 else 0.0
            at = began + timedelta(seconds=second)
            rows.append(
                {
                    "step": second * (6 if rank == SLOW else 10),
                    "time": float(second),
                    "timestamp": wire.format_timestamp(int(at.timestamp() * 1e6)),
                    "values": {
                        "step.seconds": 0.1 + wait + imbalance + (0.06 if rank == SLOW else 0),
                        "wait.share": wait * 4,
                        "cfl": 0.4 + 0.05 * math.sin(second / 100 + rank),
                    },
                }
            )
        server.send_rows(run, rows, writer)
    ended = began + timedelta(minutes=15)
    server.put(f"/runs/{run}", {"endtime": wire.format_timestamp(int(ended.timestamp() * 1e6))})
    return run


def named(server: Server) -> dict[str, str]:
    """Return the ids of all runs by their names."""
    found = server.get("/runs", count=1000)["data"]
    return {run["name"]: run["id"] for run in found}


def describe(server: Server) -> None:
    """Say of folders and tags what their owner would."""
    for tag in server.get("/tags", count=100)["data"]:
        colours = {"cavity": "#2f4fc9", "upwind": "#d04a00", "quick": "#00845f"}
        server.put(f"/tags/{tag['id']}", {"colour": colours.get(tag["name"], "#7a5cc0")})
    folder = server.get("/folders", filters='["path == /cavity/re1000"]')["data"][0]["id"]
    server.put(
        f"/folders/{folder}",
        {
            "description": "Reynolds number 1,000: compared with Ghia et al. (1982).",
            "tags": ["cavity"],
            "metadata": {"reference": "Ghia 1982", "lid": {"speed": 1.0}},
        },
    )
    server.put(f"/folders/{folder}/starred", {"starred": True})


def save(browser: Browser, name: str) -> None:
    """Take the picture of what is seen, once nothing is asked any more."""
    browser.page.wait_for_timeout(1_500)
    path = IMAGES / f"{name}.png"
    picture = Image.open(io.BytesIO(browser.page.screenshot())).convert("RGB")
    # The colours that there are most of, exactly: grounds, inks and lines.  Pillow's own choices
    # move some of them.
    counted = picture.getcolors(SIZE["width"] * SIZE["height"])
    assert counted is not None
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in sorted(counted)[-256:] for part in colour])
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    assert size <= BYTES_MAX, f"{path.name} has {size} bytes"
    print(f"{path.relative_to(ROOT)}: {size} bytes")


# ---- The pictures -----------------------------------------------------------------------------


def take_runs(browser: Browser, runs: dict[str, str]) -> None:
    ticked = [runs[f"cavity-re{re}-128-quick"] for re in (100, 400, 1000, 3200)]
    browser.open(f"/dashboard/runs?filter=has tag.cavity&runs={','.join(ticked)}")
    browser.find(".plot canvas").first.wait_for()


def take_run(browser: Browser, runs: dict[str, str]) -> None:
    browser.open_run(runs["cavity-re1000-128-quick"], "?smooth=0.5")
    browser.find(".plot canvas").nth(2).wait_for()


def take_zoom(browser: Browser, runs: dict[str, str]) -> None:
    browser.open_run(runs["lorenz96"])
    browser.find(".plot canvas").first.wait_for()
    browser.see_label("energy", "rows")
    browser.drag("energy", 0.42, 0.44)
    browser.page.wait_for_timeout(1_000)
    box = browser.plot("energy").bounding_box()
    assert box is not None
    browser.page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.4)


def take_compare(browser: Browser, runs: dict[str, str]) -> None:
    names = [
        f"cavity-re1000-{mesh}-{scheme}" for mesh in (32, 64, 128) for scheme in ("upwind", "quick")
    ]
    chosen = [runs[name] for name in names]
    browser.open(f"/dashboard/compare?runs={','.join(chosen)}&base={chosen[5]}&differ=1")
    browser.find(".matrix tbody td.figure").first.wait_for()


def take_parallel(browser: Browser, runs: dict[str, str]) -> None:
    chosen = [run for name, run in runs.items() if name.startswith("cavity")]
    axes = (
        "metadata.re",
        "metadata.mesh.nx",
        "metadata.scheme",
        "metrics.residual.mass.last",
        "metrics.drag.last",
    )
    query = "".join(f"&axis={axis}" for axis in axes)
    browser.open(
        f"/dashboard/compare?show=parallel&runs={','.join(chosen)}{query}&brush=0~0.19~metrics.drag.last"
    )
    browser.find(".plane polyline").first.wait_for()


def take_job(browser: Browser, runs: dict[str, str]) -> None:
    browser.open_run(runs["channel-dns-512"], "?tab=job&metric=step.seconds")
    browser.find(".heat canvas").wait_for()


def take_folders(browser: Browser, runs: dict[str, str]) -> None:
    browser.open("/dashboard/folders?path=/cavity/re1000")
    browser.find(".details h2").first.wait_for()


PICTURES: dict[str, Callable[[Browser, dict[str, str]], None]] = {
    "runs": take_runs,
    "run": take_run,
    "zoom": take_zoom,
    "compare": take_compare,
    "parallel": take_parallel,
    "job": take_job,
    "folders": take_folders,
}


def main() -> None:
    """Make the runs, open the views, save what is seen; names in the arguments choose some."""
    IMAGES.mkdir(exist_ok=True)
    chromium_path = shutil.which("chromium") or shutil.which("google-chrome")
    wanted = sys.argv[1:] or [*PICTURES]
    with (
        tempfile.TemporaryDirectory() as directory,
        node(Path(directory)) as server,
        sync_playwright() as playwright,
    ):
        run_python("examples/lorenz96.py")
        run_python("examples/heat2d.py")
        run_python("examples/seed_scan.py")
        run_python("-c", CAVITY)
        make_job(server)
        describe(server)
        chromium = playwright.chromium.launch(executable_path=chromium_path, args=list(FLAGS))
        browser = Browser(chromium, server, viewport=SIZE, color_scheme="light")
        browser.log_in()
        runs = named(server)
        for name in wanted:
            PICTURES[name](browser, runs)
            save(browser, name)
        chromium.close()


if __name__ == "__main__":
    main()
