# cython: language_level=3
"""The map of _batch.pyx: a segment and a row as structs, and msgpack as inline functions.

A segment is a mapped file: a header of two cache lines, then rows::

    0    magic format number first_row published dropped signal sealed    written by the run
    64   shipped  returned  abort                                         written by the shipper
    128  row row row row ...

Each word has one process that writes it.  ``published`` and ``shipped`` are
rows << 32 | bytes, so that one load sees both.  docs/design/queue.md draws the states.
"""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>
    #include <time.h>

    #define SEGMENT_MAGIC 0x67655376u   /* "vSeg" as it lies on a little-endian disk */
    #define SEGMENT_FORMAT 1u
    #define SEGMENT_HEADER 128u

    typedef struct {
        uint32_t magic;
        uint32_t format;
        uint64_t number;      /* which filling of the writer this is, counted for ever from 1 */
        uint64_t first_row;   /* the number of its first row */
        uint64_t published;   /* rows << 32 | bytes: what a reader may read */
        uint64_t dropped;     /* rows this writer lost to a full queue, in all */
        uint32_t signal;      /* the signal that ends the process */
        uint32_t writer_pad;
        uint64_t sealed;      /* the last filling that takes no more rows */
        uint64_t writer_spare;
        uint64_t shipped;     /* rows << 32 | bytes: acknowledged, or safe in the spool */
        uint64_t returned;    /* the last filling handed back to the writer */
        uint32_t abort;       /* the server asks the run to stop */
        uint32_t shipper_pad[11];
    } SegmentHeader;

    _Static_assert(sizeof(SegmentHeader) == SEGMENT_HEADER, "two cache lines");
    _Static_assert(offsetof(SegmentHeader, shipped) == 64, "one line a side");

    /* Acquire and release pair across the two processes: who sees the word also sees
       the bytes that were written before it. */
    #define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    #define load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
    #define store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)

    /* The numbers 00 to 99, two digits each. */
    static const char PAIRS[201] =
        "0001020304050607080910111213141516171819"
        "2021222324252627282930313233343536373839"
        "4041424344454647484950515253545556575859"
        "6061626364656667686970717273747576777879"
        "8081828384858687888990919293949596979899";

    static inline int64_t monotonic_ns(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    static inline int64_t wall_ns(void) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    static inline uint64_t swap64(uint64_t x) { return __builtin_bswap64(x); }
    static inline uint32_t swap32(uint32_t x) { return __builtin_bswap32(x); }
    static inline uint16_t swap16(uint16_t x) { return __builtin_bswap16(x); }
    """
    ctypedef struct SegmentHeader:
        uint32_t magic
        uint32_t format
        uint64_t number
        uint64_t first_row
        uint64_t published
        uint64_t dropped
        uint32_t signal
        uint64_t sealed
        uint64_t shipped
        uint64_t returned
        uint32_t abort
    const uint32_t SEGMENT_MAGIC
    const uint32_t SEGMENT_FORMAT
    const uint32_t SEGMENT_HEADER
    uint64_t load_acquire(uint64_t *word) noexcept nogil
    void store_release(uint64_t *word, uint64_t value) noexcept nogil
    uint64_t load_relaxed(uint64_t *word) noexcept nogil
    void store_relaxed(uint64_t *word, uint64_t value) noexcept nogil
    int64_t monotonic_ns() noexcept nogil
    int64_t wall_ns() noexcept nogil
    uint64_t swap64(uint64_t word) noexcept nogil
    uint32_t swap32(uint32_t word) noexcept nogil
    uint16_t swap16(uint16_t word) noexcept nogil
    const char PAIRS[200]
    void *memcpy(void *to, const void *start, size_t size) noexcept nogil


cdef enum:
    # Names beyond this many are an accident (a step number in a name); the cache starts
    # again rather than grow with the run.
    NAMES_MAX = 65536
    # Names found by address; chosen: a run has tens of them, and 16 KiB stay in cache.
    SLOTS = 1024
    # No frame of a row is longer: 13 bytes of maps, 14 time, 38 timestamp, 14 step.
    ROW_FRAME = 80
    # Tag and eight bytes.
    NUMBER_SIZE = 9
    # Behind a name's bytes, so that a short one is copied by two moves of a fixed size.
    NAME_PADDING = 32


# ---- A row, gathered ---------------------------------------------------------------

ctypedef enum Kind:
    FLOAT
    INT        # negative or not, within int64
    UINT       # above int64, within uint64
    BOOL

ctypedef struct Name:
    # The msgpack of a metric's name, header included, made and checked once.
    uint32_t size
    char *text

ctypedef union Number:
    double f
    int64_t i
    uint64_t u

ctypedef struct Value:
    const Name *name
    Kind kind
    Number number

ctypedef struct Slot:
    PyObject *key             # kept alive by the dict of all names
    const Name *name

ctypedef struct Row:
    Value *values
    uint32_t count        # of values
    uint32_t room         # allocated values
    size_t size_max       # no encoding of this row is longer
    int64_t step
    double time           # seconds since the start of the run
    char timestamp[26]    # 2026-01-31T12:00:00.000000, UTC


# ---- Where the next row goes ---------------------------------------------------------

ctypedef struct Place:
    # The run's own copy of what it published last: it never reads shared words back.
    SegmentHeader *header
    char *rows
    uint32_t capacity
    uint32_t used
    uint32_t count

ctypedef struct Clock:
    int64_t start_ns         # monotonic, at the start of the run
    int64_t anchor_ns        # monotonic, at the last look at the wall clock
    int64_t anchor_us        # the wall clock then, microseconds since the epoch
    int64_t second_us        # the second whose text is kept
    char text[26]


# ---- Msgpack, as much of it as a row needs ---------------------------------------------
# Each function writes at *to* and returns the first byte behind what it wrote; the caller
# has made sure that size_max bytes fit.

cdef inline char *put_bytes(char *to, const char *bytes, size_t size) noexcept nogil:
    memcpy(to, bytes, size)
    return to + size

cdef inline char *put_name(char *to, const Name *name) noexcept nogil:
    # Most names are short, and a copy of a size that the compiler knows is a few moves where a
    # call of memcpy costs 5 ns (measured).  The bytes behind are overwritten next: ROW_FRAME is
    # longer than NAME_PADDING, so they are the row's own.
    if name.size <= NAME_PADDING:
        memcpy(to, name.text, NAME_PADDING)
    else:
        memcpy(to, name.text, name.size)
    return to + name.size

cdef inline char *put_word(char *to, uint8_t tag, uint64_t word) noexcept nogil:
    cdef uint64_t big = swap64(word)
    to[0] = <char>tag
    memcpy(to + 1, &big, 8)
    return to + 9

cdef inline char *put_float(char *to, double number) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, &number, 8)
    return put_word(to, 0xCB, word)

cdef inline char *put_uint(char *to, uint64_t number) noexcept nogil:
    cdef uint16_t two
    cdef uint32_t four
    if number < 0x80:
        to[0] = <char>number
        return to + 1
    if number < 0x100:
        to[0] = <char>0xCC
        to[1] = <char>number
        return to + 2
    if number < 0x10000:
        two = swap16(<uint16_t>number)
        to[0] = <char>0xCD
        memcpy(to + 1, &two, 2)
        return to + 3
    if number <= <uint64_t>0xFFFFFFFFu:
        four = swap32(<uint32_t>number)
        to[0] = <char>0xCE
        memcpy(to + 1, &four, 4)
        return to + 5
    return put_word(to, 0xCF, number)

cdef inline char *put_int(char *to, int64_t number) noexcept nogil:
    cdef uint16_t two
    cdef uint32_t four
    if number >= 0:
        return put_uint(to, <uint64_t>number)
    if number >= -32:
        to[0] = <char>number
        return to + 1
    if number >= -0x80:
        to[0] = <char>0xD0
        to[1] = <char>number
        return to + 2
    if number >= -0x8000:
        two = swap16(<uint16_t>number)
        to[0] = <char>0xD1
        memcpy(to + 1, &two, 2)
        return to + 3
    if number >= -<int64_t>0x80000000u:
        four = swap32(<uint32_t>number)
        to[0] = <char>0xD2
        memcpy(to + 1, &four, 4)
        return to + 5
    return put_word(to, 0xD3, <uint64_t>number)

cdef inline char *put_map(char *to, uint32_t count) noexcept nogil:
    cdef uint16_t two
    cdef uint32_t four
    if count < 16:
        to[0] = <char>(0x80 | count)
        return to + 1
    if count < 0x10000:
        two = swap16(<uint16_t>count)
        to[0] = <char>0xDE
        memcpy(to + 1, &two, 2)
        return to + 3
    four = swap32(count)
    to[0] = <char>0xDF
    memcpy(to + 1, &four, 4)
    return to + 5

cdef inline char *put_text(char *to, const char *text, uint32_t size) noexcept nogil:
    cdef uint16_t two
    cdef uint32_t four
    if size < 32:
        to[0] = <char>(0xA0 | size)
        to += 1
    elif size < 0x100:
        to[0] = <char>0xD9
        to[1] = <char>size
        to += 2
    elif size < 0x10000:
        two = swap16(<uint16_t>size)
        to[0] = <char>0xDA
        memcpy(to + 1, &two, 2)
        to += 3
    else:
        four = swap32(size)
        to[0] = <char>0xDB
        memcpy(to + 1, &four, 4)
        to += 5
    return put_bytes(to, text, size)
