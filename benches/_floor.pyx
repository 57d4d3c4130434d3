# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The floor: what encoding a row costs in C, with nothing around it.

``Floor.log_metrics`` writes the row that ``simvue._batch`` writes, ``{"values": {...},
"time": f64, "timestamp": 26 characters, "step": int}`` in msgpack, of a dict of floats, into
one buffer that is used again from its start when it is full.  It reads no clock, checks no
name, publishes nothing and shares no memory: bench_log.py holds the real call against it.
"""

from cpython.dict cimport PyDict_Next, PyDict_Size
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef extern from *:
    """
    #define swap64(x) __builtin_bswap64(x)
    """
    uint64_t swap64(uint64_t) noexcept nogil

cdef enum:
    # As large as the largest segment of the queue, so that its pages are as warm or cold.
    SIZE = 4 << 20
    # A row of a few names fits in it many times over; longer ones are not what a floor is for.
    ROW_SIZE_MAX = 64 << 10


cdef inline uint8_t* word(uint8_t *at, uint8_t head, uint64_t bits) noexcept nogil:
    """Write a head and eight bytes, most significant first, as msgpack has 64-bit numbers."""
    cdef uint64_t big = swap64(bits)
    at[0] = head
    memcpy(at + 1, &big, 8)
    return at + 9


cdef inline uint8_t* double_(uint8_t *at, double value) noexcept nogil:
    cdef uint64_t bits
    memcpy(&bits, &value, 8)
    return word(at, 0xCB, bits)


cdef class Floor:
    """A ``Run`` that only encodes."""

    cdef uint8_t *start
    cdef uint8_t *row
    cdef uint8_t *at
    cdef readonly uint64_t rows

    def __cinit__(self):
        self.start = <uint8_t *> malloc(SIZE)
        if self.start == NULL:
            raise MemoryError
        self.row = self.at = self.start

    def __dealloc__(self):
        free(self.start)

    def log_metrics(self, dict metrics not None, step=None, time=None, timestamp=None):
        """Encode a row of at most 15 floats, and nothing but floats, named in at most 31 bytes."""
        cdef Py_ssize_t position = 0, size = 0
        cdef PyObject *name
        cdef PyObject *value
        cdef const char *text
        cdef uint64_t number = self.rows if step is None else step
        cdef double since = 0.0 if time is None else time
        cdef uint8_t *at = self.at
        if at + ROW_SIZE_MAX > self.start + SIZE:
            at = self.start
        self.row = at
        memcpy(at, b"\x84\xa6values", 8)
        at[8] = 0x80 | <uint8_t> PyDict_Size(metrics)
        at += 9
        while PyDict_Next(metrics, &position, &name, &value):
            text = PyUnicode_AsUTF8AndSize(<object> name, &size)
            at[0] = 0xA0 | <uint8_t> size
            memcpy(at + 1, text, size)
            at = double_(at + 1 + size, PyFloat_AS_DOUBLE(<object> value))
        memcpy(at, b"\xa4time", 5)
        at = double_(at + 5, since)
        memcpy(at, b"\xa9timestamp\xba2026-01-31T12:00:00.000000", 37)
        memcpy(at + 37, b"\xa4step", 5)
        self.at = word(at + 42, 0xCF, number)
        self.rows += 1
        return True

    def last(self):
        """Return the row written last, so that the bench can check that it was written right."""
        return (<char *> self.row)[:self.at - self.row]
