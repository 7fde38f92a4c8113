/* The spikes of a layer as arrivals at the next one: delayed, with the spikes of the bias neuron, sorted by (time, source). */
#ifndef EVENTSNN_ORDER_H
#define EVENTSNN_ORDER_H

#include "cuda.h"

#define NO_SOURCE 0x7fffffff

/* Sort by (time, source); `size` is a power of two. No two are equal. All threads of the block take part. */
DEVICE void sort_arrivals(const Span<double>& times, const Span<int>& sources, int size) {
    for (int length = 2; length <= size; length *= 2)
        for (int step = length / 2; step > 0; step /= 2) {
            for (int pair = (int)threadIdx.x; pair < size / 2; pair += (int)blockDim.x) {
                const int low = pair / step * 2 * step + pair % step, high = low + step;
                const double t = times[low], v = times[high];
                const int m = sources[low], n = sources[high];
                if ((t > v || (t == v && m > n)) == ((low & length) == 0)) {
                    times[low] = v;
                    times[high] = t;
                    sources[low] = n;
                    sources[high] = m;
                }
            }
            __syncthreads();
        }
}

/* The sum of `value` over the threads before this one; `total` over all. `sums` has room for 33. */
DEVICE int sum_before(const Span<int>& sums, int value, int* total) {
    int sum = value;
    for (int step = 1; step < WARP; step *= 2) {
        const int before = __shfl_up_sync(FULL_WARP, sum, step);
        if (lane_number() >= step) sum += before;
    }
    if (lane_number() == WARP - 1) sums[warp_number()] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        int so_far = 0;
        for (int w = 0; w < (int)(blockDim.x / WARP); ++w) {
            const int own = sums[w];
            sums[w] = so_far;
            so_far += own;
        }
        sums[WARP] = so_far;
    }
    __syncthreads();
    *total = sums[WARP];
    return sums[warp_number()] + sum - value;
}

/* Spikes of a neuron that there was room for; if some did not fit, the launch is repeated. */
DEVICE int fitting(int count, int slots) { return count < slots ? count : slots; }

/* Where neuron n of a sample is found: neuron channel * positions + position is one of a unit (positions.h). */
struct Home {
    int64 unit;
    int channel;
};
DEVICE Home home_of(int64 sample, int n, int positions) { return {sample * positions + n % positions, n / positions}; }

/* Arrivals at the next layer.
 *
 * fired, counts     what `sweep` gives of the units, of `neurons` neurons and `positions` positions
 * delays            (neurons,) or (1,), ms: from each neuron, or from all
 * bias, bias_first, bias_count   spikes of the bias neuron as they arrive, ms: sample s has bias_count[s] from bias_first[s]
 *                   on; empty arrays for none. Their source is number `neurons`.
 * capacity          a power of two: arrivals of a sample that `times` and `sources` hold
 * times, sources    (samples, capacity)
 * first, count      (samples,)
 * in_shared         whether shared memory holds `capacity` arrivals; else they are sorted where they lie
 * grid (samples,)
 */
__global__ void __launch_bounds__(1024)
    order(Span<const double> fired, Span<const int> counts, int neurons, int positions, int padded, int slots,
          Span<const double> delays, Span<const double> bias, Span<const int64> bias_first, Span<const int> bias_count,
          int capacity, Span<double> times, Span<int> sources, Span<int64> first, Span<int> count, int in_shared,
          Span<int64> status) {
    SharedMemory shared;
    const Span<int> sums = shared.take<int>(WARP + 1);
    const int64 sample = blockIdx.x, begin = sample * capacity;
    const Span<double> out_times = times.part(begin, capacity);
    const Span<int> out_sources = sources.part(begin, capacity);
    const Span<double> t = in_shared ? shared.take<double>(capacity) : out_times;
    const Span<int> source = in_shared ? shared.take<int>(capacity) : out_sources;
    const int thread = (int)threadIdx.x, threads = (int)blockDim.x, share = (neurons + threads - 1) / threads;
    int own = 0, size, total;
    for (int n = thread * share; n < (thread + 1) * share && n < neurons; ++n) {
        const Home home = home_of(sample, n, positions);
        own += fitting(counts[home.unit * padded + home.channel], slots);
    }
    int at = sum_before(sums, own, &total);
    const int biases = bias_count.size ? bias_count[sample] : 0;
    if (thread == 0 && total + biases > capacity) report(status, STATUS_TRAIN, total + biases);
    for (int n = thread * share; n < (thread + 1) * share && n < neurons; ++n) {
        const double delay = delays[delays.size > 1 ? n : 0];
        const Home home = home_of(sample, n, positions);
        const int count = fitting(counts[home.unit * padded + home.channel], slots);
        for (int k = 0; k < count && at < capacity; ++k, ++at) {
            t[at] = fired[(home.unit * slots + k) * padded + home.channel] + delay;
            source[at] = n;
        }
    }
    for (int k = thread; k < biases && total + k < capacity; k += threads) {
        t[total + k] = bias[bias_first[sample] + k];
        source[total + k] = neurons;
    }
    total = total + biases < capacity ? total + biases : capacity;
    for (size = 1; size < total; size *= 2) {
    }
    for (int k = total + thread; k < size; k += threads) {
        t[k] = INFINITY;
        source[k] = NO_SOURCE;
    }
    __syncthreads();
    sort_arrivals(t, source, size);
    if (in_shared)
        for (int k = thread; k < total; k += threads) {
            out_times[k] = t[k];
            out_sources[k] = source[k];
        }
    if (thread == 0) {
        first[sample] = begin;
        count[sample] = total;
    }
}

/* How many of the ascending times, each `delay` later, are before `until`, or not after it. */
DEVICE int count_before(const Span<const double>& times, double delay, double until, bool or_at) {
    int low = 0, high = (int)times.size;
    while (low < high) {
        const int middle = (low + high) / 2;
        const double t = times[middle] + delay;
        if (t < until || (or_at && t == until)) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Events as arrivals at the first layer: `delay` ms later, and with the spikes of the bias neuron, whose number `neuron` is the
 * largest, where they belong. Sample s has count[s] events from first[s] on, bias_count[s] spikes of the bias neuron, as they
 * arrive, from bias_first[s] on, and room from joined_first[s] on. Twin: eventsnn.model.bias.insert. Grid (samples,). */
__global__ void __launch_bounds__(256)
    join_bias(Span<const double> times, Span<const int> sources, Span<const int64> first, Span<const int> count,
              double delay, Span<const double> bias, Span<const int64> bias_first, Span<const int> bias_count, int neuron,
              Span<const int64> joined_first, Span<double> joined_times, Span<int> joined_sources,
              Span<int> joined_count) {
    const int64 sample = blockIdx.x;
    const int events = count[sample], biases = bias_count[sample];
    const Span<const double> own = times.part(first[sample], events), other = bias.part(bias_first[sample], biases);
    const Span<const int> own_sources = sources.part(first[sample], events);
    const Span<double> t = joined_times.part(joined_first[sample], events + biases);
    const Span<int> source = joined_sources.part(joined_first[sample], events + biases);
    for (int k = (int)threadIdx.x; k < events; k += (int)blockDim.x) {
        const double arrives = own[k] + delay;
        const int place = k + count_before(other, 0.0, arrives, false);
        t[place] = arrives;
        source[place] = own_sources[k];
    }
    for (int k = (int)threadIdx.x; k < biases; k += (int)blockDim.x) {
        const int place = k + count_before(own, delay, other[k], true);
        t[place] = other[k];
        source[place] = neuron;
    }
    if (threadIdx.x == 0) joined_count[sample] = events + biases;
}

KERNEL(order)
KERNEL(join_bias)

#endif
