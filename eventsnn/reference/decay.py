"""e^-x and 1 - e^-x for x >= 0: plain-Python twin of ``cython_ext/neuron/decay.h``, operation for operation.

Of our own, because the engines promise the same bits on every machine and in every vector width, which no C
library does.
"""

from __future__ import annotations

import math

END = 700.0
LOG2E = 1.44269504088896338700e00
MAGIC = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to a whole number
LN2_HI = 6.93147180369123816490e-01  # its low 32 bits are 0: k LN2_HI is exact
LN2_LO = 1.90821492927058770002e-10
C = [0.0, 0.0, *(1.0 / math.factorial(n) for n in range(2, 14))]


def decay(x: float) -> tuple[float, float]:
    """(e^-x, 1 - e^-x) for x >= 0, each within 2 units in the last place; 0 and 1 from `END` on.

    x = -k ln 2 - r with whole k and |r| <= ln(2)/2 (Cody & Waite), e^r - 1 by its Taylor series to r^13.
    """
    if not x < END:
        return 0.0, 1.0
    y = -x
    k = (y * LOG2E + MAGIC) - MAGIC
    r = (y - k * LN2_HI) - k * LN2_LO
    r2 = r * r
    r4 = r2 * r2
    low = ((C[2] + C[3] * r) + r2 * (C[4] + C[5] * r)) + r4 * ((C[6] + C[7] * r) + r2 * (C[8] + C[9] * r))
    high = (r4 * r4) * ((C[10] + C[11] * r) + r2 * (C[12] + C[13] * r))
    p = r + r2 * (low + high)
    scale = math.ldexp(1.0, int(k))
    return scale + scale * p, (1.0 - scale) - scale * p
