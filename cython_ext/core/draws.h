/* Random numbers that are named, not drawn in turn; see eventsnn/data/draws.py, the twin. */
#ifndef EVENTSNN_DRAWS_H
#define EVENTSNN_DRAWS_H

#include "inline.h"

#ifndef __CUDACC_RTC__
#include <stdint.h>
#endif

/* Draw `number` of the stream `key`. */
static INLINE uint64_t draw(uint64_t key, uint64_t number) {
    uint64_t bits = key + (number + 1) * 0x9E3779B97F4A7C15ull;
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9ull;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBull;
    return bits ^ (bits >> 31);
}

/* A draw as a float uniform in [0, 1): its upper 53 bits times 2^-53. */
static INLINE double to_unit(uint64_t bits) { return (double)(bits >> 11) * (1.0 / 9007199254740992.0); }

/* A draw as a whole number uniform in 0 .. n - 1, n < 2^32. */
static INLINE int64_t to_range(uint64_t bits, uint64_t n) { return (int64_t)(((bits >> 32) * n) >> 32); }

/* A draw as a whole number uniform in 0 .. n - 1, any n: the upper half of their product of 128 bits. */
static INLINE int64_t to_whole(uint64_t bits, uint64_t n) {
    const uint64_t low = 0xffffffffull;
    const uint64_t carry = ((bits & low) * (n & low)) >> 32;
    const uint64_t middle = (bits >> 32) * (n & low) + carry;
    const uint64_t other = (bits & low) * (n >> 32) + (middle & low);
    return (int64_t)((bits >> 32) * (n >> 32) + (middle >> 32) + (other >> 32));
}

#endif
