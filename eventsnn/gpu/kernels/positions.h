/* What each position of a layer sees of the spikes that arrive in a sample: those in its patch, as arrivals of its own.
 *
 * Every position of every sample is a *unit*, number sample * positions + position: a small dense layer for `sweep`. A thread has
 * a position and goes through all arrivals of the sample in order, so that a unit's arrivals are in order too. It does so twice:
 * `count_patches` counts, `place_units` makes room, `fill_patches` writes. Twin: Geometry.rows, and the loop in
 * tests/model/test_spatial.py.
 */
#ifndef EVENTSNN_GPU_POSITIONS_H
#define EVENTSNN_GPU_POSITIONS_H

#include "order.h"

#define PATCH_CHUNK 256 /* arrivals that a block holds in shared memory at once */

/* A layer's geometry, as eventsnn.gpu.patches describes it: (y, x) where there are two. */
struct patch_geometry_t {
    int height, width, area, sources;
    int kernel[2], stride[2], padding[2], dilation[2];
    int columns, positions;
};

DEVICE patch_geometry_t read_geometry(const Span<const int>& g) {
    return {g[0], g[1], g[2],  g[3], {g[4], g[5]}, {g[6], g[7]}, {g[8], g[9]}, {g[10], g[11]},
            g[12], g[13]};
}

/* Where `place` lies in a patch that begins at `start`, along one axis; -1: not in it. */
DEVICE int step_of(int place, int start, int dilation, int kernel) {
    const int distance = place - start;
    if (distance < 0) return -1;
    const int step = dilation == 1 ? distance : distance / dilation;
    return step < kernel && step * dilation == distance ? step : -1;
}

/* Arrivals of a sample in shared memory: the row and column of each source's cell, and the first input of its channel. */
struct PatchChunk {
    Span<int> y, x, input;
    MEMBER PatchChunk(SharedMemory& shared)
        : y(shared.take<int>(PATCH_CHUNK)), x(shared.take<int>(PATCH_CHUNK)), input(shared.take<int>(PATCH_CHUNK)) {}

    MEMBER void fill(const patch_geometry_t& g, const Span<const int>& sources, int start, int count) const {
        __syncthreads();
        for (int k = (int)threadIdx.x; k < count; k += (int)blockDim.x) {
            const int source = sources[start + k], cells = g.height * g.width, cell = source % cells;
            y[k] = source < g.sources ? cell / g.width : -1; /* the bias neuron arrives everywhere */
            x[k] = cell % g.width;
            input[k] = source / cells * g.area;
        }
        __syncthreads();
    }

    /* The input of a position that arrival k is; -1: none. */
    MEMBER int input_of(const patch_geometry_t& g, int k, int first_y, int first_x) const {
        if (y[k] < 0) return g.sources / (g.height * g.width) * g.area;
        const int row = step_of(y[k], first_y, g.dilation[0], g.kernel[0]);
        const int column = step_of(x[k], first_x, g.dilation[1], g.kernel[1]);
        return row < 0 || column < 0 ? -1 : input[k] + row * g.kernel[1] + column;
    }
};

/* counts (units,): arrivals of each unit. Grid (samples, tiles of threads positions). */
__global__ void __launch_bounds__(256)
    count_patches(Span<const int> geometry, Span<const int> sources, Span<const int64> first, Span<const int> count,
                  Span<int> counts) {
    SharedMemory shared;
    const PatchChunk chunk(shared);
    const patch_geometry_t g = read_geometry(geometry);
    const int64 sample = blockIdx.x;
    const int position = (int)(blockIdx.y * blockDim.x + threadIdx.x), arrivals = count[sample];
    const int first_y = position / g.columns * g.stride[0] - g.padding[0];
    const int first_x = position % g.columns * g.stride[1] - g.padding[1];
    const Span<const int> own = sources.part(first[sample], arrivals);
    int found = 0;
    for (int start = 0; start < arrivals; start += PATCH_CHUNK) {
        const int size = arrivals - start < PATCH_CHUNK ? arrivals - start : PATCH_CHUNK;
        chunk.fill(g, own, start, size);
        for (int k = 0; k < size; ++k) found += chunk.input_of(g, k, first_y, first_x) >= 0;
    }
    if (position < g.positions) counts[sample * g.positions + position] = found;
}

/* places (units,): arrivals of the units of the same sample before each; totals (samples,): of all of them. Grid (samples,). */
__global__ void place_units(Span<const int> counts, int positions, Span<int64> places, Span<int64> totals) {
    SharedMemory shared;
    const Span<int> sums = shared.take<int>(WARP + 1);
    const int64 begin = (int64)blockIdx.x * positions;
    int64 before = 0;
    for (int base = 0; base < positions; base += (int)blockDim.x) {
        const int position = base + (int)threadIdx.x;
        int total;
        const int own = position < positions ? counts[begin + position] : 0;
        const int at = sum_before(sums, own, &total);
        if (position < positions) places[begin + position] = before + at;
        before += total;
        __syncthreads(); /* nobody reads `sums` any more */
    }
    if (threadIdx.x == 0) totals[blockIdx.x] = before;
}

/* unit_times, unit_sources: the arrivals of every unit from places[unit] + starts[sample] on, which `unit_first` says. */
__global__ void __launch_bounds__(256)
    fill_patches(Span<const int> geometry, Span<const double> times, Span<const int> sources, Span<const int64> first,
                 Span<const int> count, Span<const int64> places, Span<const int64> starts, Span<double> unit_times,
                 Span<int> unit_sources, Span<int64> unit_first) {
    SharedMemory shared;
    const PatchChunk chunk(shared);
    const patch_geometry_t g = read_geometry(geometry);
    const int64 sample = blockIdx.x;
    const int position = (int)(blockIdx.y * blockDim.x + threadIdx.x), arrivals = count[sample];
    const bool there = position < g.positions;
    const int first_y = position / g.columns * g.stride[0] - g.padding[0];
    const int first_x = position % g.columns * g.stride[1] - g.padding[1];
    const Span<const int> own = sources.part(first[sample], arrivals);
    const Span<const double> own_times = times.part(first[sample], arrivals);
    int64 at = 0;
    if (there) {
        const int64 unit = sample * g.positions + position;
        at = places[unit] + starts[sample];
        unit_first[unit] = at;
    }
    for (int start = 0; start < arrivals; start += PATCH_CHUNK) {
        const int size = arrivals - start < PATCH_CHUNK ? arrivals - start : PATCH_CHUNK;
        chunk.fill(g, own, start, size);
        for (int k = 0; k < size && there; ++k) {
            const int input = chunk.input_of(g, k, first_y, first_x);
            if (input < 0) continue;
            unit_times[at] = own_times[start + k];
            unit_sources[at] = input;
            ++at;
        }
    }
}

KERNEL(count_patches)
KERNEL(place_units)
KERNEL(fill_patches)

#endif
