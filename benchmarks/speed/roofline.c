/* Rates of one core, for roofline.py. Twelve independent chains of vectors hide the latency of an operation;
   GCC and Clang turn the vector type into the widest registers that the flags allow. */
#include <stddef.h>

typedef float vec __attribute__((vector_size(VECTOR_BYTES), aligned(4)));
enum { LANES = VECTOR_BYTES / 4, CHAINS = 12 };

/* Multiply-adds: one instruction each with -ffp-contract=fast, two with -ffp-contract=off. */
float multiply_add(long rounds, float a, float b) {
    vec x[CHAINS];
    for (int i = 0; i < CHAINS; i++) x[i] = (vec){} + (float)i;
    for (long r = 0; r < rounds; r++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) x[i] = x[i] * a + b;
    vec sum = {};
    for (int i = 0; i < CHAINS; i++) sum += x[i];
    return sum[0] + sum[LANES - 1];
}

/* Read n floats (a multiple of 8 vectors), `rounds` times over. */
float read_floats(const float *data, size_t n, long rounds) {
    vec s[8];
    for (int i = 0; i < 8; i++) s[i] = (vec){};
    for (long r = 0; r < rounds; r++) {
        for (size_t k = 0; k < n; k += 8 * LANES)
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) s[i] += *(const vec *)(data + k + i * LANES);
        __asm__ volatile("" ::: "memory");
    }
    vec sum = {};
    for (int i = 0; i < 8; i++) sum += s[i];
    return sum[0] + sum[LANES - 1];
}
