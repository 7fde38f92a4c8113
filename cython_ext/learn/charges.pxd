"""Charges of spike counts in one block and unit; see charges.pyx."""

from eventsnn._ext.dtypes cimport real_t
from eventsnn._ext.layer_events cimport unit_t
from eventsnn._ext.lif cimport lif_t


cdef void charge_block(const lif_t* constants, const unit_t* u, const real_t* coefficient,
                       double* charges) noexcept nogil
