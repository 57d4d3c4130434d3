"""No bytes break a decoder: seconds of a fuzzer on each here, minutes in ``make fuzz``."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from decoders import DECODERS

# Seconds for each decoder; with the four that it takes to begin, half a minute for all of them.
FUZZ_S = int(os.environ.get("SIMVUE_TEST_FUZZ_S") or 2)
# Seconds for one input of at most 4 KiB, where a good decoder takes milliseconds: this is for
# a machine that is busy with everything else.
INPUT_S_MAX = 20


@pytest.mark.parametrize("name", sorted(DECODERS))
def test_the_seeds_are_what_a_decoder_takes(name: str) -> None:
    for seed in DECODERS[name].seeds:
        DECODERS[name].check(seed)


@pytest.mark.timeout(FUZZ_S + 120)
@pytest.mark.parametrize("name", sorted(DECODERS))
def test_no_bytes_break_a_decoder(name: str, rng: random.Random, tmp_path: Path) -> None:
    """Goal: what is documented is raised and nothing else, soon, and without taking the memory."""
    pytest.importorskip("atheris", reason="there is no wheel of atheris for this machine")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    hunt = subprocess.run(
        [
            *(sys.executable, str(Path(__file__).with_name("hunt.py")), name),
            *(f"-max_total_time={FUZZ_S}", f"-timeout={INPUT_S_MAX}", "-max_len=4096"),
            *(f"-seed={rng.randrange(1, 2**31)}", f"-artifact_prefix={tmp_path}/", str(corpus)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert hunt.returncode == 0, f"see {tmp_path}:\n{hunt.stderr[-8000:]}"
    assert "Done " in hunt.stderr
