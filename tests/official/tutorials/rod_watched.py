"""The advanced tutorial's calls: a solver that is started, followed and stopped by its log.

``rod_watched.py INPUT [LIMIT]``: with a limit, a second process asks how the alert on the
temperature stands, and the solver is stopped by what that one writes.
"""

import multiprocessing
import re
import sys
import threading
import time
from pathlib import Path

import multiparser
import multiparser.parsing.file as mp_file_parser
import multiparser.parsing.tail as mp_tail_parser

import simvue

HERE = Path(__file__).parent
case, limits = sys.argv[1], sys.argv[2:]
name = f"rod-{time.time_ns()}"
trigger = multiprocessing.Event()
# What is read while another thread closes the run has nowhere to go.
turn = threading.RLock()


@mp_file_parser.file_parser
def read_header(input_file, **_):
    with open(input_file) as file:
        lines = [line for line in file.readlines() if ":" in line][:2]
    pairs = (line.split(":", 1) for line in lines)
    return {}, {key.strip().replace(" ", "_").lower(): value.strip() for key, value in pairs}


def finish(tag, status=None):
    with turn:
        run.update_tags([tag])
        if status:
            run.kill_all_processes()
            run.save("results/rod.e", "output")
            run.set_status(status)
        run.close()
        trigger.set()


def on_log(found, _):
    if "finished" in found:
        time.sleep(1)  # as the tutorial has it: for what is read meanwhile
        finish("complete")
        return
    with turn:
        if not trigger.is_set():
            run.log_event(next(iter(found.values())))
            if "lost" in found:
                finish("lost", "failed")


def on_temperatures(row, about):
    step = int(about["file_name"].split("_")[-1].split(".")[0])
    values = {f"temperature.{row['x']}": row["T"]}
    with turn:
        if not trigger.is_set():
            run.log_metrics(values, step=step, timestamp=about["timestamp"])


def on_alert(row, _):
    if row["too hot"] == "firing" and not trigger.is_set():
        finish("too hot", "failed")


with simvue.Run() as run:
    run.init(name=name, description="Heat that spreads along a rod", folder="/rod")
    run.add_alert(
        name="diverged",
        source="events",
        frequency=1,
        pattern=" Solve Did NOT Converge!",
        notification="email",
    )
    run.add_process(
        identifier="rod",
        executable=sys.executable,
        script=str(HERE / "rod.py"),
        i=case,
        color="off",
    )
    if limits:
        run.add_alert(
            name="too hot",
            source="metrics",
            metric="temperature.3",
            rule="is above",
            threshold=float(limits[0]),
            frequency=1,
            window=1,
        )
        run.add_process(
            identifier="alerts",
            executable=sys.executable,
            script=str(HERE / "rod_alerts.py"),
            run_name=name,
            time_interval="1",
            max_time="60",
        )
    with multiparser.FileMonitor(termination_trigger=trigger) as monitor:
        monitor.tail(
            path_glob_exprs="results/rod.txt",
            tracked_values=[
                re.compile(r"Time Step.*"),
                " Solve Converged!",
                " Solve Did NOT Converge!",
                "Finished Executing",
            ],
            labels=["step", "converged", "lost", "finished"],
            callback=on_log,
        )
        monitor.track(
            path_glob_exprs="results/rod.txt",
            callback=lambda header, about: run.update_metadata({**header, **about}),
            parser_func=read_header,
            static=True,
        )
        monitor.track(
            path_glob_exprs="results/rod_temps_*.csv", callback=on_temperatures, static=True
        )
        if limits:
            monitor.tail(
                path_glob_exprs="results/alerts.csv",
                parser_func=mp_tail_parser.record_csv,
                callback=on_alert,
            )
        monitor.run()
print(run.id)
