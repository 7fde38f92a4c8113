/* Steps of optimisers: on the weights, given the same gradient, the bits of cython_ext/core/block_template.h.
 * Twins: eventsnn/learn/optimisers/. */
#ifndef EVENTSNN_UPDATE_H
#define EVENTSNN_UPDATE_H

#include "cuda.h"

#define UPDATE_ROWS 64 /* rows of a column that a thread takes; their sums are added up in order */

/* One step on the gradient scale * gradient / units + decay * weights; see `make_update` of
 * cython_ext/learn/optimiser.pyx. With an empty `square` gradient descent. parts (pieces, 3, padded): sums over a piece's
 * rows of the new weights, of their squares, and of the squares of the gradient that the step was on. Grid (pieces, tiles of
 * neurons): a layer may have more pieces than a grid has rows. */
template <class R>
__global__ void update_weights(int rows, int padded, Span<const int64> gradient, Span<const double> units, Span<R> weights,
                               Span<R> mean, Span<R> square, Span<const R> decay, R scale, R step, R beta1, R beta2,
                               R floor_, R shrink, int nesterov, Span<double> parts) {
    const int i = blockIdx.y * blockDim.x + threadIdx.x, first = blockIdx.x * UPDATE_ROWS;
    if (i >= padded) return;
    const R one1 = 1 - beta1, one2 = 1 - beta2;
    double sum = 0.0, squares = 0.0, norm = 0.0;
    for (int j = first; j < first + UPDATE_ROWS && j < rows; ++j) {
        const int64 at = (int64)j * padded + i;
        R w = weights[at], m = mean[at];
        const R g = (R)((double)gradient[at] / units[i]) * scale + decay[i] * w;
        if (square.size) {
            m = m * beta1 + g * one1;
            const R v = square[at] * beta2 + g * g * one2;
            const R kept = shrink != 0 ? w - shrink * w : w; /* as it is, the sign of a zero included */
            w = kept - step * m / (sqrt(v) + floor_);
            square[at] = v;
        } else {
            m = m * beta1 - step * g;
            w = w + (nesterov ? m * beta1 - step * g : m);
        }
        weights[at] = w;
        mean[at] = m;
        sum += (double)w;
        squares += (double)w * (double)w;
        norm += (double)g * (double)g;
    }
    const int64 part = (int64)blockIdx.x * 3 * padded + i;
    parts[part] = sum;
    parts[part + padded] = squares;
    parts[part + 2 * padded] = norm;
}

/* The pieces added up: sums (3, padded). */
__global__ void add_parts(int pieces, int padded, Span<const double> parts, Span<double> sums) {
    const int k = blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= 3 * padded) return;
    double sum = 0.0;
    for (int p = 0; p < pieces; ++p) sum += parts[(int64)p * 3 * padded + k];
    sums[k] = sum;
}

KERNEL(update_weights<float>)
KERNEL(update_weights<double>)
KERNEL(add_parts)

#endif
