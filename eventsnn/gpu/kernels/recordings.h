/* From recordings that lie on the card as packed events to the input of a mini-batch: augmented and sorted.
 *
 * Twins: events/packed_events.py (words), data/augment.py and data/distort.py (changes), and with the same results
 * cython_ext/io/prepare.pyx, which is the CPU's kernel. The order of the changes is that of `Augmentation` and
 * `train.batches.BatchLoader`. One block for each recording; a recording's result depends on (seed, epoch, its number) alone.
 */
#ifndef EVENTSNN_RECORDINGS_H
#define EVENTSNN_RECORDINGS_H

#include "cuda.h"
#include "draws.h"

/* Draws of a recording by number, as data/augment.py and data/distort.py have them. */
enum {
    DRAW_SHIFT_X,
    DRAW_SHIFT_Y,
    DRAW_TIME_FACTOR,
    DRAW_DROP,
    DRAW_JITTER,
    DRAW_FLIP,
    DRAW_TRANSFORMS,
    DRAW_TIME_SHIFT,
    DRAW_MASK_X,
    DRAW_MASK_TIME
};
enum { DRAW_ROTATION, DRAW_SCALE_X, DRAW_SCALE_Y, DRAW_FIELD };

/* What is asked for of all recordings: the order of `whole` and `real` below, which eventsnn.gpu.recordings fills. */
enum {
    ASK_WIDTH,
    ASK_HEIGHT,
    ASK_POLARITIES,
    ASK_X_BITS,
    ASK_Y_BITS,
    ASK_P_BITS,
    ASK_AUGMENT_KEY,    /* of (seed, AUGMENT, epoch) */
    ASK_DISTORT_KEY,    /* of (seed, DISTORT, epoch) */
    ASK_MOST_SHIFT,     /* pixels */
    ASK_DROP_BELOW,     /* an event is dropped if the upper 53 bits of its draw are below this */
    ASK_FLIP_BELOW,     /* polarities are exchanged if those of the recording's draw are */
    ASK_MOST_TIME_SHIFT, /* microseconds */
    ASK_MOST_MASK_X,    /* columns */
    ASK_MOST_MASK_TIME, /* microseconds */
    ASK_MOVES           /* whether events go to the places of their pixels */
};
enum {
    ASK_JITTER_US, /* standard deviation */
    ASK_TIME_SCALE,
    ASK_END_MS,    /* later events are left out */
    ASK_ELASTIC    /* pixels */
};

/* The same in registers. */
struct asked_t {
    int64 width, height, polarities, x_bits, y_bits, p_bits;
    uint64_t augment_key, distort_key;
    int64 most_shift;
    uint64_t drop_below, flip_below;
    int64 most_time_shift, most_mask_x, most_mask_time;
    bool moves;
    double jitter_us, time_scale, end_ms, elastic;
};

DEVICE asked_t read_asked(const Span<const int64>& whole, const Span<const double>& real) {
    return {whole[ASK_WIDTH],
            whole[ASK_HEIGHT],
            whole[ASK_POLARITIES],
            whole[ASK_X_BITS],
            whole[ASK_Y_BITS],
            whole[ASK_P_BITS],
            (uint64_t)whole[ASK_AUGMENT_KEY],
            (uint64_t)whole[ASK_DISTORT_KEY],
            whole[ASK_MOST_SHIFT],
            (uint64_t)whole[ASK_DROP_BELOW],
            (uint64_t)whole[ASK_FLIP_BELOW],
            whole[ASK_MOST_TIME_SHIFT],
            whole[ASK_MOST_MASK_X],
            whole[ASK_MOST_MASK_TIME],
            whole[ASK_MOVES] != 0,
            real[ASK_JITTER_US],
            real[ASK_TIME_SCALE],
            real[ASK_END_MS],
            real[ASK_ELASTIC]};
}

struct packed_event_t {
    int64 x, y, p, t; /* pixels, 0 or 1, microseconds */
};

DEVICE int64 address_bits(const asked_t& ask) { return ask.x_bits + ask.y_bits + ask.p_bits; }

DEVICE packed_event_t unpack(uint64_t word, const asked_t& ask) {
    packed_event_t e;
    e.x = (int64)(word & ((1ull << ask.x_bits) - 1));
    word >>= ask.x_bits;
    e.y = (int64)(word & ((1ull << ask.y_bits) - 1));
    word >>= ask.y_bits;
    e.p = (int64)(word & ((1ull << ask.p_bits) - 1));
    e.t = (int64)(word >> ask.p_bits);
    return e;
}

/* How many threads of the block before this one keep their event; `total`: how many of all. `warps`: an int for each warp. */
DEVICE int block_rank(bool keep, const Span<int>& warps, int* total) {
    const unsigned votes = __ballot_sync(FULL_WARP, keep);
    if (lane_number() == 0) warps[warp_number()] = __popc(votes);
    __syncthreads();
    int before = __popc(votes & ((1u << lane_number()) - 1u)), sum = 0;
    for (int w = 0; w < (int)(blockDim.x / WARP); ++w) {
        if (w < warp_number()) before += warps[w];
        sum += warps[w];
    }
    __syncthreads();
    *total = sum;
    return before;
}

/* The words of a recording of `size` events: from `first` on of those that stay on the card, or, below 0, from -1 - first on
 * of those that came with the mini-batch. */
DEVICE Span<const uint64_t> find_words(const Span<const uint64_t>& resident, const Span<const uint64_t>& staged, int64 first,
                                       int64 size) {
    return first < 0 ? staged.part(-1 - first, size) : resident.part(first, size);
}

/* faults[k] |= 1 for an event outside the sensor, 2 for one earlier than the one before it. */
__global__ void check_words(Span<const uint64_t> words, Span<const int64> first, Span<const int64> size,
                            Span<const int64> whole, Span<const double> real, Span<int> faults) {
    const asked_t ask = read_asked(whole, real);
    const int64 from = first[blockIdx.x], n = size[blockIdx.x];
    int fault = 0;
    for (int64 i = threadIdx.x; i < n; i += blockDim.x) {
        const packed_event_t e = unpack(words[from + i], ask);
        if (e.x >= ask.width || e.y >= ask.height || e.p >= ask.polarities) fault |= 1;
        if (i > 0 && e.t < unpack(words[from + i - 1], ask).t) fault |= 2;
    }
    if (fault) atomicOr(&faults[blockIdx.x], fault);
}

/* ------------------------------------------------------------------------------------------------ jitter */

/* The time of an event with a random number added: a sum of four uniform numbers, near to a Gaussian. */
DEVICE int64 shake(int64 t, uint64_t bits, double deviation) {
    const int64 sum = (int64)((bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48));
    const double deviate = (double)(sum - 2 * 65535) * (1.7320508075688772 / 65536.0);
    const int64 moved = t + (int64)rint(deviation * deviate);
    return moved > 0 ? moved : 0;
}

/* Words of recording k with jitter, in their new order, from room[k] of `out` on.
 *
 * An event's new place is the number of events that are then before it. No event moves further than `reach`, so only
 * neighbours within twice that have to be compared: all earlier ones are before it still. */
__global__ void jitter_words(Span<const uint64_t> resident, Span<const uint64_t> staged, Span<const int64> first,
                             Span<const int64> size, Span<const int64> numbers, Span<const int64> room, Span<const int64> whole,
                             Span<const double> real, Span<uint64_t> out) {
    const asked_t ask = read_asked(whole, real);
    const int k = blockIdx.x;
    const Span<const uint64_t> words = find_words(resident, staged, first[k], size[k]);
    const int64 n = size[k], bits = address_bits(ask);
    const uint64_t key = draw(draw(ask.augment_key, (uint64_t)numbers[k]), DRAW_JITTER);
    const double deviation = ask.jitter_us;
    const int64 reach = (int64)(deviation * 3.5) + 2;
    const uint64_t address = (1ull << bits) - 1;
    for (int64 i = threadIdx.x; i < n; i += blockDim.x) {
        const uint64_t word = words[i];
        const int64 before = (int64)(word >> bits);
        const int64 t = shake(before, draw(key, (uint64_t)i), deviation);
        int64 place = i;
        for (int64 j = i - 1; j >= 0; --j) {
            const int64 other = (int64)(words[j] >> bits);
            if (other < before - 2 * reach) break;
            if (shake(other, draw(key, (uint64_t)j), deviation) > t) --place;
        }
        for (int64 j = i + 1; j < n; ++j) {
            const int64 other = (int64)(words[j] >> bits);
            if (other > before + 2 * reach) break;
            if (shake(other, draw(key, (uint64_t)j), deviation) < t) ++place;
        }
        out[room[k] + place] = (uint64_t)t << bits | (word & address);
    }
}

/* ------------------------------------------------------------------------------------------------ distortion */

/* One pass of a symmetric filter of `2 radius + 1` weights along lines of `length` numbers `step` apart, zeros beyond; sums in
 * the order of scipy.ndimage.correlate1d. */
DEVICE double filtered(const Span<const double>& line, int64 at, int64 place, int64 length, int64 step,
                       const Span<const double>& weights, int64 radius) {
    double sum = line[at] * weights[radius];
    for (int64 far = radius; far > 0; --far) {
        const double low = place - far >= 0 ? line[at - far * step] : 0.0;
        const double high = place + far < length ? line[at + far * step] : 0.0;
        sum += (low + high) * weights[radius - far];
    }
    return sum;
}

/* places[k] (2, height, width): where the events of each pixel go, y first. `turns` has the cosine and sine of the angle and the
 * factors of y and x of each recording; `field` and `half` are room of the size of `places`. */
__global__ void find_places(Span<const int64> numbers, Span<const double> turns, Span<const double> weights,
                            Span<const int64> whole, Span<const double> real, Span<double> field, Span<double> half,
                            Span<double> places) {
    const asked_t ask = read_asked(whole, real);
    const int k = blockIdx.x;
    const int64 width = ask.width, height = ask.height, pixels = width * height, radius = weights.size / 2;
    const uint64_t key = draw(ask.distort_key, (uint64_t)numbers[k]);
    const int64 at = (int64)k * 2 * pixels;
    const bool bends = ask.elastic != 0.0;
    if (bends) {
        for (int64 i = threadIdx.x; i < 2 * pixels; i += blockDim.x)
            field[at + i] = 2.0 * to_unit(draw(key, (uint64_t)(DRAW_FIELD + i))) - 1.0;
        __syncthreads();
        const Span<const double> whole_field = {field.data, field.size};
        for (int64 i = threadIdx.x; i < 2 * pixels; i += blockDim.x)
            half[at + i] = filtered(whole_field, at + i, i % pixels / width, height, width, weights, radius);
        __syncthreads();
    }
    const double cosine = turns[4 * k], sine = turns[4 * k + 1];
    const Span<const double> whole_half = {half.data, half.size};
    for (int64 i = threadIdx.x; i < pixels; i += blockDim.x) {
        const double middle_y = (double)(height - 1) / 2.0, middle_x = (double)(width - 1) / 2.0;
        const double y = (double)(i / width) - middle_y, x = (double)(i % width) - middle_x;
        double to_y = turns[4 * k + 2] * (cosine * y - sine * x) + middle_y;
        double to_x = turns[4 * k + 3] * (sine * y + cosine * x) + middle_x;
        if (bends) {
            to_y += ask.elastic * filtered(whole_half, at + i, i % width, width, 1, weights, radius);
            to_x += ask.elastic * filtered(whole_half, at + pixels + i, i % width, width, 1, weights, radius);
        }
        places[at + i] = to_y;
        places[at + pixels + i] = to_x;
    }
}

/* ------------------------------------------------------------------------------------------------ all other changes */

/* What the draws of a recording decide. */
struct change_t {
    uint64_t drop_key, round_key;
    int64 dx, dy, time_shift;
    int64 mask_x, mask_x_end; /* columns mask_x .. mask_x_end - 1 are masked */
    bool flip;
    double factor;
};

/* A masked range of a width in 0 .. most, within 0 .. size - 1. */
DEVICE void draw_mask(uint64_t key, int64 size, int64 most, int64* first, int64* end) {
    const int64 drawn = to_whole(draw(key, 0), (uint64_t)(most + 1)), width = drawn < size ? drawn : size;
    *first = to_whole(draw(key, 1), (uint64_t)(size - width + 1));
    *end = *first + width;
}

DEVICE int64 draw_shift(uint64_t bits, int64 most, int64 size) {
    return size > 1 ? to_range(bits, (uint64_t)(2 * most + 1)) - most : 0;
}

DEVICE change_t draw_change(int64 number, const asked_t& ask) {
    const uint64_t key = draw(ask.augment_key, (uint64_t)number);
    change_t c;
    c.drop_key = draw(key, DRAW_DROP);
    c.round_key = draw(draw(ask.distort_key, (uint64_t)number),
                       (uint64_t)(DRAW_FIELD + 2 * ask.width * ask.height));
    c.dx = draw_shift(draw(key, DRAW_SHIFT_X), ask.most_shift, ask.width);
    c.dy = draw_shift(draw(key, DRAW_SHIFT_Y), ask.most_shift, ask.height);
    c.flip = ask.polarities == 2 && draw(key, DRAW_FLIP) >> 11 < ask.flip_below;
    const int64 most = ask.most_time_shift;
    c.time_shift = most ? to_whole(draw(key, DRAW_TIME_SHIFT), (uint64_t)(2 * most + 1)) - most : 0;
    c.mask_x = c.mask_x_end = 0;
    if (ask.most_mask_x) draw_mask(draw(key, DRAW_MASK_X), ask.width, ask.most_mask_x, &c.mask_x, &c.mask_x_end);
    c.factor = 1.0;
    if (ask.time_scale > 0.0) c.factor = 1.0 + ask.time_scale * (2.0 * to_unit(draw(key, DRAW_TIME_FACTOR)) - 1.0);
    return c;
}

/* The changes that come before the mask of times; false: the event goes. */
DEVICE bool change_early(packed_event_t* e, const change_t& c) {
    if (c.flip) e->p = 1 - e->p;
    e->t += c.time_shift;
    return e->t >= 0 && !(e->x >= c.mask_x && e->x < c.mask_x_end);
}

/* The event goes to the place of its pixel, rounded up or down by draw `number`; false: outside the sensor. */
DEVICE bool move(packed_event_t* e, int64 number, uint64_t key, const Span<const double>& places, int64 at,
                 const asked_t& ask) {
    const int64 width = ask.width, height = ask.height, pixel = at + e->y * width + e->x;
    const uint64_t bits = draw(key, (uint64_t)number);
    const double unit = 1.0 / 4294967296.0;
    const double y = floor((height > 1 ? places[pixel] : 0.0) + (double)(bits >> 32) * unit);
    const double x = floor((width > 1 ? places[pixel + width * height] : 0.0) + (double)(bits & 0xffffffffull) * unit);
    if (!(y >= 0.0 && y < (double)height && x >= 0.0 && x < (double)width)) return false;
    e->x = (int64)x;
    e->y = (int64)y;
    return true;
}

/* Events of recording k that remain, from room[k] of `times` (ms) and `neurons` on, in order of time; counts[k] of them.
 *
 * Three numberings: draws of the distortion number the events that the early changes leave, those of `drop` the ones that the
 * distortion leaves. Each is a count of the block's threads before this one. */
__global__ void change_events(Span<const uint64_t> resident, Span<const uint64_t> staged, Span<const int64> first,
                              Span<const int64> size, Span<const int64> numbers, Span<const int64> room, Span<const int64> whole,
                              Span<const double> real, Span<const double> places, Span<double> times, Span<int> neurons,
                              Span<int> counts) {
    SharedMemory shared;
    Span<int> warps = shared.take<int>(WARP);
    Span<int> latest = shared.take<int>(1);
    const asked_t ask = read_asked(whole, real);
    const int k = blockIdx.x;
    const Span<const uint64_t> words = find_words(resident, staged, first[k], size[k]);
    const int64 n = size[k], pixels = ask.width * ask.height;
    const uint64_t key = draw(ask.augment_key, (uint64_t)numbers[k]);
    const change_t c = draw_change(numbers[k], ask);
    const bool early = ask.most_time_shift || ask.most_mask_x || ask.most_mask_time;
    int64 mask = 0, mask_end = 0;
    if (ask.most_mask_time) {
        /* A mask of times lies between 0 and the last event that there is by then. */
        if (threadIdx.x == 0) latest[0] = -1;
        __syncthreads();
        for (int64 i = threadIdx.x; i < n; i += blockDim.x) {
            packed_event_t e = unpack(words[i], ask);
            if (change_early(&e, c)) atomicMax(&latest[0], (int)i);
        }
        __syncthreads();
        if (latest[0] >= 0) {
            const int64 last = unpack(words[latest[0]], ask).t + c.time_shift;
            draw_mask(draw(key, DRAW_MASK_TIME), last + 1, ask.most_mask_time, &mask, &mask_end);
        }
    }
    int64 numbered = 0, moved = 0, written = 0;
    for (int64 base = 0; base < n; base += blockDim.x) {
        const int64 i = base + threadIdx.x;
        packed_event_t e = {0, 0, 0, 0};
        bool keep = i < n;
        int64 number = i;
        int total;
        if (keep) {
            e = unpack(words[i], ask);
            keep = change_early(&e, c) && !(e.t >= mask && e.t < mask_end);
        }
        if (early) {
            number = numbered + block_rank(keep, warps, &total);
            numbered += total;
        }
        if (ask.moves) {
            if (keep) keep = move(&e, number, c.round_key, places, (int64)k * 2 * pixels, ask);
            number = moved + block_rank(keep, warps, &total);
            moved += total;
        }
        double ms = 0.0;
        if (keep) {
            e.x += c.dx;
            e.y += c.dy;
            keep = e.x >= 0 && e.x < ask.width && e.y >= 0 && e.y < ask.height &&
                   draw(c.drop_key, (uint64_t)number) >> 11 >= ask.drop_below;
            const double scaled = c.factor == 1.0 ? (double)e.t : rint((double)e.t * c.factor);
            ms = scaled / 1000.0;
            keep = keep && ms < ask.end_ms;
        }
        const int64 to = room[k] + written + block_rank(keep, warps, &total);
        written += total;
        if (keep) {
            times[to] = ms;
            neurons[to] = (int)((e.p * ask.height + e.y) * ask.width + e.x);
        }
    }
    if (threadIdx.x == 0) counts[k] = (int)written;
}

/* The counts[k] events of recording k from room[k] of the first pair of arrays to the same place of the second, simultaneous
 * events sorted by neuron; last[k]: the time of the last one, 0 for none. */
__global__ void order_events(Span<const double> times, Span<const int> neurons, Span<const int64> room,
                             Span<const int> counts, Span<double> sorted_times, Span<int> sorted_neurons,
                             Span<double> last) {
    const int64 from = room[blockIdx.x], n = counts[blockIdx.x];
    if (threadIdx.x == 0) last[blockIdx.x] = n ? times[from + n - 1] : 0.0;
    for (int64 i = threadIdx.x; i < n; i += blockDim.x) {
        const double t = times[from + i];
        const int neuron = neurons[from + i];
        int64 place = i;
        for (int64 j = i - 1; j >= 0 && times[from + j] == t; --j) place -= neurons[from + j] > neuron;
        for (int64 j = i + 1; j < n && times[from + j] == t; ++j) place += neurons[from + j] < neuron;
        sorted_times[from + place] = t;
        sorted_neurons[from + place] = neuron;
    }
}

KERNEL(check_words)
KERNEL(jitter_words)
KERNEL(find_places)
KERNEL(change_events)
KERNEL(order_events)

#endif
