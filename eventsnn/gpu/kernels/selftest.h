/* Kernels that do what a card must do right, and what the emulation must refuse: run before a benchmark, and in the tests. */
#ifndef EVENTSNN_SELFTEST_H
#define EVENTSNN_SELFTEST_H

#include "cuda.h"

/* out[block] = the sum of the block's part of x, by shuffles and a barrier; one thread for each element. */
template <class T>
__global__ void sum_blocks(Span<const T> x, Span<T> out) {
    SharedMemory shared;
    Span<T> sums = shared.take<T>(WARP);
    const int64 n = (int64)blockIdx.x * blockDim.x + threadIdx.x;
    T value = n < x.size ? x[n] : T(0);
    for (int step = WARP / 2; step > 0; step /= 2) value += __shfl_xor_sync(FULL_WARP, value, step);
    if (lane_number() == 0) sums[warp_number()] = value;
    __syncthreads();
    if (threadIdx.x == 0) {
        T total = 0;
        for (int w = 0; w < (int)(blockDim.x / WARP); ++w) total += sums[w];
        out[blockIdx.x] = total;
    }
}

/* out = x, element by element by way of shared memory, the next one on its way while one is written. One block. */
__global__ void copy_ahead(Span<const int> x, Span<int> out) {
    SharedMemory shared;
    const int thread = (int)threadIdx.x, threads = (int)blockDim.x;
    const Span<int> slots = shared.take<int>(2 * threads);
    if (thread < x.size) begin_copy(&slots[thread], &x[thread]);
    commit_copies();
    for (int n = thread, slot = 0; n < x.size; n += threads, slot = !slot) {
        if (n + threads < x.size) begin_copy(&slots[!slot * threads + thread], &x[n + threads]);
        commit_copies();
        wait_for_copies<1>();
        out[n] = slots[slot * threads + thread];
    }
}

/* Decays of x: whether the compiler keeps multiplications and additions apart. */
__global__ void decays(Span<const double> x, Span<double> e, Span<double> rise) {
    const int64 n = (int64)blockIdx.x * blockDim.x + threadIdx.x;
    if (n < x.size) decay(x[n], &e[n], &rise[n]);
}

/* What the emulation refuses, by `fault`: half a warp votes; a barrier that one thread does not reach; an index beyond the
 * end; more shared memory than there is; two copies to one place; a copy that is not aligned. */
__global__ void break_rule(int fault, Span<int> out) {
    SharedMemory shared;
    if (fault == 0 && lane_number() < 16) out[0] = (int)__ballot_sync(FULL_WARP, true);
    if (fault == 1 && threadIdx.x != 5) __syncthreads();
    if (fault == 2) out[out.size] = 1;
    if (fault == 3) shared.take<int>(1000)[0] = 1;
    if (fault == 4) {
        Span<int> place = shared.take<int>(1);
        begin_copy(&place[0], &out[0]);
        commit_copies();
        begin_copy(&place[0], &out[1]);
    }
    if (fault == 5) begin_copy(&shared.take<int64>(1)[0], &out[1]);
}

KERNEL(sum_blocks<int>)
KERNEL(sum_blocks<double>)
KERNEL(copy_ahead)
KERNEL(decays)
#ifdef EVENTSNN_EMULATION
KERNEL(break_rule)
#endif

#endif
