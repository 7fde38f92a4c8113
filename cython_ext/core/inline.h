#ifndef EVENTSNN_INLINE_H
#define EVENTSNN_INLINE_H

/* Inlined without fail: a loop for AVX2 that calls what was compiled for the baseline pays for it, since mixing SSE with
 * wide registers in use costs some hundred cycles a call (half of the time of a spike, once). */
#if defined(__CUDACC__)
#define INLINE __device__ __forceinline__
#elif defined(__GNUC__) || defined(__clang__)
#define INLINE inline __attribute__((always_inline))
#else
#define INLINE inline
#endif

/* What the C library's headers declare; NVRTC has none of them, but knows the functions. */
#ifdef __CUDACC_RTC__
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#define INFINITY (__longlong_as_double(0x7ff0000000000000ll))
#else
#include <math.h>
#include <stdint.h>
#include <string.h>
#endif

#endif
