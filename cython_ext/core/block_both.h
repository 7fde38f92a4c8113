/* block_template.h in single and in double precision, for one instruction set.
 *
 * VSET sets all lanes, VMAX takes the greater of two, VGE gives a bit for each lane with a >= b.
 */
#define REAL float
#define INT int32_t
#define SQRT sqrtf
#define NAME(x) PASTE(PASTE(x, f), ISA)
#ifdef EVENTSNN_X86
#if VEC_BYTES == 16
#define VSET(x) ((VEC)_mm_set1_ps(x))
#define VMAX(a, b) ((VEC)_mm_max_ps((__m128)(a), (__m128)(b)))
#define VGE(a, b) ((uint32_t)_mm_movemask_ps(_mm_cmpge_ps((__m128)(a), (__m128)(b))))
#elif VEC_BYTES == 32
#define VSET(x) ((VEC)_mm256_set1_ps(x))
#define VMAX(a, b) ((VEC)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define VGE(a, b) ((uint32_t)_mm256_movemask_ps(_mm256_cmp_ps((__m256)(a), (__m256)(b), _CMP_GE_OQ)))
#else
#define VSET(x) ((VEC)_mm512_set1_ps(x))
#define VMAX(a, b) ((VEC)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define VGE(a, b) ((uint32_t)_mm512_cmp_ps_mask((__m512)(a), (__m512)(b), _CMP_GE_OQ))
#endif
#endif
#include "block_template.h"
#undef REAL
#undef INT
#undef SQRT

#define REAL double
#define INT int64_t
#define SQRT sqrt
#define NAME(x) PASTE(PASTE(x, d), ISA)
#ifdef EVENTSNN_X86
#if VEC_BYTES == 16
#define VSET(x) ((VEC)_mm_set1_pd(x))
#define VMAX(a, b) ((VEC)_mm_max_pd((__m128d)(a), (__m128d)(b)))
#define VGE(a, b) ((uint32_t)_mm_movemask_pd(_mm_cmpge_pd((__m128d)(a), (__m128d)(b))))
#elif VEC_BYTES == 32
#define VSET(x) ((VEC)_mm256_set1_pd(x))
#define VMAX(a, b) ((VEC)_mm256_max_pd((__m256d)(a), (__m256d)(b)))
#define VGE(a, b) ((uint32_t)_mm256_movemask_pd(_mm256_cmp_pd((__m256d)(a), (__m256d)(b), _CMP_GE_OQ)))
#else
#define VSET(x) ((VEC)_mm512_set1_pd(x))
#define VMAX(a, b) ((VEC)_mm512_max_pd((__m512d)(a), (__m512d)(b)))
#define VGE(a, b) ((uint32_t)_mm512_cmp_pd_mask((__m512d)(a), (__m512d)(b), _CMP_GE_OQ))
#endif
#endif
#include "block_template.h"
#undef REAL
#undef INT
#undef SQRT
