/* A growing list of spikes in C memory. */
#ifndef EVENTSNN_SPIKES_H
#define EVENTSNN_SPIKES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "inline.h"

typedef struct {
    int64_t n;        /* spikes held */
    int64_t capacity; /* spikes there is room for */
    double* times;    /* [n] ms, ascending */
    int32_t* neurons; /* [n] */
    int32_t* after;   /* [n] number of the last arrival that is not later, -1 for none, where an engine notes it */
    char apart[128];  /* so that threads that fill neighbours in an array do not write to one line of the cache */
} spikes_t;

/* Make room for more; -1 if there is no memory, with what is held left as it is. */
static inline int spikes_extend(spikes_t* s) {
    const int64_t capacity = s->capacity == 0 ? 256 : 2 * s->capacity;
    double* times = (double*)realloc(s->times, (size_t)capacity * sizeof(double));
    int32_t *neurons, *after;
    if (times == NULL) return -1;
    s->times = times;
    neurons = (int32_t*)realloc(s->neurons, (size_t)capacity * sizeof(int32_t));
    if (neurons == NULL) return -1;
    s->neurons = neurons;
    after = (int32_t*)realloc(s->after, (size_t)capacity * sizeof(int32_t));
    if (after == NULL) return -1;
    s->after = after;
    s->capacity = capacity;
    return 0;
}

/* -1 if there is no memory for it. */
static INLINE int spikes_append(spikes_t* s, double time, int32_t neuron, int32_t after) {
    if (s->n == s->capacity && spikes_extend(s) < 0) return -1;
    s->times[s->n] = time;
    s->after[s->n] = after;
    s->neurons[s->n++] = neuron;
    return 0;
}

/* Order the spikes from `first` on by (time, neuron); there are rarely more than a few. */
static INLINE void spikes_sort_tail(spikes_t* s, int64_t first) {
    for (int64_t k = first + 1; k < s->n; ++k) {
        const double t = s->times[k];
        const int32_t n = s->neurons[k], after = s->after[k];
        int64_t j = k;
        while (j > first && (s->times[j - 1] > t || (s->times[j - 1] == t && s->neurons[j - 1] > n))) {
            s->times[j] = s->times[j - 1];
            s->neurons[j] = s->neurons[j - 1];
            s->after[j] = s->after[j - 1];
            --j;
        }
        s->times[j] = t;
        s->neurons[j] = n;
        s->after[j] = after;
    }
}

/* Drop the first of them. */
static inline void spikes_drop(spikes_t* s, int64_t first) {
    s->n -= first;
    if (first == 0 || s->n == 0) return;
    memmove(s->times, s->times + first, (size_t)s->n * sizeof(double));
    memmove(s->neurons, s->neurons + first, (size_t)s->n * sizeof(int32_t));
    memmove(s->after, s->after + first, (size_t)s->n * sizeof(int32_t));
}

static inline void spikes_free(spikes_t* s) {
    free(s->times);
    free(s->neurons);
    free(s->after);
    s->times = NULL;
    s->neurons = s->after = NULL;
    s->n = s->capacity = 0;
}

#endif
