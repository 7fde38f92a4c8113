/* Which neurons of a layer are there in each sample, where dropout leaves others out; see dropout.h. */
#ifndef EVENTSNN_KEPT_H
#define EVENTSNN_KEPT_H

#include "cuda.h"

/* `kept` (samples, neurons) is 1 for those that are there, and empty where all are. Neuron channel * positions + position is number
 * `channel` of unit sample * positions + position (positions.h). */
struct Kept {
    Span<const unsigned char> kept;
    int channels, positions;
    MEMBER bool operator()(int64 unit, int channel) const {
        const int64 sample = unit / positions, first = sample * channels * positions + unit % positions;
        return kept.size == 0 || kept[first + (int64)channel * positions] != 0;
    }
};

#endif
