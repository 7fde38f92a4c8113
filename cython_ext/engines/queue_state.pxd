"""A network in the middle of a simulation by the queue; see engine_queue.pyx."""

from libc.stdint cimport int32_t, int64_t

from eventsnn._ext.branches cimport branches_t
from eventsnn._ext.event_queue cimport heap_t
from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.spikes cimport spikes_t


cdef struct layer_t:
    lif_t lif
    int32_t size          # neurons
    int32_t blocks        # blocks of WIDTH neurons
    int64_t first         # position of its first neuron in the state arrays
    double now            # time at which its state is committed, ms
    int32_t n_refractory  # neurons whose refractory period had not ended at `now`
    int32_t n_candidates  # neurons with a known next spike
    spikes_t spikes
    int64_t taken         # of them, by `QueueState.take`


cdef struct projection_t:
    int32_t source        # layer, -1 for the input, -2 for the bias neuron
    int32_t target        # layer
    double delay          # ms; the shortest, where there are several
    int64_t weights       # position of its first weight; layout [block][pre][WIDTH], or [branch] where `post` is given
    int64_t n_pre
    int64_t cursor        # next spike of the source to be delivered, or to be sent through its branches
    branches_t branches   # of its source neurons


cdef class QueueState:
    cdef int32_t n_layers, n_projections
    cdef layer_t* layers
    cdef projection_t* projections
    cdef heap_t heap
    cdef readonly int64_t neurons   # padded neurons of all layers
    cdef readonly double now        # time of the last thing that happened, ms
    cdef const double[::1] bias
    cdef object keep                # keeps the memory of the branches
