"""The basic tutorial's second half: what ``dice.py`` recorded is read, drawn and asserted."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import numpy

from simvue import Client

throws = int(sys.argv[1])
client = Client()

runs = client.get_runs(["/dice", "complete", "v1"], metadata=True, tags=True)
assert [run["status"] for run in runs] == ["completed"]
assert runs[0]["tags"] == ["dice", "v1", "complete"]
name = runs[0]["name"]
assert client.get_run(name, metadata=True)["metadata"]["throws"] == throws

names = client.get_metrics_names(name)
assert {"number", "mean.arithmetic", "mean.median", "inverse"} <= set(names)
for metric in names:
    assert client.get_metrics_summaries(name, metric)["count"] >= 1

figure = client.plot_metrics([name], ["mean.arithmetic"], "step")
figure.savefig("mean.png")
client.plot_metrics(name, "mean.median", "step").savefig("median.png")

frame = client.get_metrics(name, "number", "step", format="dataframe")
assert frame.shape == (throws, 2)
bars = frame.groupby("number").nunique().plot(kind="bar", rot=0)
bars.set_ylabel("throws")
rows = client.get_metrics(name, "number", "step")
assert rows[-1] == (throws - 1, 6, name, "number")
several = client.get_metrics_multiple([name], ["number", "inverse"], "step", format="dataframe")
assert several[(name, "number", "value")].iloc[-1] == 6
assert several[(name, "inverse", "step")].count() < throws

sixes = client.get_events(name, filter="A six!")
assert len(sixes) == sum(number == 6 for _, number, *_ in rows)
changes = client.get_artifact(name, "changes")
assert isinstance(changes, numpy.ndarray)
assert changes.shape == (throws,)
client.get_artifact_as_file(name, "result.json")
assert json.loads(Path("result.json").read_text())["mean"] == runs[0]["metadata"]["mean"]
print("all read")
