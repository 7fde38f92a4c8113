/* block_template.h in single precision; block_isa.h includes this once per instruction set. */
#define REAL float
#define INT int32_t
#define SQRT sqrtf
#include "block_template.h"
#undef REAL
#undef INT
#undef SQRT
