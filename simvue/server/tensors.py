"""Tensors: msgpack rows of arrays logged on a grid -> raw numbers of one type and shape.

A row is ``{"time", "timestamp", "step", "array", "grid", "metric"}``, its array of one or two
axes.  Nothing here trusts the body: what a row may cost in memory is bounded by its bytes,
which are looked at before it is decoded.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import Meta, Struct

from simvue import wire

from .forms import Refused, check_id, checked, invalid
from .store import Tensor

# Rows of one body; official clients send 16,000 at most.
ROWS_MAX: Final = 65_536
# Bytes of one row: of each element its number and the header of a line around it, and beside
# them a name, an id and a few more members.
ROW_SIZE_MAX: Final = wire.TENSOR_SIZE_MAX * (9 + 5) + 2 * wire.NAME_SIZE_MAX

# By numpy's kind of an array: the type that it is kept as.
_DTYPES: Final = {"f": "<f8", "i": "<i8", "u": "<u8", "b": "<i8"}


class _Row(Struct):
    array: list[Any]
    grid: str
    metric: str
    step: Annotated[int, Meta(ge=0, le=wire.STEP_MAX)]
    timestamp: str
    time: float


# msgspec says of text that is not UTF-8 what Python does.
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ROW = msgspec.msgpack.Decoder(_Row)
_ROWS = msgspec.msgpack.Decoder(list[msgspec.Raw])


def decode(body: bytes, strict: bool) -> tuple[list[Tensor], int]:
    """Decode the rows of *body*; return them and how many are left out because they are wrong.

    None is if *strict*: the first wrong one is refused (422), as is a body that is no array.
    """
    if _length(body) > ROWS_MAX:
        raise invalid(f"a body holds at most {ROWS_MAX} arrays", "body")
    try:
        rows = _ROWS.decode(body)
    except _UNREADABLE as error:
        raise invalid(str(error), "body") from None
    tensors = []
    for place, row in enumerate(rows):
        try:
            tensors.append(_tensor(place, row))
        except Refused:
            if strict:
                raise
    return tensors, len(rows) - len(tensors)


def _tensor(place: int, raw: msgspec.Raw) -> Tensor:
    if len(memoryview(raw)) > ROW_SIZE_MAX:
        raise invalid(f"an array has at most {wire.TENSOR_SIZE_MAX} elements", "body", place)
    try:
        row = _ROW.decode(raw)
    except _UNREADABLE as error:
        raise invalid(str(error), "body", place) from None
    check_id(row.grid, "body", place, "grid")
    name = row.metric
    if len(name) > wire.NAME_SIZE_MAX or not wire.METRIC_NAME_PATTERN.fullmatch(name):
        raise invalid(f"{name[:60]!r} is not a metric's name", "body", place, "metric")
    with checked("body", place, "timestamp"):
        timestamp = wire.parse_timestamp(row.timestamp)
    array = _array(row.array, place)
    return Tensor(
        name=name,
        grid=row.grid,
        step=row.step,
        time=row.time,
        timestamp=timestamp,
        dtype=array.dtype.str,
        shape=array.shape,
        values=array.tobytes(),
    )


def _array(value: list[Any], place: int) -> np.ndarray[Any, Any]:
    with checked("body", place, "array"):
        array = np.asarray(value)
        if array.dtype.kind not in _DTYPES:
            raise ValueError("an array holds numbers alone")
        if array.ndim not in (1, 2) or not 0 < array.size <= wire.TENSOR_SIZE_MAX:
            raise ValueError(
                f"an array has one or two axes and 1 to {wire.TENSOR_SIZE_MAX} elements; "
                f"got the shape {list(array.shape)[:8]}"
            )
        return array.astype(_DTYPES[array.dtype.kind])


def values(tensor: Tensor) -> list[Any]:
    """Return the numbers of *tensor* as nested lists."""
    array = np.frombuffer(tensor.values, tensor.dtype).reshape(tensor.shape)
    found: list[Any] = array.tolist()
    return found


def _length(array: bytes) -> int:
    """Read how many items a msgpack array says it has; 0 if it is none, which its decoder says."""
    head = array[:1]
    if head in (b"\xdc", b"\xdd"):
        return int.from_bytes(array[1 : 3 if head == b"\xdc" else 5], "big")
    return 0
