"""Emissions: energy and carbon dioxide that a run costs, estimated from what it used.

::

    energy   CPU seconds x watts of a core  +  seconds x mean use of its GPUs x watts of a GPU
    CO2e     energy x the grid's intensity: configured, else asked for, else the world's average

An estimate by rated power: it leaves out memory, network and cooling.  The intensity is asked
for only where a token is configured, in a thread of its own, and never waited for.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

INTENSITY_DEFAULT: Final = 0.445
"""kg CO2e a kWh: the world's average of 2024, by the International Energy Agency."""

_REFRESH_S_MIN: Final = 120.0
"""What the web service's free tier bears, also from a whole cluster that shares no disk."""

_TIMEOUT_S: Final = 10.0
ADDRESS: Final = "https://api.electricitymap.org/v3/carbon-intensity/latest"
_CACHE_NAME: Final = "co2_intensity.json"

_JOULES: Final = 3.6e6
"""In a kWh."""


class Footprint:
    """What one run has cost so far; *eco* has the members of ``[eco]`` in the configuration."""

    def __init__(self, eco: Mapping[str, Any], cache: Path, used_before_s: float = 0.0) -> None:
        """Begin after *used_before_s* seconds of CPU time that nobody counted."""
        self._core_watts = eco["cpu_power"] / eco["cpu_cores"]
        self._gpu_watts = eco["gpu_power"]
        self._intensity = Intensity(eco, cache)
        self._energy = self._emissions = 0.0
        self.add(used_before_s, 0.0, 0.0)

    def add(self, cpu_s: float, gpu_percent: float, seconds: float) -> dict[str, float]:
        """Add *cpu_s* of CPU time, and GPUs in use for *seconds*; return the metrics.

        Energy is in kWh, emissions are in kg of CO2 or what warms as much.
        """
        joules = cpu_s * self._core_watts + gpu_percent / 100 * self._gpu_watts * seconds
        energy = joules / _JOULES
        emissions = energy * self._intensity.latest()
        self._energy += energy
        self._emissions += emissions
        return {
            "sustainability.emissions.total": self._emissions,
            "sustainability.emissions.delta": emissions,
            "sustainability.energy_consumed.total": self._energy,
            "sustainability.energy_consumed.delta": energy,
        }


class Intensity:
    """Kilograms of CO2 that a kWh costs here and now; *cache* is shared by a user's nodes."""

    def __init__(self, eco: Mapping[str, Any], cache: Path) -> None:
        self._fixed: float | None = eco["co2_intensity"]
        self._token: str | None = eco["token"]
        self._zone: str | None = eco["zone"]
        self._refresh_s = max(_REFRESH_S_MIN, eco["refresh_interval"])
        self._file = cache / _CACHE_NAME
        self._known = INTENSITY_DEFAULT
        self._look_at = 0.0

    def latest(self) -> float:
        """Return what is known; have news fetched if it is old.  Never waits."""
        if self._fixed is not None:
            return self._fixed
        now = time.time()
        if now >= self._look_at:
            # Whoever looks next, also after a failure, waits as long.
            self._look_at = now + self._refresh_s
            if not self._read(now) and self._token:
                threading.Thread(target=self._fetch, name="simvue-co2", daemon=True).start()
        return self._known

    def _read(self, now: float) -> bool:
        """Take what some other shipper fetched; False if it is too old, or there is none."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(self._file.read_bytes())
            if found["zone"] == self._zone:
                self._known = float(found["kg_per_kwh"])
                return bool(now - found["fetched"] < self._refresh_s)
        return False

    def _fetch(self) -> None:
        import requests

        # Whatever goes wrong: the run has its numbers all the same, by an older intensity.
        with contextlib.suppress(
            requests.RequestException, OSError, ValueError, KeyError, TypeError
        ):
            answer = requests.get(
                ADDRESS,
                params={"zone": self._zone} if self._zone else None,
                headers={"auth-token": str(self._token)},
                timeout=_TIMEOUT_S,
            )
            answer.raise_for_status()
            # The service tells grams.
            self._known = float(answer.json()["carbonIntensity"]) / 1000
            self._write()

    def _write(self) -> None:
        text = {"kg_per_kwh": self._known, "zone": self._zone, "fetched": time.time()}
        part = self._file.with_name(f"{_CACHE_NAME}.{os.getpid()}")
        self._file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(text))
        part.replace(self._file)
