/* The sweep in reverse time over what arrived at a dense layer: a thread takes one neuron in one sample.
 *
 * Gradients are summed in whole numbers, each neuron's in units of its own (`neuron_units` of errors.h): whatever the
 * order, the launch or the way a mini-batch is cut, the sum has the same bits.
 *
 * A sample is a unit here where a layer has many positions (eventsnn/gpu/patches.py).
 *
 * What all kernels here take: `constants` (1,); `first` and `count`, (samples,), and `table`, what arrived; `fired` (samples,
 * capacity, padded) and `counts` (samples, padded), the layer's spikes: see `sweep`. Forced spikes are among them.
 * Twin: `sum_charges` of eventsnn/reference/spsp.py. */
#ifndef EVENTSNN_REVERSE_H
#define EVENTSNN_REVERSE_H

#include "points.h"

#define FIRST_OF_ROW ((int)0x80000000) /* of a row: no earlier arrival of the sample comes from the same source */
#define ROW_OF(x) ((x) & 0x7fffffff)

/* An arrival: its time, ms, the propagators from the one before, and the row of its source. */
template <class R>
struct alignas(16) Arrival {
    double time;
    R a, h, b;
    int row;
};

DEVICE int64 nearest(float x) { return __float2ll_rn(x); }
DEVICE int64 nearest(double x) { return __double2ll_rn(x); }

/* The table of the arrivals; from each source in each sample, by_source (samples, inputs); and the most of any, most (1,).
 * `earliest` is room for (blocks, inputs). */
template <class R>
__global__ void prepare_reverse(Span<const lif_t> constants, int samples, Span<const int64> first,
                                Span<const int> count, Span<const double> times, Span<const int> sources, int inputs,
                                Span<int> earliest, Span<Arrival<R>> table, Span<int> by_source, Span<int> most) {
    const lif_t* c = &constants[0];
    const Span<int> seen = earliest.part((int64)blockIdx.x * inputs, inputs);
    for (int s = blockIdx.x; s < samples; s += gridDim.x) {
        const int arrivals = count[s];
        const Span<const double> t = times.part(first[s], arrivals);
        const Span<const int> source = sources.part(first[s], arrivals);
        const Span<Arrival<R>> out = table.part(first[s], arrivals);
        const Span<int> many = by_source.part((int64)s * inputs, inputs);
        int top = 0;
        for (int j = threadIdx.x; j < inputs; j += blockDim.x) {
            seen[j] = arrivals;
            many[j] = 0;
        }
        __syncthreads();
        for (int e = threadIdx.x; e < arrivals; e += blockDim.x) {
            atomicMin(&seen[source[e]], e);
            atomicAdd(&many[source[e]], 1);
        }
        __syncthreads();
        for (int j = threadIdx.x; j < inputs; j += blockDim.x) top = many[j] > top ? many[j] : top;
        for (int step = WARP / 2; step > 0; step /= 2) {
            const int other = __shfl_xor_sync(FULL_WARP, top, step);
            top = other > top ? other : top;
        }
        if (top && lane_number() == 0) atomicMax(&most[0], top); /* one a warp: all blocks meet at this address */
        for (int e = threadIdx.x; e < arrivals; e += blockDim.x) {
            double a, h, b;
            lif_respond(c, e ? t[e] - t[e - 1] : 0.0, &a, &h, &b);
            out[e] = {t[e], (R)a, (R)h, (R)b, source[e] | (seen[source[e]] == e ? FIRST_OF_ROW : 0)};
        }
        __syncthreads();
    }
}

#define BACK_GROUP 4 /* arrivals that are passed together on the way back */

/* A group of arrivals, the latest first, in registers. */
template <class R>
struct ArrivalGroup {
    R a[BACK_GROUP], h[BACK_GROUP], b[BACK_GROUP];
    int row[BACK_GROUP];
    double earliest;
    /* Those up to number `last`. */
    MEMBER void load(const Span<const Arrival<R>>& arrivals, int last) {
        CHECK_INDEX(last, arrivals.size);
        const Arrival<R>* first = &arrivals[last - (BACK_GROUP - 1)];
        UNROLL
        for (int j = 0; j < BACK_GROUP; ++j) {
            const Arrival<R>& each = first[BACK_GROUP - 1 - j];
            a[j] = each.a;
            h[j] = each.h;
            b[j] = each.b;
            row[j] = each.row;
        }
        earliest = first->time;
    }
};

/* Calls `visit(e, row, sums)` for the arrivals of a sample, latest first; P and G are those of a neuron with these charges.
 *
 * Most groups of arrivals have no point among them, and one comparison says so. AHEAD: the next group is loaded before its
 * turn, for kernels of which too few warps run to hide that. */
template <bool AHEAD, class R, class AnyPoints, class Visit>
DEVICE void walk_back(const lif_t* c, const Span<const Arrival<R>>& arrivals, AnyPoints points, Visit visit) {
    Sums<R> sums(points);
    ArrivalGroup<R> now, next;
    int last = (int)arrivals.size - 1;
    if (AHEAD && last >= BACK_GROUP - 1) now.load(arrivals, last);
    NO_UNROLL
    for (; last >= BACK_GROUP - 1; last -= BACK_GROUP) {
        if (!AHEAD) now.load(arrivals, last);
        else if (last >= 2 * BACK_GROUP - 1) next.load(arrivals, last - BACK_GROUP);
        Sums<R> at[BACK_GROUP];
        if (sums.due >= now.earliest) {
            UNROLL
            for (int j = 0; j < BACK_GROUP; ++j) {
                const double time = arrivals[last - j].time;
                if (sums.due >= time) sums = take_points(c, &points, sums, time);
                at[j] = sums;
                sums.back(now.a[j], now.h[j], now.b[j]);
            }
        } else {
            UNROLL
            for (int j = 0; j < BACK_GROUP; ++j) {
                at[j] = sums;
                sums.back(now.a[j], now.h[j], now.b[j]);
            }
        }
        UNROLL
        for (int j = 0; j < BACK_GROUP; ++j) visit(last - j, now.row[j], at[j]);
        if (AHEAD) now = next;
    }
    NO_UNROLL
    for (; last >= 0; --last) {
        const Arrival<R> each = arrivals[last];
        if (sums.due >= each.time) sums = take_points(c, &points, sums, each.time);
        visit(last, each.row, sums);
        sums.back(each.a, each.h, each.b);
    }
}

/* Total PSPs of the neurons, the resting potential's share included: total (samples, padded). */
template <class R>
__global__ void total_psp(Span<const lif_t> constants, Span<const int64> first, Span<const int> count,
                          Span<const Arrival<R>> table, Span<const double> fired, Span<const int> counts, int capacity,
                          int padded, Span<const R> weights, Span<double> total) {
    const lif_t* c = &constants[0];
    const int s = blockIdx.x, i = blockIdx.y * blockDim.x + threadIdx.x;
    if (i >= padded) return;
    const int64 at = (int64)s * padded + i;
    Points<R> points(c, spike_train(fired, s, i, capacity, padded, counts[at]));
    double sum = 0.0;
    walk_back<true>(c, table.part(first[s], count[s]), points, [&](int, int row, const Sums<R>& at) {
        sum += (double)weights[(int64)ROW_OF(row) * padded + i] * (double)at.G;
    });
    /* The resting potential acts like an input of that weight whose PSP at time t is 1 - exp(-t/tau_m). */
    if (c->reset != 0.0)
        for (; points.left; points.next())
            sum -= c->reset * (double)points.charge * decay_rise(points.time * c->rate_m);
    total[at] = sum;
}

/* What G of a neuron is multiplied by, in units of its gradient, and what it adds once for every source that fired. */
template <class R>
struct Share {
    R unit, fill;
    MEMBER Share(double factor, double units, int count)
        : unit(count ? (R)(factor * units) : (R)0), fill(count ? (R)0 : (R)(factor * units)) {}
    MEMBER int64 operator()(R G, int row) const { return nearest(G * unit + (row < 0 ? fill : (R)0)); }
    /* The same where it is below 2^31: a card converts to 32 bits four times as fast. */
    MEMBER int small(R G, int row) const { return __float2int_rn(G * unit + (row < 0 ? fill : (R)0)); }
};

DEVICE void add_whole(int64* sum, int64 x) { atomicAdd((unsigned long long*)sum, (unsigned long long)x); }

/* Sums over the neurons of a warp at each arrival of a sample, latest first: every lane hands in its own, and those of 32
 * arrivals are added up together. */
template <class R>
struct HandedDown {
    enum { LINE = WARP + 1 }; /* not a warp: lanes that read lines side by side find them in different banks */
    Span<R> parts;            /* in shared memory, [WARP][LINE] of each warp */
    Span<R> sums;             /* of the arrivals of the sample */
    MEMBER void add(int e, R own) const {
        const int k = ((int)sums.size - 1 - e) % WARP, lane = lane_number();
        parts[k * LINE + lane] = own;
        if (k < WARP - 1 && e > 0) return;
        __syncwarp();
        /* Of the last arrivals, one a lane. */
        if (lane <= k) {
            R sum = 0;
            for (int n = 0; n < WARP; ++n) sum += parts[lane * LINE + n];
            sums[e + k - lane] = sum;
        }
        __syncwarp();
    }
};

/* `HandedDown::parts` of this warp. */
template <class R>
DEVICE Span<R> parts_of_warp(SharedMemory& shared) {
    const int size = WARP * HandedDown<R>::LINE;
    return shared.take<R>((int)(blockDim.x / WARP) * size).part(warp_number() * size, size);
}

/* Add G times `factor` (samples, padded) to the gradient (inputs, padded), in whole numbers of 1/units (padded,), at every
 * arrival; a silent neuron adds its factor once for every source that fired. With an empty gradient nothing is added, and
 * `factor` and `units` may be empty too.
 *
 * DOWN: also down (warps of a sample, length of the table), of a warp's neurons that fired the sum of delta w G at every
 * arrival: what it hands down. Needs shared memory, R [warps of a block][32][33]. */
template <class R, bool DOWN>
__global__ void __launch_bounds__(128)
    reverse(Span<const lif_t> constants, Span<const int64> first, Span<const int> count, Span<const Arrival<R>> table,
            Span<const double> fired, Span<const int> counts, int capacity, int padded, Span<const double> factor,
            Span<const double> units, Span<int64> gradient, Span<const R> weights, Span<const double> delta,
            Span<R> down) {
    SharedMemory shared;
    const lif_t* c = &constants[0];
    const int s = blockIdx.x, i = blockIdx.y * blockDim.x + threadIdx.x, arrivals = count[s];
    HandedDown<R> handed = {{nullptr, 0}, {nullptr, 0}};
    if (DOWN) handed.parts = parts_of_warp<R>(shared);
    if (i >= padded) return; /* all lanes of a warp, or none */
    const int64 at = (int64)s * padded + i;
    const bool learns = gradient.size > 0;
    const Share<R> share(learns ? factor[at] : 0.0, learns ? units[i] : 0.0, counts[at]);
    const R error = DOWN && counts[at] ? (R)delta[at] : (R)0;
    if (DOWN) handed.sums = down.part((int64)(i / WARP) * table.size + first[s], arrivals);
    const Points<R> points(c, spike_train(fired, s, i, capacity, padded, counts[at]));
    walk_back<true>(c, table.part(first[s], arrivals), points, [&](int e, int row, const Sums<R>& sums) {
        const int64 cell = (int64)ROW_OF(row) * padded + i, add = share(sums.G, row);
        if (add && learns) add_whole(&gradient[cell], add);
        if (DOWN) handed.add(e, error * weights[cell] * sums.G);
    });
}

/* The same for the first layer in single precision, the same sums to the bit: a block owns COLUMNS neurons and adds up
 * `window` samples in shared memory, int [inputs][COLUMNS], side by side, before it adds to the gradient. */
template <int COLUMNS>
__global__ void __launch_bounds__(COLUMNS == 8 ? 512 : 1024)
    reverse_tile(Span<const lif_t> constants, Span<const int64> first, Span<const int> count,
                 Span<const Arrival<float>> table, Span<const double> fired, Span<const int> counts, int capacity,
                 int padded, Span<const double> factor, Span<const double> units, int samples, int window, int inputs,
                 Span<int64> gradient) {
    SharedMemory shared;
    const Span<int> tile = shared.take<int>(inputs * COLUMNS);
    const lif_t* c = &constants[0];
    const int side = WARP / COLUMNS, column = lane_number() % COLUMNS, i = blockIdx.x * COLUMNS + column;
    const int own = warp_number() * side + lane_number() / COLUMNS, step = (int)(blockDim.x / WARP) * side;
    for (int k = threadIdx.x; k < inputs * COLUMNS; k += blockDim.x) tile[k] = 0;
    __syncthreads();
    for (int w = blockIdx.y; w * window < samples; w += gridDim.y) {
        const int end = (w + 1) * window < samples ? (w + 1) * window : samples;
        for (int s = w * window + own; s < end; s += step) {
            const int64 at = (int64)s * padded + i;
            const Share<float> share(factor[at], units[i], counts[at]);
            const Points<float> points(c, spike_train(fired, s, i, capacity, padded, counts[at]));
            walk_back<COLUMNS == 8>(c, table.part(first[s], count[s]), points, [&](int, int row, const Sums<float>& sums) {
                const int add = share.small(sums.G, row);
                if (add) atomicAdd(&tile[ROW_OF(row) * COLUMNS + column], add);
            });
        }
        __syncthreads();
        for (int k = threadIdx.x; k < inputs * COLUMNS; k += blockDim.x) {
            const int add = tile[k];
            if (add) add_whole(&gradient[(int64)(k / COLUMNS) * padded + blockIdx.x * COLUMNS + k % COLUMNS], add);
            tile[k] = 0;
        }
        __syncthreads();
    }
}

KERNEL(prepare_reverse<float>)
KERNEL(prepare_reverse<double>)
KERNEL(total_psp<float>)
KERNEL(total_psp<double>)
KERNEL(reverse<float, false>)
KERNEL(reverse<float, true>)
KERNEL(reverse<double, false>)
KERNEL(reverse<double, true>)
KERNEL(reverse_tile<8>)
KERNEL(reverse_tile<16>)

#endif
