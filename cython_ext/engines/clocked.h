/* What the clocked engine works on, and the table of its loops; see engine_clocked.pyx.
 *
 * Neurons are numbered position by position here: position * width + channel, `width` channels being a multiple of
 * CLOCK_LANES, the last of them padding of weight 0. Positions of a dense layer are its blocks of 32 neurons.
 */
#ifndef EVENTSNN_CLOCKED_H
#define EVENTSNN_CLOCKED_H

#include <stdint.h>

#define CLOCK_LANES 8

enum { CLOCK_DENSE = 0, CLOCK_CONV = 1, CLOCK_POOL = 2 };

typedef struct {
    int32_t kind;
    int32_t positions; /* patches; blocks of a dense layer */
    int32_t width;     /* neurons of a position, padded */
    int32_t channels;  /* neurons of a position; of a dense layer all neurons */
    int32_t rows;      /* inputs of a neuron: weights are [rows][width], dense ones [positions][rows][width];
                        * that of the bias neuron, if there is one, is the last */
    int32_t area;      /* cells of a patch; 1 of a dense layer */
    int32_t source_width, source_channels; /* numbering of the source: cell * source_width + channel */
    int64_t source_size;                   /* of the numbering */
    const int32_t *ptr, *patch, *offset;   /* patches that a cell is in, and where in them; NULL if dense. The bias
                                            * neuron is the cell after the last, and seen as the cell after a patch */
    const int32_t* cells;                  /* (positions, area) cell, -1 beyond the edge; NULL if dense */
    const int32_t *row_of, *id_of;         /* row of a source neuron (-1: none), source neuron of a row; dense only */
    const float* weights;                  /* NULL of a pooling layer */
    float threshold;                       /* fires above it */
    float tau_m, tau_s;
    float leak; /* added to the potential in every step: resting potential / tau_m */
    float lateral;
    int32_t refractory; /* steps */
    int32_t latency;    /* steps from a spike of the source to its effect, at least 1 */
    int32_t exact;      /* dividing by either time constant is multiplying by its inverse, to the bit */
} clocked_layer_t;

/* Spikes of a layer in one sample. */
typedef struct {
    int32_t* ids;      /* step by step, ascending in each */
    int32_t* step_ptr; /* (steps + 1,) */
    int32_t* times;    /* neuron by neuron, ascending */
    int32_t* ptr;      /* (size + 1,) into `times` */
    int64_t size;      /* of the numbering */
    int64_t room;      /* of `ids` */
} clocked_spikes_t;

/* State of a layer, arrays of a multiple of 16 neurons. */
typedef struct {
    float *v, *current;
    int32_t* until; /* last refractory step */
    uint8_t* own;   /* fired in the step before; used for lateral inhibition alone */
} clocked_state_t;

/* A further connection: sparse weights by source neuron, both numbered as above. */
typedef struct {
    int32_t source, target; /* layers, the input being 0 */
    int32_t latency;        /* steps from a spike to its effect, at least 1 */
    int64_t size;           /* source neurons, padding included */
    const int32_t *ptr, *ids;
    const float* weights;
} clocked_link_t;

typedef struct {
    void (*deliver)(const clocked_layer_t*, float* current, const int32_t* ids, int64_t n);
    int64_t (*step)(const clocked_layer_t*, clocked_state_t*, int64_t size, int32_t t, int32_t* ids);
    void (*kernel)(float* g, int64_t from, int64_t to, int32_t width, const float* decay, float* m, float* y);
    void (*sum)(const float* g, int32_t width, const int32_t* times, int64_t n, float* e);
} clocked_ops_t;

#endif
