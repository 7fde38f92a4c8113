"""What kernels of rules that send errors down have in common; see rule.pyx."""

from libc.stdint cimport int32_t, int64_t

from eventsnn._ext.dtypes cimport real_t
from eventsnn._ext.spsp_matrix cimport SpspMatrix

cdef extern from *:
    """
    static inline int flag_take(int32_t* f) { return __atomic_exchange_n(f, 1, __ATOMIC_ACQUIRE); }
    static inline void flag_return(int32_t* f) { __atomic_store_n(f, 0, __ATOMIC_RELEASE); }
    """
    bint flag_take(int32_t* f) noexcept nogil  # whether somebody else has it
    void flag_return(int32_t* f) noexcept nogil


cdef struct options_t:
    double threshold        # of the layer
    double divisor          # of the errors handed down
    double silent_spsp      # S-PSP of an active on a silent neuron
    double silent_ratio     # e/o of a silent neuron in its self term
    bint effect_ratio


cdef struct scratch_t:
    # Of one thread.
    double* total       # [width] total PSPs
    void* inverse       # real [rows]: 1 / count of neurons that fired
    void* below         # real [rows]
    void* neurons       # real [4][width]: the arrays of a learn_t
    int32_t* rows       # [2][rows]: the lists of a pre_t


cdef int scratch_create(scratch_t* c, int64_t rows, int32_t width) except -1 nogil
cdef void learn_unit(const options_t* o, SpspMatrix m, const double* delta, const double* lateral,
                     const double* row_sum, const real_t* weights, scratch_t* c, real_t* gradient,
                     double* below, double* self_term) noexcept nogil
cdef void direct_factor(const options_t* o, double delta, int64_t count, double row_sum, real_t* factor,
                        real_t* fill) noexcept nogil


cdef inline bint any_error(const double* delta, int64_t n) noexcept nogil:
    cdef int64_t k
    for k in range(n):
        if delta[k] != 0.0:
            return True
    return False
