"""A block of WIDTH neurons of one layer: advance to a time, deliver an input spike, search for candidates.

Both engines are schedulers of these three operations, which is why they agree to the last bit. All loops run over
neurons only, without reductions in floating point, so the instruction set does not change a bit either.
"""

from eventsnn._ext.dtypes cimport WIDTH, real_t


cdef inline void block_advance(real_t* u, real_t* i, real_t a, real_t h, real_t b) noexcept nogil:
    """Membrane potential and synaptic current of every neuron after the time the propagators stand for."""
    cdef int n
    for n in range(WIDTH):
        u[n] = u[n] * a + i[n] * h
        i[n] = i[n] * b


cdef inline void block_deliver(real_t* i, const real_t* weights) noexcept nogil:
    """One input spike: add its row of synaptic weights to the synaptic currents."""
    cdef int n
    for n in range(WIDTH):
        i[n] = i[n] + weights[n]


cdef inline bint block_search(const real_t* u, const real_t* i, real_t c_u, real_t c_i, real_t level) noexcept nogil:
    """True if the bound c_u u + c_i I of some neuron reaches `level`: it may fire before the time they stand for."""
    cdef int n
    cdef int found = 0
    for n in range(WIDTH):
        found |= c_u * u[n] + c_i * i[n] >= level
    return found


cdef inline bint block_step(real_t* u, real_t* i, const real_t* weights, real_t a, real_t h, real_t b,
                            real_t c_u, real_t c_i, real_t level) noexcept nogil:
    """Advance, deliver and search in one pass: the hot loop of both engines."""
    cdef int n
    cdef int found = 0
    cdef real_t potential, current
    for n in range(WIDTH):
        potential = u[n] * a + i[n] * h
        current = i[n] * b + weights[n]
        u[n] = potential
        i[n] = current
        found |= c_u * potential + c_i * current >= level
    return found
