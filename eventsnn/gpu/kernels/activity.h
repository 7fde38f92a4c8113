/* How active a layer was in a mini-batch. */
#ifndef EVENTSNN_ACTIVITY_H
#define EVENTSNN_ACTIVITY_H

#include "kept.h"

/* Add to activity (3,): the spikes of all neurons that are not dropped, how many of these were silent, and how many they are;
 * counts (samples, padded), of units of so many positions. Any launch will do. */
__global__ void count_activity(int samples, int neurons, int positions, int padded, Span<const unsigned char> kept,
                               Span<const int> counts, Span<int64> activity) {
    const Kept there = {kept, neurons, positions};
    int64 spikes = 0, silent = 0, members = 0;
    const int64 all = (int64)samples * padded;
    for (int64 k = (int64)blockIdx.x * blockDim.x + threadIdx.x; k < all; k += (int64)gridDim.x * blockDim.x) {
        if (k % padded >= neurons || !there(k / padded, (int)(k % padded))) continue;
        ++members;
        spikes += counts[k];
        silent += counts[k] == 0;
    }
    for (int step = WARP / 2; step > 0; step /= 2) {
        spikes += __shfl_xor_sync(FULL_WARP, spikes, step);
        silent += __shfl_xor_sync(FULL_WARP, silent, step);
        members += __shfl_xor_sync(FULL_WARP, members, step);
    }
    if (lane_number() != 0) return;
    atomicAdd((unsigned long long*)&activity[0], (unsigned long long)spikes);
    atomicAdd((unsigned long long*)&activity[1], (unsigned long long)silent);
    atomicAdd((unsigned long long*)&activity[2], (unsigned long long)members);
}

KERNEL(count_activity)

#endif
