"""A solver of nobody in particular: one line a step, ``<seconds> <angle>``, until it is done.

``pendulum.py STEPS``: it takes a tenth of a second for each.
"""

import math
import sys
import time

for step in range(int(sys.argv[1])):
    print(f"{step / 10:.1f} {math.cos(step / 10):.6f}", flush=True)
    time.sleep(0.1)
