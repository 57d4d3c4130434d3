"""One metric of one run as its rows were logged, or cut to what a chart can show.

The server answers in columns of raw little-endian bytes, which become arrays without numpy::

    {"loss": {"step": int64, "time": float64, "timestamp": int64,
              "values": 8 bytes a row, "kinds": "f" | "i" | "u" | "b", or a byte a row,
              "rank": int32, only where ranks share the run}}

The arrays lend their memory to numpy: ``numpy.asarray(series.step)`` copies nothing.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from .exception import ServerError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_KINDS: Final = "fiub"
"""What a row's value is: float64, int64, uint64, bool; its place here is its byte in ``kinds``."""


@dataclass(frozen=True, repr=False)
class Series:
    """Every row of one metric, in the order in which it was logged; equally long columns.

    ``step`` counts, ``time`` is in seconds since the run's start, ``timestamp`` in microseconds
    since the epoch.  ``values`` are exactly what was logged: float, int or bool.  ``rank`` is
    None but for a run that ranks share: there the rows go by rank, -1 for none.
    """

    name: str
    step: array[int]
    time: array[float]
    timestamp: array[int]
    values: Sequence[float | int | bool]
    rank: array[int] | None = None

    def __len__(self) -> int:
        return len(self.step)

    def __repr__(self) -> str:
        return f"Series({self.name!r}, {len(self):,} rows)"

    def to_numpy(self) -> dict[str, NDArray[Any]]:
        """Return the columns as arrays by name; mixed values become float64.

        Copies only values that are mixed or bool.
        """
        import numpy as np

        kind = np.bool_ if all(type(value) is bool for value in self.values) else np.float64
        values: Any = self.values
        columns = {
            "step": np.asarray(self.step),
            "time": np.asarray(self.time),
            "timestamp": np.asarray(self.timestamp),
            "values": np.asarray(values, None if isinstance(values, array) else kind),
        }
        return columns if self.rank is None else {**columns, "rank": np.asarray(self.rank)}

    def to_dataframe(self) -> pd.DataFrame:
        """Return a frame with the columns of the series; timestamps are UTC."""
        from .frames import series_frame

        return series_frame(self.to_numpy())


@dataclass(frozen=True, repr=False)
class Buckets:
    """One metric cut to buckets of equal width on the x axis; equally long columns.

    A bucket has what a chart must not lose: the first, last, least and greatest value of its
    rows, where on the x axis each lies, how many rows there are, and how many are not finite.
    """

    name: str
    count: array[int]
    nonfinite: array[int]
    first: array[float]
    last: array[float]
    min: array[float]
    max: array[float]
    x_first: array[float]
    x_last: array[float]
    x_min: array[float]
    x_max: array[float]

    def __len__(self) -> int:
        return len(self.count)

    def __repr__(self) -> str:
        return f"Buckets({self.name!r}, {len(self):,} of {sum(self.count):,} rows)"

    def to_numpy(self) -> dict[str, NDArray[np.float64 | np.int64]]:
        """Return the columns as arrays by name, without copying."""
        import numpy as np

        return {name: np.asarray(getattr(self, name)) for name in _BUCKET_COLUMNS}

    def to_dataframe(self) -> pd.DataFrame:
        """Return a frame with one row a bucket."""
        from .frames import series_frame

        return series_frame(self.to_numpy())


_BUCKET_COLUMNS: Final = tuple(field.name for field in fields(Buckets))[1:]


def decode_series(name: str, columns: Mapping[str, Any]) -> Series:
    """Decode what the server sent for *name*; raises ServerError if it is not a series."""
    step, timestamp = _column(name, columns, "step", "q"), _column(name, columns, "timestamp", "q")
    time, bits = _column(name, columns, "time", "d"), _column(name, columns, "values", "Q")
    rank = _column(name, columns, "rank", "i") if "rank" in columns else None
    if {len(time), len(timestamp), len(bits), len(step if rank is None else rank)} != {len(step)}:
        raise _malformed(name, "lengths")
    values = _values(bits, _kinds(name, columns, len(bits)))
    return Series(name, step, time, timestamp, values, rank)


def _kinds(name: str, columns: Mapping[str, Any], rows: int) -> str | bytes:
    kinds = columns.get("kinds")
    if isinstance(kinds, str) and len(kinds) == 1 and kinds in _KINDS:
        return kinds
    if isinstance(kinds, bytes) and len(kinds) == rows and max(kinds, default=0) < len(_KINDS):
        return kinds
    raise _malformed(name, "kinds")


def _values(bits: array[int], kinds: str | bytes) -> Sequence[float | int | bool]:
    if isinstance(kinds, str):
        return _view(bits, kinds)
    # One view for each kind that occurs, and each row picked from its own.
    views = [_view(bits, kind) if code in kinds else () for code, kind in enumerate(_KINDS)]
    return [views[code][row] for row, code in enumerate(kinds)]


def _view(bits: array[int], kind: str) -> Sequence[float | int | bool]:
    if kind == "b":
        return [bit != 0 for bit in bits]
    if kind == "u":
        return bits
    same: array[Any] = array("d" if kind == "f" else "q")
    same.frombytes(bits.tobytes())
    return same


def decode_buckets(name: str, columns: Mapping[str, Any]) -> Buckets:
    """Decode what the server sent for *name*; raises ServerError if it is not buckets."""
    arrays = {
        column: _column(name, columns, column, "q" if column in ("count", "nonfinite") else "d")
        for column in _BUCKET_COLUMNS
    }
    if len({len(column) for column in arrays.values()}) != 1:
        raise _malformed(name, "lengths")
    return Buckets(name, **arrays)


def _column(name: str, columns: Mapping[str, Any], column: str, kind: str) -> array[Any]:
    raw = columns.get(column) if isinstance(columns, Mapping) else None
    decoded: array[Any] = array(kind)
    if not isinstance(raw, bytes) or len(raw) % decoded.itemsize:
        raise _malformed(name, column)
    decoded.frombytes(raw)
    if sys.byteorder == "big":
        decoded.byteswap()
    return decoded


def _malformed(name: str, what: str) -> ServerError:
    return ServerError(f"the server's answer for metric {name!r} is malformed ({what})")
