"""CRC-32, as `zlib.crc32` has it: that is its twin, and takes about six times as long."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t

cdef extern from "crc32.h" nogil:
    void crc32_prepare()
    uint32_t crc32_of(uint32_t crc, const void* data, size_t n)

crc32_prepare()


def crc32(const uint8_t[::1] data, uint32_t crc=0):
    """The CRC-32 of the bytes that `crc` is of, followed by `data`: as `zlib.crc32`."""
    if data.shape[0] == 0:
        return crc
    with nogil:
        crc = crc32_of(crc, &data[0], data.shape[0])
    return crc


def row_crcs(const uint8_t[:, ::1] rows, uint32_t[::1] crcs):
    """CRC-32 of every row of bytes, each going on from its own in `crcs`: uint32 array (rows,), `crcs` itself."""
    cdef Py_ssize_t k
    if rows.shape[1] > 0:
        with nogil:
            for k in range(rows.shape[0]):
                crcs[k] = crc32_of(crcs[k], &rows[k, 0], rows.shape[1])
    return crcs.base
