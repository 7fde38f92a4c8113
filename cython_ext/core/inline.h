#ifndef EVENTSNN_INLINE_H
#define EVENTSNN_INLINE_H

/* Inlined without fail: a loop for AVX2 that calls what was compiled for the baseline pays for it, since mixing SSE with
 * wide registers in use costs some hundred cycles a call (half of the time of a spike, once). */
#if defined(__GNUC__) || defined(__clang__)
#define INLINE inline __attribute__((always_inline))
#else
#define INLINE inline
#endif

#endif
