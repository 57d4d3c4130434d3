"""The advanced tutorial's solver: heat in a rod, ``rod.py -i INPUT --color off``.

The input is the number of the step that does not converge, or none.  Log, temperatures and the
fields of all steps are in ``results/``; a run takes a tenth of a second a step.
"""

import sys
import time
from pathlib import Path

case = Path(sys.argv[sys.argv.index("-i") + 1])
lost = case.read_text().strip()
results = case.parent / "results"
results.mkdir(exist_ok=True)
fields = results / "rod.e"

with open(results / "rod.txt", "w") as log:
    log.write("\nMOOSE Version:   git commit 0123456789\nPETSc Version:   3.20.3\n\n")
    for step in range(1, 201):
        log.write(f"Time Step {step}, time = {step}, dt = 1\n 0 Nonlinear |R| = 4.97e-01\n")
        log.write(f" Solve {'Did NOT Converge!' if str(step) == lost else 'Converged!'}\n")
        log.flush()
        fields.write_text(f"{step} steps\n")
        rows = [f"{50 * step - 10 * x},{x},{x},0.5,0.5" for x in range(4)]
        (results / f"rod_temps_{step:04d}.csv").write_text("\n".join(["T,id,x,y,z", *rows]) + "\n")
        time.sleep(0.1)
        if not lost and step == 20:
            break
    # Whoever follows reads the last temperatures before the end: multiparser does one at a time.
    time.sleep(0.5)
    log.write("Finished Executing\n")
time.sleep(1)
