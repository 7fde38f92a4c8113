/* Includes the file LOOPS once for each instruction set, with
 *
 *   ISA         its name
 *   TARGET      what every function of the copy begins with
 *   VEC_BYTES   the width of its vectors.
 */

/* SSE2 on x86-64, NEON on arm64, part of both baselines. */
#define ISA baseline
#define TARGET
#define VEC_BYTES 16
#include LOOPS
#undef ISA
#undef TARGET
#undef VEC_BYTES

#ifdef EVENTSNN_X86
#define ISA avx2
#define TARGET __attribute__((target("avx2")))
#define VEC_BYTES 32
#include LOOPS
#undef ISA
#undef TARGET
#undef VEC_BYTES

#define ISA avx512
#define TARGET __attribute__((target("avx512f")))
#define VEC_BYTES 64
#include LOOPS
#undef ISA
#undef TARGET
#undef VEC_BYTES
#endif

#undef LOOPS
