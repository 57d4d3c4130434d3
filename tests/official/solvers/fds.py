"""Stands in for the Fire Dynamics Simulator: a fire in a room that reaches its sprinkler.

Called as ``fds room.fds`` in the directory of the case; writes what FDS 6 writes of it, at a
pace that somebody may watch: ``room.out``, heat release and devices as tables, what devices
switched, and temperatures along a line.
"""

import sys
import time
from pathlib import Path

STEPS = 12
NAME = Path(sys.argv[1]).stem

HEADER = f"""
 Fire Dynamics Simulator

 Revision         : FDS-6.9.1-0-g889da6a-release
 Revision Date    : Sun Apr 7 17:05:06 2024 -0400
 Compiler         : ifort version 2021.7.1
 Compilation Date : Apr 08, 2024 21:10:14

 Number of MPI Processes:  1
 MPI version: 3.1
 MPI library version: Intel(R) MPI Library 2021.6

 Job TITLE        : A room
 Job ID string    : {NAME}

 Simulation Start Time (s)              0.0
 Simulation End Time (s)               60.0

 Run Time Diagnostics

"""
STEP = """
       Time Step {step:7d}   November 23, 2026  10:00:{step:02d}
       Step Size:    0.500E+00 s, Total Time:       {time:.2f} s
       Pressure Iterations: 2
       Maximum Velocity Error:  0.12E-02 on Mesh 1 at (1,2,3)
       ---------------------------------------------------------------
       Mesh     1
       Max CFL number:  0.86E+00 at (5,5,1)
       Max divergence:  0.15E+00 at (5,5,1)
       Min divergence: -0.11E+00 at (5,5,2)
       Total Heat Release Rate:             {release:.3f} kW
"""

print(" Starting FDS ...", file=sys.stderr)
with (
    open(f"{NAME}.out", "w") as log,
    open(f"{NAME}_hrr.csv", "w") as release,
    open(f"{NAME}_devc.csv", "w") as devices,
):
    log.write(HEADER)
    release.write("s,kW,kW\nTime,HRR,Q_RADI\n")
    devices.write("s,C\nTime,ceiling\n")
    for step in range(1, STEPS + 1):
        now = step * 5.0
        log.write(STEP.format(step=step, time=now, release=10.0 * step))
        release.write(f" {now:.4E}, {10.0 * step:.4E}, {-2.0 * step:.4E}\n")
        devices.write(f" {now:.4E}, {20.0 + 5.0 * step:.4E}\n")
        for file in (log, release, devices):
            file.flush()
        time.sleep(0.3)
    log.write("\n DEVICE Activation Times\n\n   1  sprinkler  TEMPERATURE  55.0 s\n")
    log.write("\n STOP: FDS completed successfully\n")
Path(f"{NAME}_devc_ctrl_log.csv").write_text(
    "Time (s),Type,ID,State,Value,Units\n  5.5E+01,DEVC,sprinkler,T,74.0,C\n"
)
heights = [0.0, 1.0, 2.0, 3.0]
Path(f"{NAME}_line.csv").write_text(
    "m,C\nplume-z,plume\n" + "".join(f"{z},{20 + 10 * z}\n" for z in heights)
)
# Twice as long as the connector takes to look for files again.
time.sleep(1)
