"""Opening: what the demo shows first, and the sentences that say what is seen there.

The address of a view says how the view is shown, so the one that is printed can open the table
of runs with their descriptions, the runs of one example ticked, and their charts beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

TICKED: Final = "seed_scan"
"""The example whose runs are ticked: one simulation, at four values of its parameter."""

# By then each of the four goes where its description says.
_STEPS: Final = 40

_SENTENCES: Final = """\
Open {address}
You see every run of these examples, one a line, with a sentence that says what it simulates.
Four are ticked, one simulation at four growth rates: the chart beside the table draws all four.
"""


def opening(url: str, token: str, runs: Sequence[str]) -> str:
    """Return what is printed of the server at *url*, where *runs* are those of ``TICKED``."""
    view = [
        ("token", token),
        *(("col", column) for column in ("name", "description", "status", "duration")),
        ("sort", "name"),
        ("order", "up"),
        ("runs", ",".join(runs)),
        ("from", 0),
        ("to", _STEPS),
    ]
    return _SENTENCES.format(address=f"{url}/dashboard/runs?{urlencode(view, safe=',')}")
