/* Dropout: neurons that are dropped in a sample pass no spikes on, and have no errors. `kept` are those of kept.h.
 * Twin: eventsnn/reference/dropout.py. */
#ifndef EVENTSNN_DROPOUT_H
#define EVENTSNN_DROPOUT_H

#include "kept.h"
#include "positions.h"

/* passed (units, padded): what is passed on of `counts`. */
__global__ void pass_kept(int units, int channels, int positions, int padded, Span<const unsigned char> kept,
                          Span<const int> counts, Span<int> passed) {
    const int64 k = (int64)blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= (int64)units * padded) return;
    const int channel = (int)(k % padded);
    const Kept there = {kept, channels, positions};
    passed[k] = channel < channels && there(k / padded, channel) ? counts[k] : 0;
}

/* Errors (units, padded) of neurons that are dropped become 0. */
__global__ void mask_errors(int units, int channels, int positions, int padded, Span<const unsigned char> kept,
                            Span<double> errors) {
    const int64 k = (int64)blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= (int64)units * padded) return;
    const int channel = (int)(k % padded);
    const Kept there = {kept, channels, positions};
    if (channel < channels && !there(k / padded, channel)) errors[k] = 0.0;
}

/* Sums of the weights (inputs, padded) from the inputs of every unit that are there: those of all of them, row_sum (kinds, padded),
 * with the unit's kind of `kind` (positions,), which may be empty, less those from neurons of the layer below that are dropped.
 * sums (units, padded), numbers (units,): their row in it. `geometry` is empty where a unit sees everything; then its inputs are
 * the `below` neurons. */
template <class R>
__global__ void kept_sums(Span<const int> geometry, int units, int positions, int below, int padded,
                          Span<const unsigned char> kept, Span<const double> row_sum, Span<const int> kind,
                          Span<const R> weights, Span<double> sums, Span<int> numbers) {
    const int i = blockIdx.y * blockDim.x + threadIdx.x, unit = blockIdx.x;
    if (i >= padded || unit >= units) return;
    const Span<const unsigned char> own = kept.part((int64)(unit / positions) * below, below);
    double missing = 0.0;
    if (geometry.size == 0) {
        for (int j = 0; j < below; ++j)
            if (!own[j]) missing += (double)weights[(int64)j * padded + i];
    } else {
        const patch_geometry_t g = read_geometry(geometry);
        const int position = unit % positions, cells = g.height * g.width;
        const int first_y = position / g.columns * g.stride[0] - g.padding[0];
        const int first_x = position % g.columns * g.stride[1] - g.padding[1];
        for (int j = 0; j < g.sources / cells * g.area; ++j) {
            const int place = j % g.area, y = first_y + place / g.kernel[1] * g.dilation[0];
            const int x = first_x + place % g.kernel[1] * g.dilation[1];
            const bool inside = y >= 0 && y < g.height && x >= 0 && x < g.width;
            if (inside && !own[j / g.area * cells + y * g.width + x]) missing += (double)weights[(int64)j * padded + i];
        }
    }
    const int64 row = kind.size ? kind[unit % kind.size] : 0;
    sums[(int64)unit * padded + i] = row_sum[row * padded + i] - missing;
    if (i == 0) numbers[unit] = unit;
}

KERNEL(pass_kept)
KERNEL(mask_errors)
KERNEL(kept_sums<float>)
KERNEL(kept_sums<double>)

#endif
