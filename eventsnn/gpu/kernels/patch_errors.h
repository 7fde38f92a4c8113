/* What layers with many positions add to the way down: sums over the patches that a source neuron is in, and over the weights
 * that lie inside the image. Tables of patches are those of Geometry (eventsnn/model/layers/geometry.py).
 * Twins: `to_sources` of eventsnn/train/errors.py, `row_sums` of the same file. */
#ifndef EVENTSNN_PATCH_ERRORS_H
#define EVENTSNN_PATCH_ERRORS_H

#include "cuda.h"

/* Errors of the source neurons of each sample, from those of the inputs of each unit, by_input (units, channels * area): the sum
 * over the patches that a neuron is in, in their order, so that no launch changes its bits.
 *
 * Cell c of the source is in patches patch[ptr[c]:ptr[c + 1]], there at `offset`. `channels` are those of the source, whose
 * positions are its cells: errors (samples * cells, padded). */
__global__ void sum_patches(int samples, int positions, int cells, int channels, int area, int padded,
                            Span<const int> ptr, Span<const int> patch, Span<const int> offset,
                            Span<const double> by_input, Span<double> errors) {
    const int64 k = (int64)blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= (int64)samples * cells * channels) return;
    const int channel = (int)(k % channels), cell = (int)(k / channels % cells);
    const int64 s = k / channels / cells, inputs = (int64)channels * area;
    double sum = 0.0;
    for (int p = ptr[cell]; p < ptr[cell + 1]; ++p)
        sum += by_input[(s * positions + patch[p]) * inputs + (int64)channel * area + offset[p]];
    errors[(s * cells + cell) * padded + channel] = sum;
}

/* Sums over the inputs inside the image of the weights (inputs, padded), for each kind of border: sums (kinds, padded).
 * Cell c of a patch is inside where inside[kind * area + c]; rows from `patch_inputs` on are the bias neuron's. */
template <class R>
__global__ void border_sums(int kinds, int area, int inputs, int patch_inputs, int padded, Span<const int> inside,
                            Span<const R> weights, Span<double> sums) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, kind = blockIdx.y;
    if (i >= padded || kind >= kinds) return;
    double sum = 0.0;
    for (int j = 0; j < inputs; ++j)
        if (j >= patch_inputs || inside[(int64)kind * area + j % area]) sum += (double)weights[(int64)j * padded + i];
    sums[(int64)kind * padded + i] = sum;
}

KERNEL(sum_patches)
KERNEL(border_sums<float>)
KERNEL(border_sums<double>)

#endif
