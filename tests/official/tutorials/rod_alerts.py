"""The advanced tutorial's second program: writes every now and then which alerts are raised."""

import argparse
import csv
import time
from pathlib import Path

import simvue

parser = argparse.ArgumentParser()
parser.add_argument("--run_name", "--run-name")
parser.add_argument("--time_interval", "--time-interval", type=int)
parser.add_argument("--max_time", "--max-time", type=int)
arguments = parser.parse_args()

Path("results").mkdir(exist_ok=True)
client = simvue.Client()
run_id = client.get_run_id_from_name(arguments.run_name)
with open("results/alerts.csv", "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["time", "too hot"])
    for elapsed in range(0, arguments.max_time, arguments.time_interval):
        raised = client.get_alerts(run_id)
        table.writerow([elapsed, "firing" if "too hot" in raised else "normal"])
        file.flush()
        time.sleep(arguments.time_interval)
