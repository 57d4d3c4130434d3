# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The map of ``_columns.pyx``: bytes, msgpack, times and a hash table, none of which knows a row.

Every function is inline and needs no Python.  What reads takes where it reads and the end
of all bytes, and returns where it stopped, or NULL if that is not there or is cut short.
"""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

# ---- Bytes ------------------------------------------------------------------------

# Compilers turn these shifts into one load (and a byte swap), on any byte order.
cdef inline uint16_t big16(const uint8_t *p) noexcept nogil:
    return <uint16_t>((<uint32_t>p[0] << 8) | p[1])


cdef inline uint32_t big32(const uint8_t *p) noexcept nogil:
    return (<uint32_t>p[0] << 24) | (<uint32_t>p[1] << 16) | (<uint32_t>p[2] << 8) | p[3]


cdef inline uint64_t big64(const uint8_t *p) noexcept nogil:
    return (<uint64_t>big32(p) << 32) | big32(p + 4)


cdef inline uint64_t little64(const uint8_t *p) noexcept nogil:
    return ((<uint64_t>p[7] << 56) | (<uint64_t>p[6] << 48) | (<uint64_t>p[5] << 40)
            | (<uint64_t>p[4] << 32) | (<uint64_t>p[3] << 24) | (<uint64_t>p[2] << 16)
            | (<uint64_t>p[1] << 8) | p[0])


cdef inline bint equal(const uint8_t *a, const uint8_t *b, size_t size) noexcept nogil:
    """memcmp for a few bytes, without the call: names are short and there are many of them."""
    cdef size_t i = 0
    if size >= 8:
        while i + 8 < size:
            if little64(a + i) != little64(b + i):
                return False
            i += 8
        return little64(a + size - 8) == little64(b + size - 8)
    while i < size:
        if a[i] != b[i]:
            return False
        i += 1
    return True


cdef inline uint64_t float_word(double value) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, &value, 8)
    return word

# ---- Msgpack, as much of it as a row needs ----------------------------------------

cdef enum:
    FLOAT64 = 0
    INT64 = 1
    UINT64 = 2
    BOOL = 3


cdef inline const uint8_t *read_count(
    const uint8_t *at, const uint8_t *end, uint8_t fix, size_t *count
) noexcept nogil:
    """Read the header of a map (*fix* 0x80) or an array (0x90); NULL if it is none or cut short."""
    cdef uint8_t wide = 0xDE if fix == 0x80 else 0xDC
    if at == end:
        return NULL
    if at[0] & 0xF0 == fix:
        count[0] = at[0] & 0x0F
        return at + 1
    if at[0] == wide and end - at >= 3:
        count[0] = big16(at + 1)
        return at + 3
    if at[0] == wide + 1 and end - at >= 5:
        count[0] = big32(at + 1)
        return at + 5
    return NULL


cdef inline const uint8_t *read_str(
    const uint8_t *at, const uint8_t *end, size_t *size
) noexcept nogil:
    """Find the text of the str at *at*; NULL if it is none or cut short."""
    if at == end:
        return NULL
    if at[0] & 0xE0 == 0xA0:
        size[0] = at[0] & 0x1F
        at += 1
    elif at[0] == 0xD9 and end - at >= 2:
        size[0] = at[1]
        at += 2
    elif at[0] == 0xDA and end - at >= 3:
        size[0] = big16(at + 1)
        at += 3
    elif at[0] == 0xDB and end - at >= 5:
        size[0] = big32(at + 1)
        at += 5
    else:
        return NULL
    return at if <size_t>(end - at) >= size[0] else NULL


cdef inline const uint8_t *read_number(
    const uint8_t *at, const uint8_t *end, uint64_t *word, uint8_t *kind
) noexcept nogil:
    """Read the number at *at* as eight raw bytes and a kind; NULL if it is none or cut short."""
    cdef uint8_t tag
    cdef uint32_t half
    cdef float single
    if at == end:
        return NULL
    tag = at[0]
    if tag == 0xCB and end - at >= 9:
        word[0] = big64(at + 1)
        kind[0] = FLOAT64
        return at + 9
    kind[0] = INT64
    if tag < 0x80:
        word[0] = tag
        return at + 1
    if tag >= 0xE0:
        word[0] = <uint64_t><int64_t><int8_t>tag
        return at + 1
    if tag == 0xC2 or tag == 0xC3:
        kind[0] = BOOL
        word[0] = tag & 1
        return at + 1
    if (tag == 0xCC or tag == 0xD0) and end - at >= 2:
        word[0] = at[1] if tag == 0xCC else <uint64_t><int64_t><int8_t>at[1]
        return at + 2
    if (tag == 0xCD or tag == 0xD1) and end - at >= 3:
        word[0] = big16(at + 1) if tag == 0xCD else <uint64_t><int64_t><int16_t>big16(at + 1)
        return at + 3
    if (tag == 0xCE or tag == 0xD2) and end - at >= 5:
        word[0] = big32(at + 1) if tag == 0xCE else <uint64_t><int64_t><int32_t>big32(at + 1)
        return at + 5
    if (tag == 0xCF or tag == 0xD3) and end - at >= 9:
        word[0] = big64(at + 1)
        if tag == 0xCF and word[0] >> 63:
            kind[0] = UINT64
        return at + 9
    if tag == 0xCA and end - at >= 5:
        half = big32(at + 1)
        memcpy(&single, &half, 4)
        kind[0] = FLOAT64
        word[0] = float_word(single)
        return at + 5
    return NULL

# ---- Times ------------------------------------------------------------------------


cdef inline int64_t two_digits(const uint8_t *text) noexcept nogil:
    """Read two digits; far below any number if they are none."""
    if not c"0" <= text[0] <= c"9" or not c"0" <= text[1] <= c"9":
        return -1_000_000
    return (text[0] - c"0") * 10 + (text[1] - c"0")


cdef inline bint read_seconds(const uint8_t *text, int64_t *microseconds) noexcept nogil:
    """Read the first 19 characters, ``2026-01-31T12:00:00``; False if they are no time."""
    cdef int64_t year, month, day, hour, minute, second, era, days
    if (text[4] != c"-" or text[7] != c"-" or (text[10] != c"T" and text[10] != c" ")
            or text[13] != c":" or text[16] != c":"):
        return False
    year = two_digits(text) * 100 + two_digits(text + 2)
    month = two_digits(text + 5)
    day = two_digits(text + 8)
    hour = two_digits(text + 11)
    minute = two_digits(text + 14)
    second = two_digits(text + 17)
    if (two_digits(text) < 0 or two_digits(text + 2) < 0 or year < 1 or not 1 <= month <= 12
            or day < 1 or not 0 <= hour < 24 or not 0 <= minute < 60 or not 0 <= second < 60):
        return False
    if day > 28:
        if day > (31 if month in (1, 3, 5, 7, 8, 10, 12) else 30):
            return False
        if month == 2 and (day > 29 or year % 4 or (year % 100 == 0 and year % 400)):
            return False
    # Days since 1970 in the proleptic calendar, with years that begin in March so that the
    # leap day is a year's last.
    if month <= 2:
        year -= 1
        month += 12
    era = year // 400
    days = (era * 146_097 + (year - era * 400) * 365 + (year - era * 400) // 4
            - (year - era * 400) // 100 + (153 * (month - 3) + 2) // 5 + day - 1 - 719_468)
    microseconds[0] = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000
    return True

# ---- A hash table of numbers ------------------------------------------------------

cdef struct Slot:
    uint64_t hash
    uint32_t number         # index + 1; 0 is a free slot

cdef struct Table:
    Slot *slots
    size_t size             # a power of two
    size_t used


cdef inline Slot *table_slot(Table *table, uint64_t hash) noexcept nogil:
    """Give the first slot to look at for *hash*, NULL in an empty table."""
    return &table.slots[hash & (table.size - 1)] if table.size else NULL


cdef inline Slot *table_next(Table *table, Slot *slot) noexcept nogil:
    return table.slots if slot == &table.slots[table.size - 1] else slot + 1


cdef inline bint table_add(Table *table, uint64_t hash) noexcept nogil:
    """Give the next number to *hash*, keeping the table at most half full; False lacks memory."""
    cdef Table wide
    cdef Slot *slot
    cdef size_t i
    if 2 * table.used >= table.size:
        wide.size = 4 * table.size if table.size else 16
        wide.used = table.used
        wide.slots = <Slot *>calloc(wide.size, sizeof(Slot))
        if wide.slots == NULL:
            return False
        for i in range(table.size):
            if table.slots[i].number:
                slot = table_slot(&wide, table.slots[i].hash)
                while slot.number:
                    slot = table_next(&wide, slot)
                slot[0] = table.slots[i]
        free(table.slots)
        table[0] = wide
    slot = table_slot(table, hash)
    while slot.number:
        slot = table_next(table, slot)
    table.used += 1
    slot.hash = hash
    slot.number = <uint32_t>table.used
    return True
