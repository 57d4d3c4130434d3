"""The basic tutorial's calls, of a program that throws a die: ``dice.py THROWS``.

Configured by a ``simvue.ini``, as the tutorial has it.
"""

import json
import logging
import random
import sys
import time
from pathlib import Path

import numpy

from simvue import Handler, Run

throws = int(sys.argv[1])

with Run() as run:
    run.config(suppress_errors=False, resources_metrics_interval=10)
    run.init(
        name=f"dice-{time.time():.0f}",
        description="What a die shows, and what becomes of its mean.",
        tags=["dice", "v1"],
        folder="/dice",
        metadata={"throws": throws, "fair": False},
    )
    logger = logging.getLogger(__name__)
    logger.setLevel(logging.DEBUG)
    logger.addHandler(Handler(run))
    run.save(str(Path(__file__).absolute()), "code")
    run.set_folder_details(
        "/dice",
        metadata={"table": "green"},
        tags=["dice"],
        description="Everything that was thrown.",
    )
    run.add_alert(
        name="biased",
        source="metrics",
        frequency=1,
        rule="is outside range",
        range_low=2,
        range_high=5,
        metric="mean.arithmetic",
        window=2,
    )
    run.add_alert(name="a six", source="events", frequency=1, pattern="A six!")
    run.log_event("The first throw.")
    shown = numpy.array([], dtype=numpy.int64)
    changes = numpy.array([], dtype=numpy.float64)
    mean = 0.0
    for count in range(throws):
        # The last is a six, so that there is one.
        number = 6 if count == throws - 1 else random.randint(1, 6)
        shown = numpy.append(shown, number)
        before, mean = mean, float(numpy.average(shown))
        changes = numpy.append(changes, mean - before)
        logger.debug(f"Throw {count} changed the mean by {mean - before}.")
        run.log_metrics({"number": number}, step=count)
        run.log_metrics(
            {"mean.arithmetic": mean, "mean.median": int(numpy.median(shown))}, step=count
        )
        try:
            run.log_metrics({"inverse": 1 / (6 - number)}, step=count)
        except ZeroDivisionError:
            run.log_event(f"A six! It was throw {count}.")
    result = Path("result.json")
    result.write_text(json.dumps({"mean": mean}))
    run.save(str(result), "output")
    run.save(shown, "output", name="shown")
    run.save(changes, "output", name="changes")
    run.update_metadata({"mean": mean})
    run.update_metadata({"fair": True})
    run.update_tags(["dice", "v1", "complete"])
