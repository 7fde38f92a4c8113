/* block_template.h in double precision; block_isa.h includes this once per instruction set. */
#define REAL double
#define INT int64_t
#define SQRT sqrt
#include "block_template.h"
#undef REAL
#undef INT
#undef SQRT
