/* Words of files, and events in memory, by loads and stores of whole words: loops over them vectorise, which compilers
 * do not do for words put together from bytes.
 */
#ifndef EVENTSNN_EVENT_BYTES_H
#define EVENTSNN_EVENT_BYTES_H

#include <stdint.h>
#include <string.h>

#include "inline.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define BIG_ENDIAN_HOST 1
#else
#define BIG_ENDIAN_HOST 0
#endif

static INLINE uint32_t load_little32(const uint8_t* bytes) {
    uint32_t word;
    memcpy(&word, bytes, 4);
#if BIG_ENDIAN_HOST
    word = __builtin_bswap32(word);
#endif
    return word;
}

static INLINE uint64_t load_little64(const uint8_t* bytes) {
    return load_little32(bytes) | (uint64_t)load_little32(bytes + 4) << 32;
}

/* The event at `event` (struct Event of aer.pxd: x and y of 16 bits, 4 bytes of padding, t of 64 bits, p of 8 bits, 7 bytes
 * of padding) in three stores, padding 0. `x` and `y` are below 2^16, `p` below 2^8.
 */
static INLINE void store_event(void* event, uint64_t x, uint64_t y, int64_t t, uint64_t p) {
#if BIG_ENDIAN_HOST
    const uint64_t address = x << 48 | y << 32, polarity = p << 56;
#else
    const uint64_t address = x | y << 16, polarity = p;
#endif
    char* to = (char*)event;
    memcpy(to, &address, 8);
    memcpy(to + 8, &t, 8);
    memcpy(to + 16, &polarity, 8);
}

#endif
