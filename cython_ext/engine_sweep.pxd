"""One block of a feed-forward layer through all arrivals of a sample."""

from libc.stdint cimport int32_t, int64_t, uint32_t

from eventsnn._ext.arrivals cimport arrivals_t
from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.spikes cimport spikes_t


cdef struct block_t:
    const lif_t* lif
    double now               # time at which u and i are committed, ms
    double t_stop            # ms
    int32_t first            # number of its first neuron in the layer
    double end[WIDTH]        # ends of the last refractory periods, ms
    uint32_t refractory      # bits of the neurons whose refractory period had not ended at `now`
    int32_t waiting[WIDTH]   # the same neurons, by the ends of their refractory periods
    int32_t n_waiting
    spikes_t* spikes
