/* HM2-BP's errors of spike counts, layer by layer: what gradients are multiplied by, and what goes down. Arrays are those of
 * reverse.h. Twin: eventsnn/reference/macro.py; on the processor cython_ext/learn/rule.pyx. */
#ifndef EVENTSNN_ERRORS_H
#define EVENTSNN_ERRORS_H

#include "order.h"
#include "reverse.h"

/* Replace the trains of some silent label neurons by forced spikes: pair k, of sample which[k] and neuron labels[k], has
 * times[ptr[k]:ptr[k + 1]]. */
__global__ void force_spikes(int pairs, Span<const int> which, Span<const int> labels, Span<const double> times,
                             Span<const int> ptr, Span<double> fired, Span<int> counts, int capacity, int padded) {
    const int k = blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= pairs) return;
    const int s = which[k], i = labels[k], n = ptr[k + 1] - ptr[k];
    for (int f = 0; f < n; ++f) fired[((int64)s * capacity + f) * padded + i] = times[ptr[k] + f];
    counts[(int64)s * padded + i] = n;
}

/* S-PSPs e_{i|l} between the neurons of the output layer, of their own undelayed spikes: e [sample][i][l]. In double
 * precision: they are few, and feed back on themselves. */
__global__ void lateral_spsp(Span<const lif_t> constants, int samples, Span<const double> fired, Span<const int> counts,
                             int capacity, int padded, int neurons, Span<double> e) {
    const lif_t* c = &constants[0];
    const int64 k = (int64)blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= (int64)samples * neurons * neurons) return;
    const int l = (int)(k % neurons), i = (int)(k / neurons % neurons), s = (int)(k / neurons / neurons);
    const SpikeTrain from = spike_train(fired, s, l, capacity, padded, counts[(int64)s * padded + l]);
    Points<double> points(c, spike_train(fired, s, i, capacity, padded, counts[(int64)s * padded + i]));
    Sums<double> sums(points);
    double total = 0.0;
    for (int g = from.count - 1; g >= 0; --g) {
        double a, h, b;
        if (sums.due >= from[g]) sums = take_points(c, &points, sums, from[g]);
        total += sums.G;
        if (g == 0) break;
        lif_respond(c, from[g] - from[g - 1], &a, &h, &b);
        sums.back(a, h, b);
    }
    e[k] = total;
}

/* lambda_i = 1 / (1 - w0^2 sum_{l != i} q_il q_li), 1 where that sum of effects does not exist; `macro.lateral_factor`. */
__global__ void lateral_factors(int samples, Span<const int> counts, Span<const int> labels, int padded, int neurons,
                                double threshold, double strength, Span<const double> e, Span<double> lateral) {
    const int k = blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= samples * neurons) return;
    const int s = k / neurons, i = k % neurons, label = labels[s];
    const Span<const int> count = counts.part((int64)s * padded, padded);
    const Span<const double> own = e.part((int64)s * neurons * neurons, neurons * neurons);
    double loops = 0.0;
    if (count[i] || i == label)
        for (int l = 0; l < neurons; ++l) {
            if (l == i || !(count[l] || l == label)) continue;
            double there = 1.0, back = 1.0;
            if (count[i] && count[l]) {
                there = own[l * neurons + i] / count[i];
                back = own[i * neurons + l] / count[l];
            }
            loops += (there / threshold) * (back / threshold);
        }
    loops = 1.0 - strength * strength * loops;
    lateral[(int64)s * padded + i] = loops > 0.0 ? 1.0 / loops : 1.0;
}

/* What S-PSPs are multiplied by in the gradient, delta_i (1 + s_i) lambda_i, of a silent neuron times its S-PSP.
 *
 * `total` are total PSPs; empty: nu for each spike, as in an exact feed-forward run. `lateral` may be empty: all 1.
 * largest[i], the bits of a number, becomes at least what one arrival can add to a gradient of neuron i, as
 * 0 <= G <= psp_max for each spike.
 *
 * row_sum (kinds, padded): what all weights of a neuron add up to in each kind of position; kind (positions,), empty where all
 * are the same. Grid (tiles of neurons, any). */
__global__ void error_factors(Span<const lif_t> constants, int samples, int neurons, int padded,
                              Span<const double> delta, Span<const int> counts, Span<const double> total,
                              Span<const double> lateral, Span<const double> row_sum, Span<const int> kind,
                              double resting, double threshold, double silent_spsp, double silent_ratio,
                              Span<double> factor, Span<int64> largest) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= padded) return;
    int64 most = 0; /* of this thread's samples: all blocks meet at the address of a neuron */
    for (int s = blockIdx.y; s < samples; s += gridDim.y) {
        const int64 k = (int64)s * padded + i;
        const int count = counts[k];
        double value = 0.0;
        if (i < neurons) {
            double psp = threshold;
            const int64 border = kind.size ? kind[s % kind.size] : 0;
            if (count == 0) psp = silent_ratio * (row_sum[border * padded + i] + resting);
            else if (total.size) psp = total[k] / count;
            value = delta[k] * (1.0 + psp / threshold) * (lateral.size ? lateral[k] : 1.0);
            if (count == 0) value *= silent_spsp;
        }
        factor[k] = value;
        const int64 bits = (int64)__double_as_longlong(fabs(value) * (count ? constants[0].psp_max * count : 1.0));
        most = bits > most ? bits : most;
    }
    raise_to(&largest[i], most);
}

/* Powers of two that the gradients of each neuron are counted in, such that nothing overflows: `window` samples with at most
 * most[0] arrivals from one source each make no sum of 2^bits. Where no power from -extreme on is small enough, or sums are not
 * finite, neither is the gradient. */
__global__ void neuron_units(int padded, Span<const int64> largest, Span<const int> most, double window, int bits,
                             int extreme, Span<double> units) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= padded) return;
    const double sum = __longlong_as_double(largest[i]) * most[0] * window;
    int power;
    frexp(sum, &power); /* sum < 2^power */
    power = bits - power;
    power = power > extreme ? extreme : power;
    units[i] = sum == 0.0 ? 1.0 : sum < INFINITY && power >= -extreme ? ldexp(1.0, power) : NAN;
}

/* The arrivals of every source in each sample, in order of time: `ends` (samples, inputs) says where those of a source end in the
 * sample's part of `list`, which begins at first[s]; by_source, of `prepare_reverse`, says how many they are. Grid (any,). */
template <class R>
__global__ void __launch_bounds__(256)
    list_by_source(int samples, Span<const int64> first, Span<const int> count, Span<const Arrival<R>> table,
                   Span<const int> by_source, int inputs, Span<int> ends, Span<int> list) {
    SharedMemory shared;
    const Span<int> sums = shared.take<int>(WARP + 1);
    for (int s = blockIdx.x; s < samples; s += gridDim.x) {
        const int arrivals = count[s];
        const Span<const Arrival<R>> own = table.part(first[s], arrivals);
        const Span<int> out = list.part(first[s], arrivals), at = ends.part((int64)s * inputs, inputs);
        const Span<const int> many = by_source.part((int64)s * inputs, inputs);
        int before = 0, total;
        for (int base = 0; base < inputs; base += (int)blockDim.x) {
            const int j = base + (int)threadIdx.x;
            const int place = before + sum_before(sums, j < inputs ? many[j] : 0, &total);
            if (j < inputs) at[j] = place;
            before += total;
            __syncthreads(); /* nobody reads `sums` any more */
        }
        for (int e = threadIdx.x; e < arrivals; e += blockDim.x) out[atomicAdd(&at[ROW_OF(own[e].row)], 1)] = e;
        __syncthreads();
        for (int j = threadIdx.x; j < inputs; j += blockDim.x) /* threads came in any order, nearly in that of time */
            for (int n = at[j] - many[j] + 1; n < at[j]; ++n) {
                const int e = out[n];
                int place = n;
                for (; place > at[j] - many[j] && out[place - 1] > e; --place) out[place] = out[place - 1];
                out[place] = e;
            }
        __syncthreads();
    }
}

/* Errors of the layer below, (1/divisor) sum_i delta_i w_ij rho_{i|j}: below (samples * below_positions, below_padded), where
 * neuron j is number j / below_positions of position j % below_positions.
 *
 * rho is e/o_j where both fired, `down` being the sums of that part at each arrival, else 1; without effect_ratio 1, and `ends`
 * and `list` of `list_by_source` may be empty.
 * `inputs` are rows of weights, the first `below_neurons` of which are the neurons of the layer below. Grid (samples, any). */
template <class R>
__global__ void errors_below(Span<const int64> first, Span<const R> down, Span<const int> by_source, Span<const int> ends,
                             Span<const int> list, int inputs, Span<const R> weights, int neurons, int padded,
                             Span<const int> counts, Span<const double> delta, int effect_ratio, double divisor,
                             int below_neurons, int below_positions, int below_padded, Span<double> below) {
    const int s = blockIdx.x;
    const int64 at = (int64)s * padded;
    for (int j = blockIdx.y * blockDim.x + threadIdx.x; j < below_neurons; j += gridDim.y * blockDim.x) {
        const int fired = by_source[(int64)s * inputs + j];
        const bool ratio = effect_ratio && fired;
        double sum = 0.0, by_spikes = 0.0;
        for (int i = 0; i < neurons; ++i)
            if (!(ratio && counts[at + i])) sum += delta[at + i] * (double)weights[(int64)j * padded + i];
        if (ratio) {
            const int end = ends[(int64)s * inputs + j];
            for (int n = end - fired; n < end; ++n) {
                const int64 e = first[s] + list[first[s] + n];
                for (int w = 0; w < padded / WARP; ++w) by_spikes += (double)down[w * list.size + e];
            }
            sum += by_spikes / fired;
        }
        below[((int64)s * below_positions + j % below_positions) * below_padded + j / below_positions] = sum / divisor;
    }
}

KERNEL(force_spikes)
KERNEL(lateral_spsp)
KERNEL(lateral_factors)
KERNEL(error_factors)
KERNEL(neuron_units)
KERNEL(list_by_source<float>)
KERNEL(list_by_source<double>)
KERNEL(errors_below<float>)
KERNEL(errors_below<double>)

#endif
