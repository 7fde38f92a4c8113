"""Images to spikes: a coin per pixel and step, without the GIL. Twin: eventsnn/data/images.py `Images.stream`."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc

from eventsnn._ext.draws cimport draw
from eventsnn._ext.records cimport WORDS, Records, make_room, point


# A pixel that may spike.
cdef struct lit_t:
    uint64_t place         # number of the pixel
    uint64_t address       # x, y, p part of its word
    uint64_t limit         # it spikes if the upper 53 bits of its draw lie below this


cdef Py_ssize_t list_lit(const uint8_t* image, Py_ssize_t size, const uint64_t* limits, const uint64_t* address,
                         lit_t* lit) noexcept nogil:
    """Write down the pixels that may spike; return their number."""
    cdef Py_ssize_t k, n = 0
    for k in range(size):
        lit[n] = lit_t(<uint64_t> k, address[k], limits[image[k]])
        n += limits[image[k]] > 0
    return n


cdef uint8_t* code_one(const lit_t* lit, Py_ssize_t n_lit, Py_ssize_t size, uint64_t key, int address_bits,
                       int64_t steps, int64_t step_us, uint8_t* out) noexcept nogil:
    """Write the words of one image, in order of (time, pixel); return the end of them."""
    cdef int64_t step
    cdef Py_ssize_t k
    cdef uint64_t word, time, first
    cdef int i
    for step in range(steps):
        time = <uint64_t> (step * step_us) << address_bits
        first = <uint64_t> (step * size)
        for k in range(n_lit):
            word = time | lit[k].address
            for i in range(8):
                out[i] = <uint8_t> (word >> (8 * i))    # little-endian on any machine; compiles to one store
            # No branch to mispredict: the word stays if the coin says so, else the next overwrites it.
            out += 8 * ((draw(key, first + lit[k].place) >> 11) < lit[k].limit)
    return out


def code_images(const uint8_t[:, ::1] images, const uint64_t[::1] address, int address_bits,
                const uint64_t[::1] keys, const uint64_t[::1] limits, int64_t steps, int64_t step_us):
    """Draw the spikes of some images, as Records of 8-byte words.

    `images` are rows of pixels, `address` the x, y, p part of each pixel's word
    (eventsnn/data/packed_file.py), `address_bits` its width, `keys` the key of each image's coins. Pixel k
    spikes in a step if the upper 53 bits of draw ``step * pixels + k`` lie below limits[value], of which
    there are 256.
    """
    cdef Records records = Records(WORDS, images.shape[0])
    cdef Py_ssize_t n = images.shape[0], size = images.shape[1], k, most = 0
    cdef lit_t* lit = <lit_t*> malloc((n * size + 1) * sizeof(lit_t))
    cdef Py_ssize_t* n_lit = <Py_ssize_t*> malloc((n + 1) * sizeof(Py_ssize_t))
    cdef uint8_t* at
    cdef uint8_t* end
    try:
        if lit == NULL or n_lit == NULL:
            raise MemoryError(f"no memory for {n} images")
        with nogil:
            for k in range(n):
                n_lit[k] = list_lit(&images[k, 0], size, &limits[0], &address[0], lit + k * size)
                most += n_lit[k] * steps
            # One more, since the last word is written before its coin is looked at. Pages are touched by use only.
            make_room(records, 8 * (most + 1))
            at = records.owned
            for k in range(n):
                end = code_one(lit + k * size, n_lit[k], size, keys[k], address_bits, steps, step_us, at)
                records.size[k] = end - at
                at = end
            point(records)
    finally:
        free(lit)
        free(n_lit)
    return records
