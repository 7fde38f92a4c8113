/* All kernels, compiled for the emulation. A new file of eventsnn/gpu/kernels/ is a line here. */
#ifndef EVENTSNN_GPU_KERNELS_H
#define EVENTSNN_GPU_KERNELS_H

#define EVENTSNN_EMULATION
#include "cuda.h"

#include "recordings.h"
#include "selftest.h"

#endif
