"""Bytes of recordings, read ahead of their preparation without the GIL; see prepare.pyx."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy
from posix.fcntl cimport O_CLOEXEC, O_RDONLY, open
from posix.stat cimport fstat, struct_stat
from posix.unistd cimport close, pread

import os

import numpy as np

cdef extern from "crc32.h" nogil:
    void crc32_prepare()
    uint32_t crc32_of(uint32_t crc, const void* data, size_t n)

crc32_prepare()


cdef class Records:
    """Bytes of several recordings of one kind, read ahead of their preparation."""

    def __cinit__(self, Kind kind, Py_ssize_t n):
        self.kind, self.n = kind, n
        self.start = <const uint8_t**> malloc((n + 1) * sizeof(uint8_t*))
        self.size = <Py_ssize_t*> malloc((n + 1) * sizeof(Py_ssize_t))
        if self.start == NULL or self.size == NULL:
            raise MemoryError(f"no memory for {n} recordings")

    def __dealloc__(self):
        free(self.start)
        free(self.size)
        free(self.owned)

    def __len__(self):
        return self.n

    @property
    def most_events(self):
        """Events that there are at most."""
        cdef Py_ssize_t k, total = 0, width = record_size(self.kind)
        for k in range(self.n):
            total += max(self.size[k], 0) // width
        return total

    def checksums(self):
        """CRC-32 of the bytes of each recording, uint32 array; 0 of those that are unreadable."""
        cdef Py_ssize_t k
        cdef uint32_t[::1] found = np.zeros(self.n, np.uint32)
        with nogil:
            for k in range(self.n):
                if self.size[k] > 0:
                    found[k] = crc32_of(0, self.start[k], self.size[k])
        return found.base

    def words(self):
        """A copy of all words, one recording after the other, and how many each has (-1: unreadable): uint64 and
        int64 arrays. None for recordings of another form.
        """
        cdef Py_ssize_t k, at = 0
        cdef uint64_t[::1] words
        cdef int64_t[::1] sizes
        if self.kind != WORDS:
            return None
        found = np.empty(self.most_events, np.uint64), np.empty(self.n, np.int64)
        words, sizes = found
        with nogil:
            for k in range(self.n):
                sizes[k] = self.size[k] // 8 if self.size[k] >= 0 else -1
                if self.size[k] > 0:
                    memcpy(&words[at], self.start[k], 8 * sizes[k])
                    at += sizes[k]
        return found


cdef int make_room(Records records, Py_ssize_t size) except -1 nogil:
    """Have `owned` hold at least `size` bytes."""
    cdef uint8_t* grown
    if size <= records.room:
        return 0
    size = max(size, 2 * records.room)
    grown = <uint8_t*> realloc(records.owned, size)
    if grown == NULL:
        with gil:
            raise MemoryError(f"no memory for {size} bytes of recordings")
    records.owned, records.room = grown, size
    return 0


cdef Py_ssize_t read_at(int file, uint8_t* out, Py_ssize_t size, int64_t offset) noexcept nogil:
    """Read up to `size` bytes; return how many there were, -1 if reading failed."""
    cdef Py_ssize_t done = 0, got
    while done < size:
        got = pread(file, out + done, size - done, offset + done)
        if got < 0:
            return -1
        if got == 0:
            break
        done += got
    return done


cdef void point(Records records) noexcept nogil:
    """Point to recordings that lie one after the other in `owned`."""
    cdef Py_ssize_t k, at = 0
    for k in range(records.n):
        records.start[k] = records.owned + at
        at += max(records.size[k], 0)


def read_files(list paths):
    """Bytes of N-MNIST files as Records; those that cannot be read are noted as such."""
    cdef list names = [os.fsencode(path) for path in paths]
    cdef Records records = Records(NMNIST, len(names))
    cdef const char** name = <const char**> malloc((len(names) + 1) * sizeof(char*))
    cdef Py_ssize_t k, at = 0
    cdef int file
    cdef struct_stat about
    if name == NULL:
        raise MemoryError(f"no memory for {len(names)} names")
    try:
        for k in range(records.n):
            name[k] = <bytes> names[k]
        with nogil:
            for k in range(records.n):
                records.size[k] = -1
                file = open(name[k], O_RDONLY | O_CLOEXEC)
                if file < 0:
                    continue
                try:
                    if fstat(file, &about) == 0:
                        make_room(records, at + about.st_size)
                        records.size[k] = read_at(file, records.owned + at, about.st_size, 0)
                finally:
                    close(file)
                at += max(records.size[k], 0)
            point(records)
    finally:
        free(name)
    return records


def read_words(int file, const int64_t[::1] first, const int64_t[::1] last):
    """Bytes first..last of an open file for each recording, as Records of 8-byte words."""
    cdef Records records = Records(WORDS, first.shape[0])
    cdef Py_ssize_t k, at = 0
    with nogil:
        for k in range(records.n):
            at += last[k] - first[k]
        make_room(records, at)
        at = 0
        for k in range(records.n):
            records.size[k] = read_at(file, records.owned + at, last[k] - first[k], first[k])
            if records.size[k] != last[k] - first[k]:
                records.size[k] = -1
            at += max(records.size[k], 0)
        point(records)
    return records


def from_events(list arrays):
    """Records of arrays of EVENT_DTYPE, C-contiguous, which are kept alive but not copied."""
    cdef Records records = Records(EVENTS, len(arrays))
    cdef const Event[::1] events
    cdef Py_ssize_t k
    records.keep = list(arrays)
    for k in range(records.n):
        events = arrays[k]
        records.size[k] = events.shape[0] * <Py_ssize_t> sizeof(Event)
        records.start[k] = <const uint8_t*> &events[0] if events.shape[0] else NULL
    return records
