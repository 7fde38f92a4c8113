"""The sweep of a block whose neurons inhibit each other; see lateral.pyx."""

from eventsnn._ext.dtypes cimport real_t
from eventsnn._ext.sweep cimport block_t


cdef int sweep_lateral(block_t* k, real_t* u, real_t* i, const real_t* lateral, const real_t* weights,
                       const real_t* table) except -1 nogil
