# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=False
"""From ``run.log_metrics({"loss": 0.3}, step=7)`` to bytes in a segment: the hot path, all of it.

::

    The door             what Python sees: Writer, Bound, Stream, Segment
    Gather               Python objects -> a Row of C numbers; may raise, has written nothing
    Encode and publish   a Row -> msgpack behind the last row, then one release store; cannot fail
    (_batch.pxd)         the structs, and msgpack as inline functions

The GIL is held throughout: it is the lock between threads, so there is one row in the
making at any time and its scratch space is global.  Whatever may run a stranger's code
(``__float__``, a slow road that waits) happens while no row is begun.
"""

from cpython.bool cimport PyBool_Check
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next, PyDict_Size
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check, PyFloat_CheckExact
from cpython.long cimport PyLong_Check
from cpython.object cimport Py_TYPE, PyObject
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_CheckExact
from libc.stdlib cimport free, malloc, realloc

import os
import weakref

from simvue.exception import InvalidValueError, NotInitialisedError
from simvue.values import (
    as_column, as_dict, as_microseconds, as_plain, as_step, as_steps, as_time, as_times,
)
from simvue.wire import BODY_SIZE_MAX, LOG_LEVELS, METRIC_NAME_PATTERN, NAME_SIZE_MAX

cdef extern from "Python.h":
    int PyLong_CheckExact(object number)
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) except? -1
    unsigned long long PyLong_AsUnsignedLongLong(object number) except? -1
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    PyObject *PyDict_GetItemWithError(object mapping, object key) except? NULL
    void *PyLong_AsVoidPtr(object address) except? NULL
    object PyLong_FromVoidPtr(void *address)

    ctypedef struct PyMethodDef:
        const char *ml_name
        void *ml_meth
        int ml_flags
        const char *ml_doc
    int METH_FASTCALL
    int METH_KEYWORDS
    object PyCFunction_New(PyMethodDef *method, object self)

cdef extern from *:
    """
    #include <sys/mman.h>

    /* One byte that is 1 in the process that wrote it and 0 in every fork of it, a fork
       made in C included: the kernel wipes the page. */
    static char *make_fork_page(void) {
        char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED) return 0;
    #ifdef MADV_WIPEONFORK
        madvise(page, 4096, MADV_WIPEONFORK);
    #endif
        page[0] = 1;
        return page;
    }
    """
    char *make_fork_page() noexcept nogil

cdef extern from *:
    """
    #include <signal.h>
    #include <unistd.h>

    /* What batch systems end a job with.  A handler in Python would run only between two of
       its instructions, and make a code unkillable that is inside a long C or MPI call. */
    static const int NOTED[] = {SIGTERM, SIGHUP, SIGXCPU};

    /* One word for each open run, in the first segment of its calls; chosen: a process has few. */
    static uint32_t *noted_in[64];
    static pid_t noted_by;

    static void note_signal(int number) {
        /* Only stores: nothing else is safe here.  A fork has its parent's handler, and its
           death is not the run's. */
        if (getpid() == noted_by)
            for (int i = 0; i < 64; i++) {
                uint32_t *word = __atomic_load_n(&noted_in[i], __ATOMIC_RELAXED);
                if (word) __atomic_store_n(word, (uint32_t)number, __ATOMIC_RELEASE);
            }
        /* SA_RESETHAND has put the default back: the process dies as it would have. */
        raise(number);
    }

    static void note_signals_in(uint32_t *word) {
        if (noted_by != getpid()) {
            noted_by = getpid();
            for (int i = 0; i < 64; i++) noted_in[i] = 0;
        }
        for (int i = 0; i < 64; i++)
            if (!noted_in[i]) {
                __atomic_store_n(&noted_in[i], word, __ATOMIC_RELAXED);
                break;
            }
        for (unsigned i = 0; i < sizeof NOTED / sizeof *NOTED; i++) {
            struct sigaction now;
            /* Where the simulation, or MPI, has a handler of its own, it knows better. */
            if (sigaction(NOTED[i], 0, &now) || now.sa_handler != SIG_DFL) continue;
            now.sa_handler = note_signal;
            now.sa_flags = SA_RESETHAND | SA_NODEFER;
            sigemptyset(&now.sa_mask);
            sigaction(NOTED[i], &now, 0);
        }
    }

    static void forget_signals_in(uint32_t *word) {
        for (int i = 0; i < 64; i++)
            if (noted_in[i] == word) __atomic_store_n(&noted_in[i], 0, __ATOMIC_RELAXED);
    }
    """
    void note_signals_in(uint32_t *word) noexcept nogil
    void forget_signals_in(uint32_t *word) noexcept nogil

SEGMENT_HEADER_SIZE = SEGMENT_HEADER

cdef char *_own = make_fork_page()
if _own is NULL:
    raise MemoryError("no page of memory for the fork mark")
cdef object _streams = weakref.WeakSet()


def _forked_in_child():
    _own[0] = 0


# Where the kernel cannot wipe a page at fork, Python's own forks at least are seen.
os.register_at_fork(after_in_child=_forked_in_child)


# ==== The door ==========================================================================

cdef class Segment:
    """A mapped file of rows; *buffer* is the writable mapping, which this object keeps open.

    Both processes hold one for the same file.  Every access to a shared word is one atomic
    load or store; ``struct`` or a slice of the mapping would promise neither one load nor
    an order.
    """

    cdef SegmentHeader *header
    cdef char *rows
    cdef readonly uint32_t capacity
    cdef readonly str name
    cdef Py_buffer view

    def __cinit__(self, buffer, str name):
        PyObject_GetBuffer(buffer, &self.view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        if self.view.len <= SEGMENT_HEADER:
            raise ValueError(f"segment {name} is too short for its header")
        self.header = <SegmentHeader *>self.view.buf
        self.rows = <char *>self.view.buf + SEGMENT_HEADER
        self.capacity = <uint32_t>(self.view.len - SEGMENT_HEADER)
        self.name = name

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    def format(self):
        """Make a new, zeroed file a segment; the writer calls it once, before anyone can see it."""
        self.header.format = SEGMENT_FORMAT
        self.header.magic = SEGMENT_MAGIC

    @property
    def is_whole(self):
        """Whether the header is that of a segment of a format we read."""
        return self.header.magic == SEGMENT_MAGIC and self.header.format == SEGMENT_FORMAT

    @property
    def number(self):
        """Which filling of its writer this is, counted from 1; 0 before the first."""
        return load_acquire(&self.header.number)

    @property
    def first_row(self):
        """The number of the first row of this filling."""
        return load_relaxed(&self.header.first_row)

    @property
    def sealed(self):
        """The last filling that takes no more rows: its ``published``, loaded after this, is final."""
        return load_acquire(&self.header.sealed)

    @property
    def published(self):
        """(rows, bytes) that may be read."""
        cdef uint64_t word = load_acquire(&self.header.published)
        return word >> 32, word & 0xFFFFFFFF

    @property
    def shipped(self):
        """(rows, bytes) that are acknowledged, or safe in the spool."""
        cdef uint64_t word = load_acquire(&self.header.shipped)
        return word >> 32, word & 0xFFFFFFFF

    @property
    def returned(self):
        """The last filling that the shipper handed back."""
        return load_acquire(&self.header.returned)

    @property
    def is_free(self):
        """Whether the writer may fill the segment."""
        return load_acquire(&self.header.returned) == load_relaxed(&self.header.number)

    @property
    def owed(self):
        """Whether a published row is neither acknowledged nor in the spool."""
        # `returned` first: once it equals `number` the other words speak of no filling.
        if self.is_free:
            return False
        return load_acquire(&self.header.shipped) != load_relaxed(&self.header.published)

    @property
    def dropped(self):
        """Rows that the writer lost to a full queue, in all, when it last wrote here."""
        return load_relaxed(&self.header.dropped)

    @property
    def signal(self):
        """The signal that ended the process, if it was one that is noted; 0 otherwise."""
        return self.header.signal

    def note_signals(self):
        """Have SIGTERM, SIGHUP and SIGXCPU noted here before they end the process as ever.

        Only where they would: a handler that somebody installed is left alone.
        """
        note_signals_in(&self.header.signal)

    def forget_signals(self):
        """Note no more signals here: the run is closed."""
        forget_signals_in(&self.header.signal)

    def copy(self, bytes header not None, uint32_t start, uint32_t end):
        """Return *header* and the bytes from *start* to *end*; the caller read ``published`` before."""
        cdef Py_ssize_t front = PyBytes_GET_SIZE(header)
        if start > end or end > self.capacity:
            raise ValueError(f"segment {self.name}: bytes {start}-{end} of {self.capacity}")
        cdef bytes body = PyBytes_FromStringAndSize(NULL, front + end - start)
        cdef char *to = put_bytes(PyBytes_AS_STRING(body), PyBytes_AS_STRING(header), front)
        # Rows in a mapped file do not change once they are published: no lock is needed.
        with nogil:
            put_bytes(to, self.rows + start, end - start)
        return body

    def ship(self, uint64_t rows, uint64_t size):
        """Say that this much of the filling is safe; the shipper's word."""
        store_release(&self.header.shipped, rows << 32 | size)

    def hand_back(self):
        """Give the segment back to its writer; the shipper's last word about a filling."""
        # `shipped` before `returned`: once the writer sees the second, the first is its new zero.
        store_relaxed(&self.header.shipped, 0)
        store_release(&self.header.returned, load_relaxed(&self.header.number))


cdef class Stream:
    """One writer: rows numbered from 0 without holes, in one segment after another.

    *roll* is called as ``roll(stream, size)`` when a row of at most *size* bytes does not
    fit; it puts a segment in place with ``switch`` and returns True, or returns False for a
    row that is to be dropped.  It may wait, and may let other threads log meanwhile.
    """

    cdef Place place
    cdef readonly object segment
    cdef readonly uint64_t first_row
    cdef readonly uint64_t number
    cdef readonly uint64_t dropped
    cdef object roll
    cdef bint closed
    cdef object __weakref__

    def __cinit__(self, roll):
        self.roll = roll
        self.segment = None
        _streams.add(self)

    @property
    def next_row(self):
        """The number that the next row gets."""
        return self.first_row + self.place.count

    def switch(self, Segment old, Segment new not None):
        """Go on in *new* if *old* is still current and *new* is free; else change nothing.

        One step under the GIL, so a signal handler or a thread that logs in between finds
        the stream either before or after it.
        """
        if self.closed or self.segment is not old or not new.is_free:
            return False
        self.first_row += self.place.count
        self.number += 1
        # The reader trusts `published` once it sees the new `number`: the release goes last.
        store_relaxed(&new.header.published, 0)
        store_relaxed(&new.header.first_row, self.first_row)
        store_relaxed(&new.header.dropped, self.dropped)
        store_release(&new.header.number, self.number)
        self.segment = new
        self.place.header = new.header
        self.place.rows = new.rows
        self.place.capacity = new.capacity
        self.place.used = 0
        self.place.count = 0
        return True

    def write(self, bytes row not None):
        """Append one encoded row (a call, or the shipper's own); return False if it was dropped."""
        cdef size_t size = PyBytes_GET_SIZE(row)
        while not append_bytes(&self.place, PyBytes_AS_STRING(row), size):
            if not self.make_room(size):
                return False
        return True

    def seal(self):
        """Write no more into the current segment, so that it can come back; True if it took rows."""
        if self.place.header is NULL or self.place.capacity == 0:
            return False
        self.place.capacity = 0
        store_release(&self.place.header.sealed, self.number)
        return True

    def fits(self, size_t size):
        """Whether a row of at most *size* bytes can be written as things are."""
        return self.place.used + size <= self.place.capacity

    cdef bint make_room(self, size_t size) except -1:
        """Have room for *size* bytes, by Python's slow road; False if the row is to be dropped."""
        if size > <size_t>BODY_SIZE_MAX - 4096:
            raise InvalidValueError(
                f"one row of {size} bytes is over the limit of {BODY_SIZE_MAX - 4096}; log it in parts"
            )
        if self.closed:
            raise NotInitialisedError("the run was closed by another thread")
        if not _own[0]:
            leave_parent()
        if self.roll(self, size):
            return True
        self.dropped += 1
        if self.place.header is not NULL:
            store_relaxed(&self.place.header.dropped, self.dropped)
        return False

    cdef void close(self):
        """Take no more rows, not even of a thread that waits for room just now."""
        self.closed = True
        self.place.capacity = 0

    cdef void leave(self):
        """In a forked child: forget the parent's segments; this stream is a new writer from here on."""
        cdef Place nowhere
        nowhere.header = NULL
        nowhere.rows = NULL
        nowhere.capacity = nowhere.used = nowhere.count = 0
        self.place = nowhere
        self.segment = None
        self.first_row = self.number = self.dropped = 0


cdef leave_parent():
    cdef Stream stream
    for stream in list(_streams):
        stream.leave()
    _own[0] = 1


cdef class Writer:
    """What a Run is underneath: its metric and event streams, its clock and its step counter."""

    cdef Stream metrics
    cdef Stream events
    cdef Clock clock
    cdef int64_t next_step
    cdef bint silent

    def __cinit__(self, *args, **kwargs):
        self.clock.start_ns = self.clock.anchor_ns = monotonic_ns()
        self.clock.anchor_us = wall_ns() // 1000
        self.clock.second_us = -1

    def _attach(self, Stream metrics not None, Stream events not None):
        """Open: rows go to these streams from here on; relative time and the automatic step start at 0."""
        self.clock.start_ns = monotonic_ns()
        renew_anchor(&self.clock)
        self.next_step = 0
        self.metrics = metrics
        self.events = events

    def _detach(self):
        """Close: log calls raise from here on."""
        if self.metrics is not None:
            self.metrics.close()
            self.events.close()
        self.metrics = self.events = None

    def _silence(self):
        """Disable: log calls record nothing and return True."""
        self.silent = True

    def _log_arrays(self, metrics, step, time, timestamp):
        """Log the arrays among *metrics*; return what is left, all numbers, and whether they were written.

        For a subclass: here nothing takes arrays, and what is no number is refused.
        """
        return as_plain(metrics), True

    cdef bint absent(self, str method) except -1:
        """Say what a log call without an open run does: True in silence, else raise."""
        if not self.silent:
            raise NotInitialisedError(f"{method}: call init() or reconnect() first, and nothing after close()")
        return True

    def log_metrics(self, metrics, step=None, time=None, timestamp=None):
        """Record one value for each of *metrics* at *step*.

        Returns at once: the values are in shared memory, not yet on the server, and survive
        this process from here on.  Costs about as much as calling an empty Python function
        twice, for a handful of floats; a value that is not a float or an int costs its
        ``float()``.  Returns False, and counts it, if the queue was full and the row dropped.

        *step* is an integer >= 0 in any order (by default a counter of this run's calls),
        *time* seconds since the run's start (now), *timestamp* a datetime or ISO text, local
        time unless it has a zone (now).  Metrics may be float, int, bool, numpy scalars,
        numeric text, anything with ``__float__``; NaN and infinities are kept.

        Raises InvalidValueError (a ValueError) before anything is written, so a bad value
        never leaves half a step behind.
        """
        cdef Row *row = &_row
        cdef Stream stream = self.metrics
        cdef int64_t number
        cdef bint written = True
        if stream is None:
            return self.absent("log_metrics")
        if type(metrics) is not dict:
            metrics = as_dict(metrics)
        # These may run a stranger's code, which may log: before the scratch row is touched.
        number = -1 if step is None else gather_step(step)
        if time is not None:
            time = as_time(time)
        if timestamp is not None:
            timestamp = as_microseconds(timestamp)
        while True:
            if not gather_values(<dict>metrics, row):
                try:
                    metrics = as_plain(<dict>metrics)
                    learn_names(<dict>metrics)
                except InvalidValueError:
                    # Arrays are no numbers; they leave by another road, and the rest goes on.
                    number = self.next_step if number < 0 else number
                    metrics, written = self._log_arrays(metrics, number, time, timestamp)
                    learn_names(<dict>metrics)
                    if not metrics:
                        self.next_step += 1
                        return written
                continue
            if row.count == 0:
                return True
            row.step = self.next_step if number < 0 else number
            stamp(&self.clock, row)
            if time is not None:
                row.time = <double>time
            if timestamp is not None:
                put_timestamp(row.timestamp, <int64_t>timestamp)
            if append(&stream.place, row):
                self.next_step += 1
                return written
            # Other threads may log while this one waits: the row is then gathered anew.
            if not stream.make_room(row.size_max):
                self.next_step += 1
                return False
            renew_anchor(&self.clock)

    def log_event(self, message, timestamp=None, log_level=None):
        """Record *message*, a text of any length, at *timestamp* (now).

        *log_level* is one of debug, info, warning, error, critical; the server takes an event
        without one for info.  Raises InvalidValueError before anything is written.
        """
        cdef Row *row = &_row
        cdef const char *text
        cdef Py_ssize_t size
        cdef const char *level = NULL
        cdef Py_ssize_t level_size = 0
        if self.events is None:
            return self.absent("log_event")
        if not isinstance(message, str):
            raise InvalidValueError(f"an event's message is a text, not {type(message).__name__}")
        if log_level is not None:
            if log_level not in LOG_LEVELS:
                raise InvalidValueError(f"log_level is one of {', '.join(LOG_LEVELS)}; got {log_level!r}")
            level = PyUnicode_AsUTF8AndSize(log_level, &level_size)
        moment = None if timestamp is None else as_microseconds(timestamp)
        try:
            text = PyUnicode_AsUTF8AndSize(message, &size)
        except UnicodeEncodeError:
            # Lone surrogates have no place in UTF-8.
            message = message.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            text = PyUnicode_AsUTF8AndSize(message, &size)
        cdef size_t size_max = size + level_size + 96
        cdef Stream stream = self.events
        while True:
            stamp(&self.clock, row)
            if moment is not None:
                put_timestamp(row.timestamp, <int64_t>moment)
            if append_event(&stream.place, row, text, <uint32_t>size, level, <uint32_t>level_size, size_max):
                return True
            if not stream.make_room(size_max):
                return False

    def log_series(self, series, steps=None, times=None):
        """Record a block of steps at once: *series* maps names to one-dimensional arrays of equal length n.

        Row i holds the i-th value of every array, ``steps[i]`` (by default the counter goes
        on) and ``times[i]`` seconds since the run's start; the timestamp is that moment, or
        now where no *times* are given.  Arrays are anything with the buffer protocol (numpy
        arrays of float64 and int64 are read in place) or sequences of numbers.  Costs about
        a quarter of n calls of a bound form.

        Raises InvalidValueError before anything is written.  Returns True if every row is in
        shared memory, False if some were dropped and counted.
        """
        if self.metrics is None:
            return self.absent("log_series")
        return log_block(self, as_dict(series), steps, times)

    def bind_metrics(self, *names):
        """Return ``log(*values, step=None, time=None, timestamp=None)`` for loops that cannot afford a dict.

        It takes one value per name, in that order, and is otherwise ``log_metrics``, at a
        quarter of the cost.  The names are checked here, once; raises InvalidValueError.
        """
        cdef Bound bound = Bound(self, names)
        return PyCFunction_New(&_bound_method, bound)


cdef class Bound:
    """A writer and the encoded names of one kind of row."""

    cdef Writer writer
    cdef tuple names
    cdef Row row

    def __cinit__(self, Writer writer not None, tuple names):
        cdef Py_ssize_t i
        if not names:
            raise InvalidValueError("bind_metrics needs at least one name")
        if not all(isinstance(name, str) for name in names):
            raise InvalidValueError(f"bind_metrics takes names, one text each; got {names!r:.100}")
        if len(set(names)) != len(names):
            raise InvalidValueError(f"bind_metrics: each name once; got {names!r}")
        self.writer = writer
        self.names = names
        make_space(&self.row, len(names))
        self.row.size_max = ROW_FRAME
        for i in range(len(names)):
            self.row.values[i].name = make_name(names[i])
            self.row.count += 1
            self.row.size_max += self.row.values[i].name.size + NUMBER_SIZE

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.row.count):
            free(<void *>self.row.values[i].name)
        free(self.row.values)

    cdef object log(self, PyObject *const *args, Py_ssize_t given, object keywords):
        cdef Py_ssize_t i
        cdef Writer writer = self.writer
        cdef Row *row = &self.row
        cdef object step = None, time = None, timestamp = None
        cdef int64_t number
        if writer.metrics is None:
            return writer.absent("log")
        if given != row.count:
            raise InvalidValueError(f"log takes {row.count} values, for {', '.join(self.names)}; got {given}")
        if keywords is not None:
            for i in range(len(<tuple>keywords)):
                word = (<tuple>keywords)[i]
                if word == "step":
                    step = <object>args[given + i]
                elif word == "time":
                    time = <object>args[given + i]
                elif word == "timestamp":
                    timestamp = <object>args[given + i]
                else:
                    raise TypeError(f"log got an unexpected keyword argument {word!r}")
        if time is None and timestamp is None:
            # Before the values: it may run a stranger's code, which may log by this very form.
            number = -1 if step is None else gather_step(step)
            for i in range(given):
                if not gather_value(<object>args[i], &row.values[i]):
                    break
            else:
                row.step = writer.next_step if number < 0 else number
                stamp(&writer.clock, row)
                if append(&writer.metrics.place, row):
                    writer.next_step += 1
                    return True
        # The slow road is log_metrics' own, not that of a subclass: the fast one is not either.
        return Writer.log_metrics(
            writer,
            {name: <object>args[i] for i, name in enumerate(self.names)}, step, time, timestamp
        )


cdef object call_bound(object bound, PyObject *const *args, Py_ssize_t given, PyObject *keywords):
    return (<Bound>bound).log(args, given, None if keywords is NULL else <object>keywords)


cdef PyMethodDef _bound_method
_bound_method.ml_name = b"log"
_bound_method.ml_meth = <void *>call_bound
_bound_method.ml_flags = METH_FASTCALL | METH_KEYWORDS
_bound_method.ml_doc = b"log($self, *values, step=None, time=None, timestamp=None)\n--\n\nRecord one value per bound name."


# ==== Gather ============================================================================
# Python -> C.  May raise; writes nothing that anyone else can see.

cdef Row _row
cdef dict _names = {}
"""Every metric name met so far -> the address of its Name."""

cdef Py_ssize_t _names_count = 0

cdef Slot _slots[SLOTS]
"""The same by identity: an interned name, as literals are, is found without a look at its text."""


cdef int make_space(Row *row, size_t count) except -1:
    cdef Value *values
    if count <= row.room:
        return 0
    if count < 64:
        count = 64
    values = <Value *>realloc(row.values, count * sizeof(Value))
    if values is NULL:
        raise MemoryError(f"no memory for a row of {count} metrics")
    row.values = values
    row.room = <uint32_t>count
    return 0


cdef Name *make_name(object key) except NULL:
    """Check and encode a metric's name; the caller frees it."""
    cdef const char *text
    cdef Py_ssize_t size
    cdef Name *name
    if not isinstance(key, str):
        raise InvalidValueError(f"a metric's name is a text, not {type(key).__name__} ({key!r})")
    if METRIC_NAME_PATTERN.fullmatch(key) is None:
        raise InvalidValueError(
            f"metric name {key!r:.100}: allowed are letters, digits, spaces and - _ / . : = > < + ( ) %"
        )
    text = PyUnicode_AsUTF8AndSize(key, &size)
    if size > NAME_SIZE_MAX:
        raise InvalidValueError(f"metric name {key[:60]!r}... has {size} bytes, more than {NAME_SIZE_MAX}")
    name = <Name *>malloc(sizeof(Name) + size + 5 + NAME_PADDING)
    if name is NULL:
        raise MemoryError("no memory for a metric's name")
    name.text = <char *>name + sizeof(Name)
    name.size = <uint32_t>(put_text(name.text, text, <uint32_t>size) - name.text)
    return name


cdef int learn_names(dict metrics) except -1:
    """Check and keep every name of *metrics* that is new.

    Here, and not where a row is gathered: to match a pattern allocates, the collector may run at
    any allocation (to Python 3.11), and a stranger's ``__del__`` may log.
    """
    global _names_count
    cdef Name *name
    cdef Slot *slot
    if _names_count > NAMES_MAX:
        forget_names()
    for key in metrics:
        if key in _names:
            continue
        name = make_name(key)
        if key in _names:
            free(name)
            continue
        _names[key] = PyLong_FromVoidPtr(name)
        _names_count += 1
        # The dict keeps this very object alive, so its address stays its own.
        slot = &_slots[(<size_t><PyObject *>key >> 4) % SLOTS]
        slot.key = <PyObject *>key
        slot.name = name
    return 0


cdef int forget_names() except -1:
    global _names_count
    cdef int i
    for address in _names.values():
        free(PyLong_AsVoidPtr(address))
    _names.clear()
    _names_count = 0
    for i in range(SLOTS):
        _slots[i].key = NULL
    return 0


cdef void *_float_kin = NULL
"""The first subclass of float that was met, numpy.float64 as a rule; its module keeps it alive."""


cdef bint is_float_kin(object number):
    global _float_kin
    if not PyFloat_Check(number):
        return False
    if _float_kin is NULL:
        # Comparing one address spares a walk up its bases with every value (measured: 15 % of
        # a call with five of them).  For ever, so that the address stays this type's own.
        _float_kin = <void *>Py_TYPE(number)
        Py_INCREF(<object>_float_kin)
    return True


cdef inline bint gather_value(object number, Value *value) except -1:
    """Take a float or an int as it is; False for anything that Python has to convert."""
    cdef int overflow = 0
    cdef long long integer
    if PyFloat_CheckExact(number) or <void *>Py_TYPE(number) == _float_kin or is_float_kin(number):
        value.kind = FLOAT
        value.number.f = PyFloat_AS_DOUBLE(number)
        return True
    if not PyLong_Check(number):
        return False
    integer = PyLong_AsLongLongAndOverflow(number, &overflow)
    if overflow:
        return gather_large(number, value)
    value.kind = BOOL if PyBool_Check(number) else INT
    value.number.i = integer
    return True


cdef bint gather_large(object number, Value *value) except -1:
    """Take an int beyond int64: exactly if it fits uint64; False if it has to become a float."""
    try:
        value.number.u = PyLong_AsUnsignedLongLong(number)
    except OverflowError:
        return False
    value.kind = UINT
    return True


cdef bint gather_values(dict metrics, Row *row) except -1:
    """Take the names and numbers of *metrics*; False if some need ``as_plain`` or are new."""
    cdef Py_ssize_t position = 0
    cdef PyObject *key
    cdef PyObject *number
    cdef PyObject *known
    cdef Slot *slot
    cdef Value *value
    cdef size_t size = ROW_FRAME
    cdef Py_ssize_t count = PyDict_Size(metrics)
    if count > row.room:
        make_space(row, count)
    value = row.values
    row.count = 0
    # Keys and numbers are borrowed: nothing in this loop runs Python code that could drop them.
    while PyDict_Next(metrics, &position, &key, &number):
        slot = &_slots[(<size_t>key >> 4) % SLOTS]
        if slot.key == key:
            value.name = slot.name
        elif PyUnicode_CheckExact(<object>key):
            known = PyDict_GetItemWithError(_names, <object>key)
            if known is NULL:
                return False
            value.name = <Name *>PyLong_AsVoidPtr(<object>known)
        else:
            return False
        if not gather_value(<object>number, value):
            return False
        size += value.name.size + NUMBER_SIZE
        value += 1
    row.count = <uint32_t>count
    row.size_max = size
    return True


cdef int64_t gather_step(object step) except -1:
    """Take a step: an integer of 0 to 2**63 - 1."""
    cdef int overflow = 0
    cdef long long number
    if not PyLong_CheckExact(step):
        step = as_step(step)
    number = PyLong_AsLongLongAndOverflow(step, &overflow)
    if overflow or number < 0:
        shown = "of 20 digits or more" if overflow else step
        raise InvalidValueError(f"step {shown} is not an integer of 0 to 2**63 - 1")
    return number


cdef object log_block(Writer writer, dict series, object steps, object times):
    cdef Stream stream = writer.metrics
    cdef Py_ssize_t i, j, count, width = len(series)
    cdef const double[:] floats
    cdef const int64_t[:] integers
    cdef const int64_t[:] step_axis = None
    cdef const double[:] time_axis = None
    cdef void **columns
    cdef bint complete = True
    cdef list kept = [as_column(name, values) for name, values in series.items()]
    if not kept:
        return True
    # A Bound's row has the names; nothing else uses this one.
    cdef Bound names = Bound(writer, tuple(series))
    cdef Row *row = &names.row
    count = len(kept[0])
    for name, column in zip(series, kept):
        if len(column) != count:
            raise InvalidValueError(
                f"log_series: {name!r} has {len(column)} values where {names.names[0]!r} has {count}"
            )
    if steps is not None:
        axis = as_steps(steps)
        if len(axis) != count:
            raise InvalidValueError(f"log_series: {len(axis)} steps for {count} values")
        step_axis = axis
    if times is not None:
        axis = as_times(times)
        if len(axis) != count:
            raise InvalidValueError(f"log_series: {len(axis)} times for {count} values")
        time_axis = axis
    if count == 0:
        return True
    columns = <void **>malloc(width * sizeof(void *))
    if columns is NULL:
        raise MemoryError("no memory for the columns of a block")
    try:
        for j in range(width):
            columns[j] = NULL
            if isinstance(kept[j], list):
                continue
            if kept[j].format == "d":
                floats = kept[j]
                columns[j] = <void *>&floats[0]
                row.values[j].kind = FLOAT
            else:
                integers = kept[j]
                columns[j] = <void *>&integers[0]
                row.values[j].kind = INT
        for i in range(count):
            for j in range(width):
                if columns[j] is not NULL:
                    row.values[j].number.i = (<int64_t *>columns[j])[i]
                else:
                    gather_value((<list>kept[j])[i], &row.values[j])
            while True:
                row.step = writer.next_step if step_axis is None else step_axis[i]
                stamp(&writer.clock, row)
                if time_axis is not None:
                    row.time = time_axis[i]
                    put_timestamp(row.timestamp, moment_at(&writer.clock, row.time))
                if append(&stream.place, row):
                    break
                if not stream.make_room(row.size_max):
                    complete = False
                    break
                renew_anchor(&writer.clock)
            writer.next_step += 1
    finally:
        free(columns)
    return complete


# ==== Encode and publish: no Python below this line =====================================

cdef void renew_anchor(Clock *clock) noexcept nogil:
    """Look at the wall clock, so that a long run follows its corrections."""
    clock.anchor_ns = monotonic_ns()
    clock.anchor_us = wall_ns() // 1000
    clock.second_us = -1


cdef int64_t moment_at(const Clock *clock, double time) noexcept nogil:
    """Return the wall time of *time* seconds after the run's start, microseconds since the epoch."""
    cdef int64_t start_us = clock.anchor_us - (clock.anchor_ns - clock.start_ns) // 1000
    # Beyond the years 0 to 9999 the text has no room; NaN compares false and lands there too.
    if not (-2e10 < time < 2e11):
        return start_us
    return start_us + <int64_t>(time * 1e6)


cdef inline void stamp(Clock *clock, Row *row) noexcept nogil:
    """Give *row* the present: one look at the monotonic clock, the text of the second kept."""
    cdef int64_t now = monotonic_ns()
    cdef int64_t moment = clock.anchor_us + (now - clock.anchor_ns) // 1000
    cdef uint64_t fraction = <uint64_t>(moment - clock.second_us)
    row.time = <double>(now - clock.start_ns) * 1e-9
    if clock.second_us < 0 or fraction >= 1000000:
        put_timestamp(clock.text, moment)
        clock.second_us = moment - moment % 1000000
        fraction = <uint64_t>(moment - clock.second_us)
    memcpy(row.timestamp, clock.text, 20)
    put_digits(row.timestamp + 20, <uint32_t>fraction)


cdef inline void put_digits(char *to, uint32_t number) noexcept nogil:
    """Write six decimal digits."""
    cdef uint32_t high = number // 10000
    cdef uint32_t low = number - high * 10000
    cdef uint32_t middle = low // 100
    put_pair(to, high)
    put_pair(to + 2, middle)
    put_pair(to + 4, low - middle * 100)


cdef void put_timestamp(char *to, int64_t moment) noexcept nogil:
    """Write microseconds since the epoch as 2026-01-31T12:00:00.000000, UTC.

    The date is Howard Hinnant's ``civil_from_days`` (public domain), valid for every int64 of days.
    """
    cdef int64_t seconds = moment // 1000000
    cdef int64_t fraction = moment - seconds * 1000000
    cdef int64_t days, rest, era, day_of_era, year_of_era, day_of_year, month, day, year
    if fraction < 0:
        fraction += 1000000
        seconds -= 1
    days = seconds // 86400
    rest = seconds - days * 86400
    if rest < 0:
        rest += 86400
        days -= 1
    days += 719468
    era = (days if days >= 0 else days - 146096) // 146097
    day_of_era = days - era * 146097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    put_pair(to, year // 100 % 100)
    put_pair(to + 2, year % 100)
    to[4] = to[7] = c"-"
    put_pair(to + 5, month)
    put_pair(to + 8, day)
    to[10] = c"T"
    put_pair(to + 11, rest // 3600)
    put_pair(to + 14, rest // 60 % 60)
    put_pair(to + 17, rest % 60)
    to[13] = to[16] = c":"
    to[19] = c"."
    put_digits(to + 20, <uint32_t>fraction)


cdef inline void put_pair(char *to, uint64_t number) noexcept nogil:
    """Write two decimal digits."""
    memcpy(to, &PAIRS[2 * number], 2)


cdef inline void publish(Place *place, char *end) noexcept nogil:
    """Let the shipper see the row that ends at *end*."""
    place.used = <uint32_t>(end - place.rows)
    place.count += 1
    # Release, so that a shipper that sees the new count also sees the bytes.
    store_release(&place.header.published, <uint64_t>place.count << 32 | place.used)


cdef bint append(Place *place, const Row *row) noexcept nogil:
    """Encode *row* after the last one and publish it; False if it does not fit."""
    cdef char *to
    cdef const Value *value
    cdef const Value *last
    # The mark is 0 in a forked child, whose segments are its parent's.
    if place.used + row.size_max > place.capacity or not _own[0]:
        return False
    to = place.rows + place.used
    to = put_bytes(to, b"\x84\xa6values", 8)
    to = put_map(to, row.count)
    value = row.values
    last = value + row.count
    while value != last:
        to = put_name(to, value.name)
        if value.kind == FLOAT:
            to = put_float(to, value.number.f)
        elif value.kind == INT:
            to = put_int(to, value.number.i)
        elif value.kind == UINT:
            to = put_uint(to, value.number.u)
        else:
            to[0] = <char>(0xC3 if value.number.i else 0xC2)
            to += 1
        value += 1
    to = put_bytes(to, b"\xa4time", 5)
    to = put_float(to, row.time)
    to = put_bytes(to, b"\xa9timestamp\xba", 11)
    to = put_bytes(to, row.timestamp, 26)
    to = put_bytes(to, b"\xa4step", 5)
    to = put_uint(to, <uint64_t>row.step)
    publish(place, to)
    return True


cdef bint append_event(
    Place *place, const Row *row, const char *message, uint32_t size,
    const char *level, uint32_t level_size, size_t size_max,
) noexcept nogil:
    """Encode an event after the last one and publish it; False if it does not fit."""
    cdef char *to
    if place.used + size_max > place.capacity or not _own[0]:
        return False
    to = place.rows + place.used
    to = put_map(to, 3 if level is not NULL else 2)
    to = put_bytes(to, b"\xa7message", 8)
    to = put_text(to, message, size)
    to = put_bytes(to, b"\xa9timestamp\xba", 11)
    to = put_bytes(to, row.timestamp, 26)
    if level is not NULL:
        to = put_bytes(to, b"\xa9log_level", 10)
        to = put_text(to, level, level_size)
    publish(place, to)
    return True


cdef bint append_bytes(Place *place, const char *row, size_t size) noexcept nogil:
    """Publish a row that is encoded already; False if it does not fit."""
    if place.used + size > place.capacity or not _own[0]:
        return False
    publish(place, put_bytes(place.rows + place.used, row, size))
    return True
