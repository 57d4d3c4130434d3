# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Metric rows -> columns, without the GIL: the server's half of ``_batch``.

A body holds rows; a store and a chart want columns.  Rows that carry the same names and
kinds of values, in the same order, have one *shape*; each shape becomes one block::

    body   82 "run" <id> "metrics" dd <count>            block     names  (a, b)   kinds  (float, int)
           84 "values" 82 "a" cb.. "b" 07 "time" ..                rows   0  1  3  ..   uint32
           84 "values" 82 "a" cb.. "b" 08 "time" ..       ->       step   .  .  .  ..   int64
           84 "values" 81 "c" c3          "time" ..                time   .  .  .  ..   float64
           84 "values" 82 "a" cb.. "b" 09 "time" ..                timestamp  . .  ..   int64 us
                                                                   a      .  .  .  ..   8 raw bytes
                                                                   b      .  .  .  ..   8 raw bytes

The road of a row: guess that it has the shape that followed the last row's shape last
time, compare its encoded names with that shape's, and convert the values where they shall
lie.  Only when the guess fails are names looked up.  *Measured*, benches/bench_ingest.py.

Nothing here trusts the body: every read is bounded by its end, nothing is allocated by a
count that it claims, and what is wrong is a ValueError that names the row and the member.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

import secrets

import numpy as np

from simvue import wire

# A simulation with more metrics than this is asked to log arrays: each name costs a row
# in the store.  The client caches as many (chosen).
cdef size_t NAMES_MAX = 65_536

# ---- What Python sees -----------------------------------------------------------


cdef class Block:
    """The rows of one shape, as columns.

    ``names`` and ``kinds`` (0 float64, 1 int64, 2 uint64, 3 bool) have one entry a metric.
    ``rows`` are the places of the block's rows in the body (uint32, ascending), None if
    they are the whole body.  ``words`` is one uint64 matrix of (3 + metrics, rows): step,
    time, timestamp, then the values, eight raw bytes each; the other members look into it.
    """

    cdef readonly tuple names
    cdef readonly bytes kinds
    cdef readonly object rows
    cdef readonly object words

    def __init__(self, names, kinds, rows, words):
        self.names = names
        self.kinds = kinds
        self.rows = rows
        self.words = words

    def __len__(self):
        return self.words.shape[1]

    @property
    def step(self):
        """The steps, int64."""
        return self.words[0].view(np.int64)

    @property
    def time(self):
        """Seconds since the run's start, float64."""
        return self.words[1].view(np.float64)

    @property
    def timestamp(self):
        """Microseconds since the epoch, int64."""
        return self.words[2].view(np.int64)

    @property
    def values(self):
        """The values, uint64 of (metrics, rows): a row of the matrix is one metric."""
        return self.words[3:]


cdef class Rows:
    """The decoded rows of one body: the id of their run, their count, and blocks of columns."""

    cdef readonly str run
    cdef readonly Py_ssize_t count
    cdef readonly tuple blocks

    def __init__(self, run, count, blocks):
        self.run = run
        self.count = count
        self.blocks = tuple(blocks)

    @property
    def nbytes(self):
        """Bytes that the columns occupy in memory."""
        return sum([block.words.nbytes for block in self.blocks])

    def keep(self, ranges):
        """Return only the rows whose place in the body lies in one of *ranges*, (first, end) pairs.

        The places that blocks name stay those in the whole body.  Costs a copy of what is kept.
        """
        mask = np.zeros(self.count, bool)
        for first, end in ranges:
            mask[first:end] = True
        blocks = []
        for block in self.blocks:
            places = np.arange(self.count, dtype=np.uint32) if block.rows is None else block.rows
            chosen = mask[places]
            if chosen.any():
                words = np.ascontiguousarray(block.words[:, chosen])
                blocks.append(Block(block.names, block.kinds, places[chosen], words))
        return Rows(self.run, self.count, blocks)


def decode_metrics(body):
    """Decode a msgpack body of metric rows (wire.md 8.2) into Rows.

    *body* is any contiguous buffer of bytes; nothing of the result points into it.  Takes
    integers, floats and strs of every width, members in any order, and only the members the
    wire names.  Integers beyond 64 bits do not exist in msgpack; float32 becomes float64.
    Raises ValueError naming row and member, MemoryError.  Runs without the GIL.
    """
    cdef const uint8_t[::1] view = memoryview(body).cast("B")
    cdef Decoder d
    cdef const uint8_t *run = NULL
    cdef size_t run_size = 0, i
    cdef bint well
    if view.shape[0] == 0:
        raise ValueError("the body is empty")
    memset(&d, 0, sizeof(d))
    d.begin = d.at = &view[0]
    d.end = d.at + view.shape[0]
    d.row = -1
    try:
        with nogil:
            well = read_body(&d, &run, &run_size)
        if not well:
            raise_reason(&d)
        try:
            run_text = (<const char *>run)[:run_size].decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("'run' is not UTF-8") from None
        names = [(<const char *>d.names[i].text)[: d.names[i].size].decode("ascii")
                 for i in range(d.name_count)]
        blocks = []
        for i in range(d.shape_count):
            if d.shapes[i].rows and d.shapes[i].size:
                blocks.append(make_block(&d.shapes[i], names, d.shape_count == 1))
        with nogil:
            for i in range(d.shape_count):
                if d.shapes[i].words != NULL:
                    transpose(&d.shapes[i])
        return Rows(run_text, d.row, blocks)
    finally:
        for i in range(d.shape_count):
            free(d.shapes[i].columns)
            free(d.shapes[i].records)
        free(d.shapes)
        free(d.names)
        free(d.name_table.slots)
        free(d.shape_table.slots)
        free(d.columns)
        free(d.values)



def pack(const uint64_t[:, ::1] words not None):
    """Rearrange a matrix of (columns, rows) words so that a compressor finds what repeats.

    Each word becomes its difference from the one before it in its column, sign folded into
    the lowest bit; then come the lowest bytes of all words, the second lowest, and so on.
    Of smooth series the high bytes are then zeros.  Returns as many bytes; without the GIL.
    """
    packed = np.empty(words.shape[0] * words.shape[1] * 8, np.uint8)
    cdef uint8_t[::1] planes = packed
    if planes.shape[0]:
        with nogil:
            pack_words(&words[0, 0], words.shape[0], words.shape[1], &planes[0])
    return packed


def unpack(const uint8_t[::1] planes not None, columns, rows):
    """Undo pack: return the matrix of (columns, rows) words.  Raises ValueError if sizes differ."""
    if columns < 0 or rows < 0 or planes.shape[0] != columns * rows * 8:
        raise ValueError(f"{planes.shape[0]} bytes are not {columns} columns of {rows} words")
    matrix = np.empty((columns, rows), np.uint64)
    cdef uint64_t[:, ::1] words = matrix
    if planes.shape[0]:
        with nogil:
            unpack_words(&planes[0], words.shape[0], words.shape[1], &words[0, 0])
    return matrix


cdef make_block(Shape *shape, list names, bint whole):
    """Make the block of *shape* with room for its columns; transpose fills them."""
    cdef uint64_t[:, ::1] words = np.empty((3 + shape.size, shape.rows), np.uint64)
    cdef uint32_t[::1] places
    cdef size_t i
    shape.words = &words[0, 0]
    if not whole:
        places = np.empty(shape.rows, np.uint32)
        shape.places = &places[0]
    return Block(
        tuple([names[shape.columns[i].name] for i in range(shape.size)]),
        bytes([shape.columns[i].kind for i in range(shape.size)]),
        None if whole else np.asarray(places),
        np.asarray(words),
    )


cdef raise_reason(Decoder *d):
    """Raise what stopped the decoder."""
    if d.reason == NULL:
        raise MemoryError("no memory left to decode a body")
    reason = d.reason.decode("ascii")
    if d.text != NULL:
        name = (<const char *>d.text)[: min(d.text_size, <size_t>60)].decode("utf-8", "replace")
        reason = reason.replace("NAME", repr(name))
    raise ValueError(reason if d.row < 0 else f"row {d.row}: {reason}")


# What a metric's name is made of; a unit test holds it equal to wire.METRIC_NAME_PATTERN.
cdef uint8_t name_characters[256]
for _code in range(256):
    name_characters[_code] = _code < 128 and wire.METRIC_NAME_PATTERN.fullmatch(chr(_code)) is not None
cdef size_t wire_name_size_max = wire.NAME_SIZE_MAX

# Names come from strangers: without a secret they could be made to collide, and a body of
# them would keep a core busy for hours.
cdef uint64_t hash_start = secrets.randbits(64)
cdef uint64_t hash_factor = secrets.randbits(64) | 1

# ---- Rows: no Python below this line --------------------------------------------

cdef struct Name:
    const uint8_t *text
    size_t size
    int64_t row             # the last row that was looked up with it, to see it twice in one

cdef struct Column:
    const uint8_t *encoded  # the name as the body has it, msgpack header included
    uint32_t size           # bytes of that
    uint32_t name           # which Name
    uint8_t kind

cdef struct Shape:
    Column *columns
    size_t size             # how many
    uint64_t *records       # a row after the other: place, step, time, timestamp, values
    size_t rows
    size_t capacity
    size_t next             # the shape that followed this one last time
    uint64_t *words         # where transpose writes the columns
    uint32_t *places        # and the places, or NULL

cdef struct Decoder:
    const uint8_t *begin
    const uint8_t *at
    const uint8_t *end
    int64_t row             # the row being read; in the end, their count
    size_t claimed          # rows that the body says it has
    const char *reason      # why it stopped; NULL with a failure means no memory
    const uint8_t *text     # what NAME in the reason stands for
    size_t text_size
    Name *names
    size_t name_count
    size_t name_capacity
    Table name_table
    Shape *shapes
    size_t shape_count
    size_t shape_capacity
    Table shape_table
    size_t shape            # the shape of the last row
    Column *columns         # the row that no guess fits, until its shape is found
    uint64_t *values
    size_t scratch          # how many of both there is room for
    uint64_t clock[3]       # the first 19 characters of the last timestamp, overlapping
    int64_t clock_us        # and what they mean


cdef inline uint64_t mixed(uint64_t hash, uint64_t word) noexcept nogil:
    hash = (hash ^ word) * hash_factor
    return hash ^ (hash >> 32)


cdef bint fail(Decoder *d, const char *reason, const uint8_t *text=NULL, size_t size=0) noexcept nogil:
    d.reason = reason
    d.text = text
    d.text_size = size
    return False


cdef bint read_body(Decoder *d, const uint8_t **run, size_t *run_size) noexcept nogil:
    """Read all of a body; False leaves the reason in *d*."""
    cdef const uint8_t *at
    cdef const uint8_t *key
    cdef size_t members, size, i
    cdef bint has_rows = False
    at = read_count(d.at, d.end, 0x80, &members)
    if at == NULL or members != 2:
        return fail(d, b"the body is not a map of two members, 'run' and 'metrics'")
    for i in range(2):
        key = read_str(at, d.end, &size)
        if key != NULL and size == 3 and equal(key, b"run", 3) and run[0] == NULL:
            run[0] = read_str(key + size, d.end, run_size)
            if run[0] == NULL:
                d.row = -1
                return fail(d, b"'run' is cut short or not a str")
            at = run[0] + run_size[0]
        elif key != NULL and size == 7 and equal(key, b"metrics", 7) and not has_rows:
            has_rows = True
            at = read_count(key + size, d.end, 0x90, &d.claimed)
            if at == NULL:
                return fail(d, b"'metrics' is cut short or not an array")
            d.at = at
            d.row = 0
            while <size_t>d.row < d.claimed:
                if not read_row(d):
                    return False
                d.row += 1
            at = d.at
        else:
            d.row = -1
            return fail(d, b"the body has members other than one 'run' and one 'metrics'")
    if at != d.end:
        d.row = -1
        return fail(d, b"bytes follow the end of the body")
    return True


cdef bint read_row(Decoder *d) noexcept nogil:
    """Read the row at ``d.at`` and append it to its shape."""
    cdef const uint8_t *at
    cdef const uint8_t *key
    cdef const uint8_t *text
    cdef size_t members, size, i
    cdef uint64_t step = 0, time = 0, word
    cdef int64_t timestamp = 0
    cdef uint64_t *record = NULL
    cdef uint8_t kind
    cdef int seen = 0
    at = read_count(d.at, d.end, 0x80, &members)
    if at == NULL:
        return fail(d, b"it is cut short or not a map")
    for i in range(members):
        key = read_str(at, d.end, &size)
        if key == NULL:
            return fail(d, b"a member's name is cut short or not a str")
        at = key + size
        if size == 6 and equal(key, b"values", 6) and not seen & 1:
            seen |= 1
            d.at = at
            record = read_values(d)
            if record == NULL:
                return False
            at = d.at
        elif size == 4 and equal(key, b"time", 4) and not seen & 2:
            seen |= 2
            at = read_number(at, d.end, &time, &kind)
            if at == NULL or kind == BOOL:
                return fail(d, b"'time' is cut short or not a number")
            if kind != FLOAT64:
                time = float_word(<double>time if kind == UINT64 else <double>(<int64_t>time))
        elif size == 9 and equal(key, b"timestamp", 9) and not seen & 4:
            seen |= 4
            text = read_str(at, d.end, &size)
            if text == NULL or not read_timestamp(d, text, size, &timestamp):
                return fail(d, b"'timestamp' is cut short or not a UTC time like "
                               b"2026-01-31T12:00:00.000000")
            at = text + size
        elif size == 4 and equal(key, b"step", 4) and not seen & 8:
            seen |= 8
            at = read_number(at, d.end, &step, &kind)
            if at == NULL or kind != INT64 or <int64_t>step < 0:
                return fail(d, b"'step' is cut short or not an integer from 0 to 2**63 - 1")
        else:
            return fail(d, b"member NAME is unknown or there twice", key, size)
    if seen != 15:
        return fail(d, b"it lacks one of 'values', 'time', 'timestamp' and 'step'")
    record[0] = <uint64_t>d.row
    record[1] = step
    record[2] = time
    record[3] = <uint64_t>timestamp
    d.shapes[d.shape].rows += 1
    d.at = at
    return True


cdef uint64_t *read_values(Decoder *d) noexcept nogil:
    """Read the values at ``d.at`` into a new record of their shape, which becomes ``d.shape``.

    Returns the record, its values filled in and not yet counted, or NULL.
    """
    cdef const uint8_t *first
    cdef const uint8_t *at
    cdef Shape *shape
    cdef Column *column
    cdef uint64_t *record
    cdef size_t members, i = 0
    cdef uint8_t kind
    first = read_count(d.at, d.end, 0x80, &members)
    if first == NULL:
        fail(d, b"'values' is cut short or not a map")
        return NULL
    if d.shape_count:
        shape = &d.shapes[d.shapes[d.shape].next]
        if shape.size == members:
            record = next_record(d, shape)
            if record == NULL:
                return NULL
            at = first
            while i < members:
                column = &shape.columns[i]
                if <size_t>(d.end - at) <= column.size or not equal(at, column.encoded, column.size):
                    break
                at = read_number(at + column.size, d.end, &record[4 + i], &kind)
                if at == NULL or kind != column.kind:
                    break
                i += 1
            if i == members:
                d.shape = d.shapes[d.shape].next
                d.at = at
                return record
    return look_up_values(d, first, members)


cdef uint64_t *look_up_values(Decoder *d, const uint8_t *at, size_t members) noexcept nogil:
    """Read *members* values whose shape nobody guessed; otherwise as read_values."""
    cdef const uint8_t *text
    cdef const uint8_t *encoded
    cdef uint64_t *record
    cdef size_t size, i, name, shape
    if members > NAMES_MAX:
        fail(d, b"it has more than 65,536 metrics")
        return NULL
    for i in range(members):
        if i == d.scratch and not grow_scratch(d):
            return NULL
        encoded = at
        text = read_str(at, d.end, &size)
        if text == NULL:
            fail(d, b"a metric's name is cut short or not a str")
            return NULL
        if not find_name(d, text, size, &name):
            return NULL
        if d.names[name].row == d.row:
            fail(d, b"metric NAME is there twice", text, size)
            return NULL
        d.names[name].row = d.row
        d.columns[i].encoded = encoded
        d.columns[i].size = <uint32_t>(text + size - encoded)
        d.columns[i].name = <uint32_t>name
        at = read_number(text + size, d.end, &d.values[i], &d.columns[i].kind)
        if at == NULL:
            fail(d, b"the value of NAME is cut short or not a number", text, size)
            return NULL
    if not find_shape(d, members, &shape):
        return NULL
    d.shapes[d.shape].next = shape
    d.shape = shape
    d.at = at
    record = next_record(d, &d.shapes[shape])
    if record != NULL and members:
        memcpy(record + 4, d.values, members * sizeof(uint64_t))
    return record


cdef bint find_name(Decoder *d, const uint8_t *text, size_t size, size_t *name) noexcept nogil:
    """Give the number of the name *text*, checking it and taking it in if it is new."""
    cdef uint64_t hash = hash_start
    cdef Name *names
    cdef Slot *slot
    cdef size_t i
    for i in range(size):
        hash = mixed(hash, text[i])
    slot = table_slot(&d.name_table, hash)
    while slot != NULL and slot.number:
        name[0] = slot.number - 1
        if (slot.hash == hash and d.names[name[0]].size == size
                and equal(d.names[name[0]].text, text, size)):
            return True
        slot = table_next(&d.name_table, slot)
    if size == 0 or size > wire_name_size_max:
        return fail(d, b"a metric's name must have 1 to 1024 characters, not so NAME", text, size)
    for i in range(size):
        if not name_characters[text[i]]:
            return fail(d, b"metric name NAME has characters other than letters, digits, white "
                           b"space and - _ / . : = > < + ( ) %", text, size)
    if d.name_count == NAMES_MAX:
        return fail(d, b"the body has more than 65,536 metric names")
    if d.name_count == d.name_capacity:
        names = <Name *>realloc(d.names, (2 * d.name_capacity + 16) * sizeof(Name))
        if names == NULL:
            return fail(d, NULL)
        d.names = names
        d.name_capacity = 2 * d.name_capacity + 16
    name[0] = d.name_count
    d.names[name[0]].text = text
    d.names[name[0]].size = size
    d.names[name[0]].row = -1
    d.name_count += 1
    return table_add(&d.name_table, hash) or fail(d, NULL)


cdef bint find_shape(Decoder *d, size_t size, size_t *number) noexcept nogil:
    """Give the number of the shape of the row in the scratch columns, adding it if it is new."""
    cdef uint64_t hash = hash_start
    cdef Shape *shapes
    cdef Shape *shape
    cdef Slot *slot
    cdef size_t i
    for i in range(size):
        hash = mixed(hash, (<uint64_t>d.columns[i].name << 8) | d.columns[i].kind)
    slot = table_slot(&d.shape_table, hash)
    while slot != NULL and slot.number:
        number[0] = slot.number - 1
        if slot.hash == hash and fits(&d.shapes[number[0]], d.columns, size):
            return True
        slot = table_next(&d.shape_table, slot)
    if d.shape_count == d.shape_capacity:
        shapes = <Shape *>realloc(d.shapes, (2 * d.shape_capacity + 4) * sizeof(Shape))
        if shapes == NULL:
            return fail(d, NULL)
        d.shapes = shapes
        d.shape_capacity = 2 * d.shape_capacity + 4
    number[0] = d.shape_count
    shape = &d.shapes[number[0]]
    memset(shape, 0, sizeof(Shape))
    shape.size = size
    # Most rows are followed by one of the same shape.
    shape.next = number[0]
    shape.columns = <Column *>calloc(size + 1, sizeof(Column))
    if shape.columns == NULL:
        return fail(d, NULL)
    if size:
        memcpy(shape.columns, d.columns, size * sizeof(Column))
    d.shape_count += 1
    return table_add(&d.shape_table, hash) or fail(d, NULL)


cdef inline bint fits(const Shape *shape, const Column *columns, size_t size) noexcept nogil:
    cdef size_t i
    if shape.size != size:
        return False
    for i in range(size):
        if shape.columns[i].name != columns[i].name or shape.columns[i].kind != columns[i].kind:
            return False
    return True


cdef inline uint64_t *next_record(Decoder *d, Shape *shape) noexcept nogil:
    """Give the place of the shape's next record, making room if there is none."""
    if shape.rows == shape.capacity and not grow_records(d, shape):
        return NULL
    return shape.records + shape.rows * (4 + shape.size)


cdef bint grow_records(Decoder *d, Shape *shape) noexcept nogil:
    cdef uint64_t *records
    cdef size_t capacity = 2 * shape.capacity + 4
    # Rows of one shape are nearly of one length, so the first 64 tell how many more fit in
    # the bytes that are left; what the body claims is only ever an upper bound.
    if shape.rows >= 64 and d.shape_count == 1:
        capacity = <size_t>(d.end - d.at) / (<size_t>(d.at - d.begin) / shape.rows) + shape.rows + 64
        capacity = min(capacity, max(d.claimed, shape.rows + 1))
    records = <uint64_t *>realloc(shape.records, capacity * (4 + shape.size) * sizeof(uint64_t))
    if records == NULL:
        return fail(d, NULL)
    shape.records = records
    shape.capacity = capacity
    return True


cdef bint grow_scratch(Decoder *d) noexcept nogil:
    cdef size_t capacity = 2 * d.scratch + 16
    cdef Column *columns = <Column *>realloc(d.columns, capacity * sizeof(Column))
    if columns != NULL:
        d.columns = columns
    cdef uint64_t *values = <uint64_t *>realloc(d.values, capacity * sizeof(uint64_t))
    if values != NULL:
        d.values = values
    if columns == NULL or values == NULL:
        return fail(d, NULL)
    d.scratch = capacity
    return True


cdef void transpose(const Shape *shape) noexcept nogil:
    """Write the records of *shape* as columns.

    Eight columns at a time: what is read is a cache line, what is written are eight streams.
    """
    cdef size_t width = 4 + shape.size, rows = shape.rows, first, row, column, end
    cdef const uint64_t *record
    if shape.places != NULL:
        for row in range(rows):
            shape.places[row] = <uint32_t>shape.records[row * width]
    first = 1
    while first < width:
        end = min(first + 8, width)
        for row in range(rows):
            record = shape.records + row * width
            for column in range(first, end):
                shape.words[(column - 1) * rows + row] = record[column]
        first = end


# ---- Timestamps -----------------------------------------------------------------


cdef inline bint read_timestamp(
    Decoder *d, const uint8_t *text, size_t size, int64_t *microseconds
) noexcept nogil:
    """Read ``2026-01-31T12:00:00.123456`` as microseconds since the epoch.

    The second seldom changes from one row to the next, so only the fraction is read then.
    """
    cdef uint64_t digits
    cdef int64_t unit = 100_000, fraction = 0
    cdef size_t i
    if size < 19:
        return False
    if (little64(text) != d.clock[0] or little64(text + 8) != d.clock[1]
            or little64(text + 11) != d.clock[2]):
        if not read_seconds(text, &d.clock_us):
            d.clock[0] = 0
            return False
        d.clock[0] = little64(text)
        d.clock[1] = little64(text + 8)
        d.clock[2] = little64(text + 11)
    if size == 26 and text[19] == c"." and text[25] != c"Z":
        # Eight characters at once: the last digit of the second and the dot become zeros.
        digits = (little64(text + 18) & ~0xFFFFULL) | 0x3030
        if ((digits & 0xF0F0F0F0F0F0F0F0ULL) != 0x3030303030303030ULL
                or ((digits + 0x0606060606060606ULL) & 0xF0F0F0F0F0F0F0F0ULL) != 0x3030303030303030ULL):
            return False
        digits = ((digits & 0x0F0F0F0F0F0F0F0FULL) * 2561) >> 8
        digits = ((digits & 0x00FF00FF00FF00FFULL) * 6553601) >> 16
        digits = ((digits & 0x0000FFFF0000FFFFULL) * 42949672960001ULL) >> 32
        microseconds[0] = d.clock_us + <int64_t>digits
        return True
    if text[size - 1] == c"Z":
        size -= 1
    if size > 19 and (text[19] != c"." or size == 20 or size > 29):
        return False
    for i in range(20, size):
        if not c"0" <= text[i] <= c"9":
            return False
        fraction += unit * (text[i] - c"0")
        unit //= 10
    microseconds[0] = d.clock_us + fraction
    return True


# ---- Words and their planes of bytes ------------------------------------------------

cdef enum:
    # Words taken at a time: they and their planes stay in the first cache (32 KiB).
    TILE = 1024


cdef void pack_words(
    const uint64_t *words, size_t columns, size_t rows, uint8_t *planes
) noexcept nogil:
    cdef uint64_t folded[TILE]
    cdef uint64_t last, change
    cdef size_t column, first, count, i, plane, total = columns * rows
    for column in range(columns):
        last = 0
        first = 0
        while first < rows:
            count = min(<size_t>TILE, rows - first)
            for i in range(count):
                change = words[first + i] - last
                last = words[first + i]
                folded[i] = (change << 1) ^ (0 - (change >> 63))
            for plane in range(8):
                for i in range(count):
                    planes[plane * total + first + i] = <uint8_t>(folded[i] >> (8 * plane))
            first += count
        words += rows
        planes += rows


cdef void unpack_words(
    const uint8_t *planes, size_t columns, size_t rows, uint64_t *words
) noexcept nogil:
    cdef uint64_t last, folded
    cdef size_t column, first, end, i, plane, total = columns * rows
    for column in range(columns):
        first = 0
        last = 0
        while first < rows:
            end = min(first + TILE, rows)
            for i in range(first, end):
                words[i] = planes[i]
            for plane in range(1, 8):
                for i in range(first, end):
                    words[i] |= <uint64_t>planes[plane * total + i] << (8 * plane)
            for i in range(first, end):
                folded = words[i]
                last += (folded >> 1) ^ (0 - (folded & 1))
                words[i] = last
            first = end
        words += rows
        planes += rows
