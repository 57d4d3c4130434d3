"""Hunt for bytes that break a decoder: ``python tests/fuzz/hunt.py metrics -runs=1000000 DIR``.

What follows the decoder's name are options of libFuzzer.  It learns from the branches that an
input takes: in our Python, and in msgpack's own Python, by which the reference reads what the
compiled decoder shall read, so that the ways into both are found.
"""

from __future__ import annotations

import os
import resource
import sys
import warnings
from pathlib import Path

import atheris

# Before msgpack is imported: compiled code says nothing of its branches.
os.environ["MSGPACK_PUREPYTHON"] = "1"

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT.parent), str(ROOT)]

with atheris.instrument_imports(include=["decoders", "reference", "simvue", "msgpack"]):
    from decoders import DECODERS

# Above what the program takes by itself.  An input has a few KiB: whoever needs this much for
# one has believed a count that it claims.
MEMORY_MAX = 1 << 30


def main() -> None:
    name, *options = sys.argv[1:]
    decoder = DECODERS[name]
    warnings.simplefilter("error")
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size_max = pages * resource.getpagesize() + MEMORY_MAX
    resource.setrlimit(resource.RLIMIT_AS, (size_max, size_max))
    for corpus in options:
        if not corpus.startswith("-"):
            for number, seed in enumerate(decoder.seeds):
                Path(corpus, f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *options], decoder.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
