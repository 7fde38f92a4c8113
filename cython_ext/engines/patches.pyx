"""Events cut into patches: what each position of a convolution or pooling layer sees of a spike train.

Twin: the loop over events and patches in tests/model/test_spatial.py. A position of a spatial layer is a small dense
layer of its own, fed by the events that fall into its patch of the source; all positions share their weights. So a
spatial layer is run and trained as a dense one, a sample for each position.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset


def count_patches(const int32_t[::1] neurons, int32_t channels, const int32_t[::1] cell_ptr,
                  const int32_t[::1] cell_patch, int64_t[::1] ptr):
    """Fill ptr (patches + 1,): events of patch p are to be [ptr[p], ptr[p + 1]).

    Parameters
    ----------
    neurons : int32 (events,)
        Source neurons, channel * cells + cell; the bias neuron, which every patch sees, is the one after the last.
    channels : int
        Of the source.
    cell_ptr : int32 (cells + 1,), cell_patch : int32 (cell_ptr[-1],)
        The patches that source cell c is in: cell_patch[cell_ptr[c] : cell_ptr[c + 1]].
    """
    cdef int64_t e, k, cell, cells = cell_ptr.shape[0] - 1, patches = ptr.shape[0] - 1
    with nogil:
        memset(&ptr[0], 0, (patches + 1) * sizeof(int64_t))
        for e in range(neurons.shape[0]):
            if neurons[e] == channels * cells:
                for k in range(patches):
                    ptr[k + 1] += 1
                continue
            cell = neurons[e] % cells
            for k in range(cell_ptr[cell], cell_ptr[cell + 1]):
                ptr[cell_patch[k] + 1] += 1
        for k in range(patches):
            ptr[k + 1] += ptr[k]


def fill_patches(const double[::1] times, const int32_t[::1] neurons, int32_t channels, const int32_t[::1] cell_ptr,
                 const int32_t[::1] cell_patch, const int32_t[::1] cell_offset, int32_t area, int64_t[::1] cursor,
                 double[::1] out_times, int32_t[::1] out_neurons):
    """The events of each patch, in their order, with source neurons channel * area + place; the bias is the last.

    Parameters
    ----------
    times : float64 (events,), ms; neurons, channels, cell_ptr, cell_patch
        As for `count_patches`.
    cell_offset : int32, like cell_patch
        Where in the patch the cell is.
    area : int
        Cells of a patch.
    cursor : int64 (patches,)
        Where each patch begins in the output; moved to where it ends.
    """
    cdef int64_t e, k, at, patches = cursor.shape[0]
    cdef int32_t cells = <int32_t> (cell_ptr.shape[0] - 1), cell, row
    with nogil:
        for e in range(neurons.shape[0]):
            row = neurons[e] // cells * area
            if neurons[e] == channels * cells:
                for k in range(patches):
                    out_times[cursor[k]] = times[e]
                    out_neurons[cursor[k]] = row
                    cursor[k] += 1
                continue
            cell = neurons[e] % cells
            for k in range(cell_ptr[cell], cell_ptr[cell + 1]):
                at = cursor[cell_patch[k]]
                cursor[cell_patch[k]] += 1
                out_times[at] = times[e]
                out_neurons[at] = row + cell_offset[k]
