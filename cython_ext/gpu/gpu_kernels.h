/* All kernels, compiled for the emulation. A new file of eventsnn/gpu/kernels/ is a line here; no header of
 * cython_ext/ may have its name. */
#ifndef EVENTSNN_GPU_KERNELS_H
#define EVENTSNN_GPU_KERNELS_H

#define EVENTSNN_EMULATION
#include "cuda.h"

#include "activity.h"
#include "derivatives.h"
#include "dropout.h"
#include "errors.h"
#include "forward.h"
#include "lateral.h"
#include "order.h"
#include "patch_errors.h"
#include "positions.h"
#include "recordings.h"
#include "selftest.h"
#include "update.h"

#endif
