"""Types of ``_columns.pyx``, for people and mypy."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

class Block:
    names: tuple[str, ...]
    kinds: bytes
    rows: NDArray[np.uint32] | None
    words: NDArray[np.uint64]
    def __init__(
        self,
        names: tuple[str, ...],
        kinds: bytes,
        rows: NDArray[np.uint32] | None,
        words: NDArray[np.uint64],
    ) -> None: ...
    def __len__(self) -> int: ...
    @property
    def step(self) -> NDArray[np.int64]: ...
    @property
    def time(self) -> NDArray[np.float64]: ...
    @property
    def timestamp(self) -> NDArray[np.int64]: ...
    @property
    def values(self) -> NDArray[np.uint64]: ...

class Rows:
    run: str
    count: int
    blocks: tuple[Block, ...]
    def __init__(self, run: str, count: int, blocks: Iterable[Block]) -> None: ...
    @property
    def nbytes(self) -> int: ...
    def keep(self, ranges: Iterable[tuple[int, int]]) -> Rows: ...

def decode_metrics(body: bytes | bytearray | memoryview) -> Rows: ...
def pack(words: NDArray[np.uint64]) -> NDArray[np.uint8]: ...
def unpack(planes: bytes | NDArray[np.uint8], columns: int, rows: int) -> NDArray[np.uint64]: ...
