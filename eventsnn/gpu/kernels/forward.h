/* The forward pass of a dense layer: every neuron through all arrivals of its sample, arrival by arrival.
 *
 * First `tables` makes the propagators between arrivals, which all neurons share. Then a block of `sweep` has one sample and a
 * tile of neurons, NPL neighbours a lane, and goes through the arrivals in chunks, which it copies to shared memory. Per arrival
 * a lane does NPL times u a + i h, a comparison and i b + w; what a neuron does when it may fire, or when its refractory period
 * ends, is a call (neuron.h). No lane asks another, so that neither the batch nor the launch changes a bit.
 *
 * Weights come from the second cache, 4 or 8 bytes for each neuron and arrival: that traffic is the limit where neurons fire
 * little. They are copied to shared memory some arrivals before they are needed, so that nobody waits for them and no
 * registers hold them: what registers held, the compiler would store at once because of the calls, and wait for it.
 */
#ifndef EVENTSNN_FORWARD_H
#define EVENTSNN_FORWARD_H

#include "neuron.h"

#define SWEEP_CHUNK 256 /* arrivals that are in shared memory at once */
#define SWEEP_GROUP 4   /* arrivals whose weights are copied together */
#define SWEEP_BEYOND 16 /* arrivals after a chunk whose weights may be copied too: any, as nobody reads them */

/* The arrivals of a chunk, in shared memory. */
template <class R>
struct Chunk {
    Span<Row<R>> rows;
    Span<double> times;  /* times[k + 1] is that of arrival k, times[0] that of the arrival before the chunk, or 0 */
    Span<int> rows_of;   /* where the weights of their sources begin: source times padded */
    MEMBER Chunk(SharedMemory& shared)
        : rows(shared.take<Row<R>>(SWEEP_CHUNK)),
          times(shared.take<double>(SWEEP_CHUNK + 1)),
          rows_of(shared.take<int>(SWEEP_CHUNK + SWEEP_BEYOND)) {}

    /* Whether arrival `k` of the chunk, whose first has number `start`, comes at the instant of the one before. */
    MEMBER bool tied(int start, int k) const { return start + k > 0 && times[k + 1] == times[k]; }

    /* Fill it with `count` arrivals from number `start` of a sample's on. All threads of the block take part. */
    MEMBER void fill(const Span<const Row<R>>& all_rows, const Span<const double>& all_times,
                     const Span<const int>& all_sources, int padded, int start, int count) const {
        __syncthreads(); /* nobody reads the chunk before any more */
        for (int k = (int)threadIdx.x; k < count; k += (int)blockDim.x) {
            const int e = start + k;
            rows[k] = all_rows[e];
            times[k + 1] = all_times[e];
            rows_of[k] = all_sources[e] * padded;
        }
        if (threadIdx.x == 0) times[0] = start ? all_times[start - 1] : 0.0;
        if (threadIdx.x < SWEEP_BEYOND) rows_of[count + (int)threadIdx.x] = 0;
        __syncthreads();
    }
};

/* The rows of all arrivals: rows[e] for the interval before arrival e of `times`. Grid (samples, any). */
template <class R>
__global__ void __launch_bounds__(256)
    tables(Span<const lif_t> constants, Span<const double> times, Span<const int64> first, Span<const int> count,
           Span<Row<R>> rows) {
    const int arrivals = count[blockIdx.x], step = (int)(gridDim.y * blockDim.x);
    const Span<const double> own_times = times.part(first[blockIdx.x], arrivals);
    const Span<Row<R>> own_rows = rows.part(first[blockIdx.x], arrivals);
    for (int e = (int)(blockIdx.y * blockDim.x + threadIdx.x); e < arrivals; e += step) {
        const double lag = own_times[e] - (e ? own_times[e - 1] : 0.0);
        own_rows[e] = e && lag == 0.0 ? tied_row<R>() : make_row<R>(&constants[0], lag);
    }
}

/* What the calls of all lanes need, in shared memory: in registers it would cost every arrival. */
template <class R>
struct SweepBlock {
    const lif_t* c;
    double stop;
    SpikeSlots out; /* of the layer's first neuron */
    Chunk<R> chunk;
    Span<Train> trains; /* of neuron n of a lane: number n * threads + thread */
};

static_assert(sizeof(SweepBlock<double>) == 104 && sizeof(Train) == 16, "eventsnn/gpu/forward.py says so, too");

/* A neuron passes the interval before arrival `k` of the chunk, whose first has number `start`; see `pass_interval`. */
template <class R>
DEVICE_CALL R pass_neuron(const SweepBlock<R>& block, int slot, int neuron, int start, int k, R u, R i) {
    return pass_interval(block.c, block.trains[slot], block.out.of(neuron), u, i, block.chunk.rows[k],
                         block.chunk.times[k], block.chunk.times[k + 1], block.stop, start + k);
}

/* A neuron in state (u, i) after the last arrival, number `last`, at `now`: on until it is quiet. */
template <class R>
DEVICE_CALL void finish_neuron(const SweepBlock<R>& block, int slot, int neuron, int last, double now, R u, R i,
                               const Span<int64>& status) {
    const lif_t* c = block.c;
    Train& train = block.trains[slot];
    const R level = train.refractory ? (R)c->reset : u;
    if (lif_reach(c, level, i) >= c->threshold * LIF_CANDIDATE)
        fire(c, train, block.out.of(neuron), u, i, now, INFINITY, block.stop, last);
    if (train.endless) report(status, STATUS_ENDLESS, ((int64)blockIdx.x << 32) + neuron + 1);
    if (u - u != R(0) || i - i != R(0)) report(status, STATUS_OVERFLOW, 1);
    if (train.fired > block.out.capacity) report(status, STATUS_SPIKES, train.fired);
}

/* The states of a lane's neurons after a group of arrivals, from `k` of the chunk on, as if they only decayed; whether one may
 * have fired, so that this is wrong. The operations are those of arrival by arrival, but one branch decides about all, and no
 * load waits for it: where few neurons share a warp, nothing happens in most groups, and such a group takes hardly longer than an
 * arrival alone. `w`: the weights of arrival k, those of the next one `apart` further on. */
template <class R, int NPL>
DEVICE bool decay_through(const Chunk<R>& chunk, int k, const Vector<R, NPL>* w, int apart, R* u, R* i) {
    bool reached = false;
    UNROLL
    for (int m = 0; m < SWEEP_GROUP; ++m) {
        const Row<R> row = chunk.rows[k + m];
        UNROLL
        for (int n = 0; n < NPL; ++n) {
            u[n] = u[n] * row.a + i[n] * row.h;
            i[n] = i[n] * row.b + w[m * apart].x[n];
            reached |= u[n] >= row.level;
        }
    }
    return reached;
}

/* The neurons of a lane, neighbours from `base` on. */
template <class R, int NPL>
struct SweepLane {
    int base;
    R u[NPL], i[NPL];
    double due; /* before it, nothing happens to its neurons but crossings */

    MEMBER static int slot(int n) { return n * (int)blockDim.x + (int)threadIdx.x; }

    MEMBER void begin(const SweepBlock<R>& block) {
        due = INFINITY;
        UNROLL
        for (int n = 0; n < NPL; ++n) {
            u[n] = (R)block.c->reset;
            i[n] = R(0);
            block.trains[slot(n)] = silent_train();
        }
    }

    /* Go on to arrival `k` of the chunk, and deliver it. */
    MEMBER void arrive(const SweepBlock<R>& block, const Chunk<R>& chunk, int start, int k, const Vector<R, NPL>& w) {
        const Row<R> row = chunk.rows[k];
        R p[NPL];
        bool call = due < chunk.times[k + 1];
        UNROLL
        for (int n = 0; n < NPL; ++n) {
            p[n] = u[n] * row.a + i[n] * row.h;
            call |= p[n] >= row.level;
        }
        if (call && !chunk.tied(start, k)) pass(block, start, k, chunk.times[k + 1], row.level, p);
        UNROLL
        for (int n = 0; n < NPL; ++n) {
            u[n] = p[n];
            i[n] = i[n] * row.b + w.x[n];
        }
    }

    /* Go on by a group of arrivals from `k` of the chunk on if nothing but decay happens before them; else nothing is changed,
     * and false. Arguments as for `decay_through`. */
    MEMBER bool glide(const Chunk<R>& chunk, int k, const Vector<R, NPL>* w, int apart) {
        R to_u[NPL], to_i[NPL];
        UNROLL
        for (int n = 0; n < NPL; ++n) {
            to_u[n] = u[n];
            to_i[n] = i[n];
        }
        const bool call = decay_through<R, NPL>(chunk, k, w, apart, to_u, to_i);
        if (call || due < chunk.times[k + SWEEP_GROUP]) return false;
        UNROLL
        for (int n = 0; n < NPL; ++n) {
            u[n] = to_u[n];
            i[n] = to_i[n];
        }
        return true;
    }

    /* The interval before an arrival in which more happens to a neuron than decay; sets p right, and `due`. */
    MEMBER void pass(const SweepBlock<R>& block, int start, int k, double until, R level, R* p) {
        due = INFINITY;
        UNROLL
        for (int n = 0; n < NPL; ++n) {
            const Train& own = block.trains[slot(n)];
            if (own.touching || (own.refractory ? own.end < until : p[n] >= level))
                p[n] = pass_neuron(block, slot(n), base + n, start, k, u[n], i[n]);
            if (own.refractory && own.end < due) due = own.end;
            if (own.touching) due = -INFINITY;
        }
    }
};

/* The weights of a lane's neurons on their way to shared memory, GROUPS groups of arrivals, each lane's for itself. */
template <class R, int NPL>
struct WeightCopies {
    enum { GROUPS = NPL == 1 ? 4 : 2, SLOTS = GROUPS * SWEEP_GROUP };
    Span<Vector<R, NPL>> slots; /* of arrival k: number k % SLOTS * threads + thread */

    MEMBER Vector<R, NPL>& slot(int k) const { return slots[k % SLOTS * (int)blockDim.x + (int)threadIdx.x]; }

    /* Begin to copy the group from arrival `k` of the chunk on, which may be beyond its end; `own`: the weights from the
     * lane's first neuron on. */
    MEMBER void begin(const Span<const R>& own, const Span<int>& rows_of, int k) const {
        CHECK_INDEX(k + SWEEP_GROUP - 1, rows_of.size);
        const Vector<int, SWEEP_GROUP> at = *(const Vector<int, SWEEP_GROUP>*)(rows_of.data + k);
        Vector<R, NPL>* to = &slot(k);
        UNROLL
        for (int m = 0; m < SWEEP_GROUP; ++m) {
            CHECK_INDEX(at.x[m], own.size);
            CHECK_INDEX(at.x[m] + NPL - 1, own.size);
            begin_copy(to + m * (int)blockDim.x, own.data + at.x[m]);
        }
        commit_copies();
    }

    /* Before the first arrival of a chunk: begin with all groups but the last. */
    MEMBER void begin_first(const Span<const R>& own, const Span<int>& rows_of) const {
        UNROLL
        for (int g = 0; g + 1 < GROUPS; ++g) begin(own, rows_of, g * SWEEP_GROUP);
    }

    /* Before arrival `k`, the first of its group: that is there, and the last one begins. */
    MEMBER void next(const Span<const R>& own, const Span<int>& rows_of, int k) const {
        wait_for_copies<GROUPS - 2>();
        begin(own, rows_of, k + SLOTS - SWEEP_GROUP);
    }
};

/* Spikes of a layer in a batch.
 *
 * constants  (1,)
 * times, sources, first, count  arrivals: sample s has count[s] from first[s] on, sorted by (time, source)
 * rows       what `tables` makes of them
 * weights    (sources, padded): what an arrival adds to the currents of all neurons; `padded` is a multiple of 32
 * stop       no spikes after it, ms
 * capacity   spikes of a neuron that `fired` and `after` hold
 * fired, after  (samples, capacity, padded): spike times, ms, and the last arrival before each
 * counts     (samples, padded): spikes of each neuron, more than `capacity` if they do not fit; 0 of the padding
 * status     see cuda.h
 * lanes      of a warp that have neurons, the first ones; all with several neurons a lane. All lanes wait while one fires, so where
 *            there are few warps, more of them with fewer neurons each are done sooner
 * grid (samples, tiles); the warps of all tiles have `padded` neurons or more
 */
template <class R, int NPL>
__global__ void __launch_bounds__(256, 2)
    sweep(Span<const lif_t> constants, Span<const double> times, Span<const int> sources, Span<const int64> first,
          Span<const int> count, Span<const Row<R>> rows, Span<const R> weights, int padded, int lanes, double stop,
          int capacity, Span<double> fired, Span<int> after, Span<int> counts, Span<int64> status) {
    SharedMemory shared;
    const Chunk<R> chunk(shared);
    SweepBlock<R>& block = shared.take<SweepBlock<R>>(1)[0];
    const Span<Train> trains = shared.take<Train>((int)blockDim.x * NPL);
    typedef WeightCopies<R, NPL> Copies;
    const Copies copies = {shared.take<Vector<R, NPL>>(Copies::SLOTS * (int)blockDim.x)};
    const int64 sample = blockIdx.x;
    const int arrivals = count[sample], warp = (int)(blockIdx.y * (blockDim.x / WARP)) + warp_number();
    const int own = (warp * (NPL == 1 ? lanes : WARP) + lane_number()) * NPL;
    const bool works = (NPL > 1 || lane_number() < lanes) && own < padded; /* all meet at the barriers */
    const Span<const double> all_times = times.part(first[sample], arrivals);
    const Span<const int> all_sources = sources.part(first[sample], arrivals);
    const Span<const Row<R>> all_rows = rows.part(first[sample], arrivals);
    if (threadIdx.x == 0)
        block = {&constants[0], stop, spike_slots(fired, after, sample, capacity, padded), chunk, trains};
    __syncthreads();

    SweepLane<R, NPL> lane;
    lane.base = own < padded ? own : padded - NPL;
    Span<const R> columns = weights.part(lane.base, weights.size - lane.base);
    FORGET(columns.data);
    lane.begin(block);
    for (int start = 0; start < arrivals; start += SWEEP_CHUNK) {
        const int size = arrivals - start < SWEEP_CHUNK ? arrivals - start : SWEEP_CHUNK;
        chunk.fill(all_rows, all_times, all_sources, padded, start, size);
        if (NPL == 1 && !works) continue; /* elsewhere they repeat the last ones: this line costs registers in the loop */
        copies.begin_first(columns, chunk.rows_of);
        NO_UNROLL
        for (int k = 0; k < size; ++k) {
            if (k % SWEEP_GROUP == 0) {
                copies.next(columns, chunk.rows_of, k);
                /* With several neurons a lane, one of a warp's fires in most groups. */
                if (NPL == 1 && k + SWEEP_GROUP <= size && lane.glide(chunk, k, &copies.slot(k), (int)blockDim.x)) {
                    k += SWEEP_GROUP - 1;
                    continue;
                }
            }
            lane.arrive(block, chunk, start, k, copies.slot(k));
        }
        wait_for_copies<0>(); /* those from beyond the chunk */
    }
    if (!works) return;
    UNROLL
    for (int n = 0; n < NPL; ++n) {
        if (arrivals)
            finish_neuron(block, lane.slot(n), own + n, arrivals - 1, all_times[arrivals - 1], lane.u[n], lane.i[n],
                          status);
        counts[sample * padded + own + n] = block.trains[lane.slot(n)].fired;
    }
}

KERNEL(tables<float>)
KERNEL(tables<double>)
KERNEL(sweep<float, 1>)
KERNEL(sweep<float, 4>)
KERNEL(sweep<double, 1>)
KERNEL(sweep<double, 2>)

#endif
