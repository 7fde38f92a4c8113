/* Exact derivatives of spike times on their way down: pulls on silent neurons and counts, the charges of a layer's points, their
 * sums at what arrived, and what the spikes of the layer below get. The formulas are those of docs/theory/eventprop.md.
 *
 * Arrays are those of reverse.h. `charges` are (samples, 2 capacity, padded): line 2 f is the charge of spike f, line 2 f + 1
 * that of the end of the refractory period that follows it.
 * Twin: eventsnn/reference/spsp.py; on the processor cython_ext/learn/charges.pyx and spsp.pyx, eventsnn/train/derivatives.py. */
#ifndef EVENTSNN_DERIVATIVES_H
#define EVENTSNN_DERIVATIVES_H

#include "kept.h"
#include "reverse.h"

/* Adds what the neurons did to tallies (groups, 3, padded): their spikes, in how many samples they are silent, and in how many
 * they are not dropped, which are those that count. `group` samples in a row are a group, of which every thread counts one of
 * `pieces` parts; they are units of so many `positions`. */
__global__ void tally_neurons(int groups, int group, int pieces, int neurons, int positions, int padded,
                              Span<const unsigned char> kept, Span<const int> counts, Span<int64> tallies) {
    const int64 k = (int64)blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= (int64)groups * pieces * padded) return;
    const int i = (int)(k % padded), piece = (int)(k / padded % pieces);
    const int64 g = k / padded / pieces;
    const Kept there = {kept, neurons, positions};
    int64 spikes = 0, silent = 0, members = 0;
    for (int s = piece; s < group && i < neurons; s += pieces) {
        if (!there(g * group + s, i)) continue;
        const int count = counts[(g * group + s) * padded + i];
        spikes += count;
        silent += count == 0;
        ++members;
    }
    const Span<int64> own = tallies.part(3 * g * padded, 3 * padded);
    add_whole(&own[i], spikes);
    add_whole(&own[padded + i], silent);
    add_whole(&own[2 * padded + i], members);
}

/* What neurons are pulled by, pull (samples, padded): of a silent one what is added to its gradients once for every source that
 * fired, of others a charge of each spike, as those of spike counts have.
 *
 * In the output layer, where there are `labels` (samples,), a silent label neuron has -silent. Elsewhere a silent neuron has it
 * where the share of `group` samples in which it is silent is more than `share`, and others spikes_pull (mean count -
 * spikes_target), unless they are dropped; `tallies` are those of the groups, see `tally_neurons`. largest[i]: see
 * `error_factors`. */
__global__ void pull_neurons(int samples, int neurons, int positions, int padded, Span<const unsigned char> kept,
                             Span<const int> counts, Span<const int> labels, Span<const int64> tallies, int group,
                             double silent, double share, double spikes_pull, double spikes_target, Span<double> pull,
                             Span<int64> largest) {
    const int64 k = (int64)blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= (int64)samples * padded) return;
    const int i = (int)(k % padded), s = (int)(k / padded);
    const bool quiet = counts[k] == 0;
    const Kept there = {kept, neurons, positions};
    double value = 0.0;
    if (i < neurons && labels.size) {
        if (quiet && labels[s] == i) value = -silent;
    } else if (i < neurons && there(s, i)) {
        const Span<const int64> own = tallies.part((int64)(s / group) * 3 * padded, 3 * padded);
        const double members = (double)own[2 * padded + i];
        if (quiet && (double)own[padded + i] / members > share) value = -silent;
        if (!quiet && spikes_pull != 0.0) value = spikes_pull * ((double)own[i] / members - spikes_target);
    }
    pull[k] = value;
    if (quiet && value != 0.0) raise_to(&largest[i], (int64)__double_as_longlong(fabs(value)));
}

/* How far the charges of a neuron reach, from the first to the last. */
DEVICE int64 lines_of(int capacity, int padded) { return (2 * (int64)capacity - 1) * padded + 1; }

/* Writes the synaptic currents of a neuron in place of the charges of its points, going forward through the arrivals up to the
 * last of its spikes. */
template <class R>
DEVICE void read_currents(const lif_t* c, Span<const Arrival<R>> arrivals, Span<const R> weights, int padded,
                          const SpikeTrain& train, const Span<double>& charges) {
    enum { TOGETHER = 8 };
    const int size = (int)arrivals.size, points = 2 * train.count - 1; /* nothing follows the last refractory period */
    int k = 0;
    double due = points > 0 ? train[0] : INFINITY, since = 0.0;
    R I = 0;
    const auto reach = [&](double until) {
        while (due < until) {
            charges[(int64)k * padded] = (double)I * decay_e((due - since) * c->rate_s);
            ++k;
            due = k < points ? train[k / 2] + (k % 2 ? c->refractory : 0.0) : INFINITY;
        }
    };
    for (int e = 0; e < size && k < points; e += TOGETHER) {
        Arrival<R> now[TOGETHER];
        R w[TOGETHER];
        UNROLL
        for (int j = 0; j < TOGETHER; ++j) now[j] = arrivals[e + j < size ? e + j : size - 1];
        UNROLL
        for (int j = 0; j < TOGETHER; ++j) w[j] = weights[(int64)ROW_OF(now[j].row) * padded];
        UNROLL
        for (int j = 0; j < TOGETHER; ++j) {
            if (e + j >= size) break;
            if (due < now[j].time) reach(now[j].time);
            I = I * now[j].b + w[j];
            since = now[j].time;
        }
    }
    reach(INFINITY);
}

/* Charges of exact derivatives, from `derivatives` (samples, capacity, padded) of the loss by the times of the spikes; `pull`
 * as `pull_neurons` makes it, or empty. Slopes of the potential below least_slope, per ms, count as this. See
 * `derivative_charges` of eventsnn/learn/charges.py.
 *
 * largest[i] becomes at least what one arrival can add to a gradient of neuron i; the part of a spike and its reset is between 0
 * and psp_max times the charge of the spike. */
template <class R>
__global__ void __launch_bounds__(128)
    spike_charges(Span<const lif_t> constants, Span<const int64> first, Span<const int> count,
                  Span<const Arrival<R>> table, Span<const double> fired, Span<const int> counts, int capacity,
                  int padded, Span<const R> weights, Span<const double> derivatives, Span<const double> pull,
                  double least_slope, Span<double> charges, Span<int64> largest) {
    const lif_t* c = &constants[0];
    const int s = blockIdx.x, i = blockIdx.y * blockDim.x + threadIdx.x;
    if (i >= padded) return;
    const int64 at = (int64)s * padded + i, begin = (int64)s * capacity * padded + i;
    const int spikes = counts[at];
    if (spikes == 0) return;
    const SpikeTrain train = spike_train(fired, s, i, capacity, padded, spikes);
    const Span<double> own = charges.part(2 * begin - i, lines_of(capacity, padded));
    read_currents(c, table.part(first[s], count[s]), weights.part(i, weights.size - i), padded, train, own);
    const double constant = pull.size ? pull[at] : 0.0;
    double following = 0.0, moved = 0.0, sum = 0.0; /* moved: what the next spike has in all, over its slope */
    for (int f = spikes - 1; f >= 0; --f) {
        double& at_spike = own[2 * (int64)f * padded];
        double& at_reset = own[(2 * (int64)f + 1) * padded];
        const double t = train[f];
        double total = derivatives[begin + (int64)f * padded], left = 0.0, kept = 0.0;
        if (f < spikes - 1) {
            const double decay = decay_e((following - t - c->refractory) * c->rate_m);
            left = moved * decay;
            kept = constant * decay;
            total += left * (at_reset * c->rate_s - c->reset * c->rate_m);
        }
        const double slope = at_spike * c->rate_s - c->threshold * c->rate_m;
        moved = total / (slope < least_slope ? least_slope : slope);
        at_spike = constant - moved;
        at_reset = left - kept;
        sum += fabs(moved) + fabs(constant);
        following = t;
    }
    /* What the kernel's precision cannot hold shows as what is not finite. */
    sum *= c->psp_max > 1.0 ? c->psp_max : 1.0;
    if (!((R)sum < (R)INFINITY)) sum = INFINITY;
    raise_to(&largest[i], (int64)__double_as_longlong(fabs(sum)));
}

/* The points of a neuron whose charge is not 0, latest first. */
template <class R>
struct ChargedPoints {
    SpikeTrain train;
    Span<const double> charges; /* of the neuron */
    double refractory;
    int k; /* line of the charges */
    bool left;
    double time;
    R charge;

    MEMBER ChargedPoints(const lif_t* c, const SpikeTrain& spikes, const Span<const double>& own)
        : train(spikes), charges(own), refractory(c->refractory), k(2 * spikes.count - 1), left(false), time(0), charge(0) {
        if (k > 0) next();
    }
    MEMBER void next() {
        do {
            left = --k >= 0;
            if (!left) return;
            charge = (R)charges[(int64)k * train.stride];
        } while (charge == 0);
        time = train[k / 2] + (k % 2 ? refractory : 0.0);
    }
};

/* Add the sums of the charges to the gradient (inputs, padded), in whole numbers of 1/units (padded,), at every arrival; a silent
 * neuron adds its pull once for every source that fired. With an empty gradient nothing is added.
 *
 * DOWN: also down (warps of a sample, length of the table), the derivatives by the times of the arrivals, summed over the neurons
 * of a warp. Needs shared memory, R [warps of a block][32][33]. */
template <class R, bool DOWN>
__global__ void __launch_bounds__(128)
    sum_charges(Span<const lif_t> constants, Span<const int64> first, Span<const int> count,
                Span<const Arrival<R>> table, Span<const double> fired, Span<const int> counts, int capacity,
                int padded, Span<const double> charges, Span<const double> pull, Span<const double> units,
                Span<int64> gradient, Span<const R> weights, Span<R> down) {
    SharedMemory shared;
    const lif_t* c = &constants[0];
    const int s = blockIdx.x, i = blockIdx.y * blockDim.x + threadIdx.x, arrivals = count[s];
    HandedDown<R> handed = {{nullptr, 0}, {nullptr, 0}};
    if (DOWN) handed.parts = parts_of_warp<R>(shared);
    if (i >= padded) return; /* all lanes of a warp, or none */
    const int64 at = (int64)s * padded + i;
    const bool learns = gradient.size > 0;
    const double factor = counts[at] ? 1.0 : pull.size ? pull[at] : 0.0;
    const Share<R> share(learns ? factor : 0.0, learns ? units[i] : 0.0, counts[at]);
    if (DOWN) handed.sums = down.part((int64)(i / WARP) * table.size + first[s], arrivals);
    const Span<const double> own = charges.part(2 * (int64)s * capacity * padded + i, lines_of(capacity, padded));
    const ChargedPoints<R> points(c, spike_train(fired, s, i, capacity, padded, counts[at]), own);
    const R rate = (R)c->rate_s;
    walk_back<true>(c, table.part(first[s], arrivals), points, [&](int e, int row, const Sums<R>& sums) {
        const int64 cell = (int64)ROW_OF(row) * padded + i, add = share(sums.G, row);
        if (add && learns) add_whole(&gradient[cell], add);
        if (DOWN) handed.add(e, weights[cell] * (sums.G - sums.P) * rate);
    });
}

/* The arrival of a unit, among those from `begin` to `end`, that has this time and source; -1: none. */
DEVICE int64 find_arrival(const Span<const double>& times, const Span<const int>& sources, int64 begin, int64 end, double time,
                          int source) {
    const int64 stop = end;
    while (begin < end) {
        const int64 middle = begin + (end - begin) / 2;
        const double t = times[middle];
        if (t < time || (t == time && sources[middle] < source))
            begin = middle + 1;
        else
            end = middle;
    }
    return begin < stop && times[begin] == time && sources[begin] == source ? begin : -1;
}

/* Derivatives by the times of the spikes of the layer below, (samples * cells, capacity, padded), from those by the arrivals that
 * they became: the sum over the patches that a neuron is in, in their order, and over the warps of the layer.
 *
 * first, count, times, sources   arrivals at the layer, of which there are `positions` units in a sample
 * down          (warps, length of `times`), see `sum_charges`
 * fired, counts, channels, cells, capacity, padded   the spikes of the layer below
 * delays        as in `order`
 * ptr, patch, offset, area   as in `sum_patches`; empty where there is but one unit, which sees every neuron */
template <class R>
__global__ void hand_down(int samples, int positions, Span<const int64> first, Span<const int> count,
                          Span<const double> times, Span<const int> sources, Span<const R> down, Span<const double> fired,
                          Span<const int> counts, int channels, int cells, int capacity, int padded,
                          Span<const double> delays, Span<const int> ptr, Span<const int> patch, Span<const int> offset,
                          int area, Span<double> derivatives) {
    const int64 k = (int64)blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= (int64)samples * cells * channels) return;
    const int channel = (int)(k % channels), cell = (int)(k / channels % cells), neuron = channel * cells + cell;
    const int64 s = k / channels / cells, home = s * cells + cell;
    const bool whole = ptr.size == 0;
    const double delay = delays[delays.size > 1 ? neuron : 0];
    const int spikes = counts[home * padded + channel], warps = (int)(down.size / times.size);
    for (int f = 0; f < spikes; ++f) {
        const int64 at = (home * capacity + f) * padded + channel;
        const double time = fired[at] + delay;
        double sum = 0.0;
        for (int p = whole ? 0 : ptr[cell]; p < (whole ? 1 : ptr[cell + 1]); ++p) {
            const int64 unit = s * positions + (whole ? 0 : patch[p]);
            const int source = whole ? neuron : channel * area + offset[p];
            const int64 e = find_arrival(times, sources, first[unit], first[unit] + count[unit], time, source);
            for (int w = 0; e >= 0 && w < warps; ++w) sum += (double)down[w * times.size + e];
        }
        derivatives[at] = sum;
    }
}

KERNEL(tally_neurons)
KERNEL(pull_neurons)
KERNEL(spike_charges<float>)
KERNEL(spike_charges<double>)
KERNEL(sum_charges<float, false>)
KERNEL(sum_charges<float, true>)
KERNEL(sum_charges<double, false>)
KERNEL(sum_charges<double, true>)
KERNEL(hand_down<float>)
KERNEL(hand_down<double>)

#endif
