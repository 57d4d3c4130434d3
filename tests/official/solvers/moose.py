"""Stands in for a MOOSE application: heat that spreads along a bar, as its console tells it.

Called with ``--color off -i FILE``; writes the table of postprocessors and one file of a vector
postprocessor a step next to the input, at a pace that somebody may watch.
"""

import sys
import time
from pathlib import Path

STEPS = 6
case = Path(sys.argv[sys.argv.index("-i") + 1])
results = case.parent / "results"
results.mkdir(exist_ok=True)

print("""Framework Information:
MOOSE Version:           git commit 0123456789 on 2026-01-31
PETSc Version:           3.20.3

Parallelism:
  Num Processors:          1

Mesh:
  Spatial Dimension:       1
  Nodes:                   4

Execution Information:
  Executioner:             Transient
""")
with open(results / "bar.csv", "w") as table:
    table.write("time,hottest\n")
    for step in range(1, STEPS + 1):
        print(f"\nTime Step {step}, time = {step}, dt = 1")
        print(" 0 Nonlinear |R| = 4.974806e-01\n      0 Linear |R| = 4.974806e-01")
        print(" 1 Nonlinear |R| = 4.817842e-06\n Solve Converged!", flush=True)
        table.write(f"{step},{100 * step}\n")
        table.flush()
        rows = "".join(f"{100 * step - 10 * x},{x},{x},0,0\n" for x in range(4))
        (results / f"bar_along_{step:04d}.csv").write_text("T,id,x,y,z\n" + rows)
        time.sleep(0.3)
print("Finished Executing", flush=True)
time.sleep(1)
