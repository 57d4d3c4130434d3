"""Stands in for OpenFOAM's icoFoam where there is none: its log, and its directories of results.

Run in a case directory; the log is as version 1912 writes it, with residuals that halve.
"""

import time
from pathlib import Path

STEPS = 20
HEADER = r"""/*---------------------------------------------------------------------------*\
| =========                 |                                                 |
| \\      /  F ield         | a stand-in for OpenFOAM                         |
\*---------------------------------------------------------------------------*/
Build  : OPENFOAM=1912 patch=200626
Exec   : icoFoam
nProcs : 1

// * * * * * * * * * * * * * * * * * * * * * * * * * * * * * * * * * * * * * //
Create time

Reading field p

Reading field U


Starting time loop
"""

print(HEADER)
for step in range(1, STEPS + 1):
    left = 0.5**step
    print(f"Time = {step / 100:g}\n\nCourant Number mean: 0.1 max: 0.5")
    for solver, field in (("smoothSolver", "Ux"), ("smoothSolver", "Uy"), ("DICPCG", "p")):
        print(
            f"{solver}:  Solving for {field}, Initial residual = {left:g}, "
            f"Final residual = {left / 1e6:g}, No Iterations 2"
        )
    print(f"ExecutionTime = {step / 10:g} s  ClockTime = {step // 10} s\n", flush=True)
    if step % 10 == 0:
        results = Path(f"{step / 100:g}")
        results.mkdir()
        (results / "p").write_text("internalField uniform 0;\n")
    time.sleep(0.05)
print("End")
