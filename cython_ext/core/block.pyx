"""Chooses the instruction set of the loops over blocks (block_template.h), once, when it is imported.

The environment variable EVENTSNN_ISA (baseline, avx2, avx512) overrides the choice. All sets give the same bits.
"""

import os

from eventsnn._ext.dtypes cimport WIDTH as BLOCK_WIDTH

from eventsnn.errors import SimulationError

cdef extern from "block_isa.h":
    int isa_supported(int isa) noexcept nogil
    void block_ops(int isa, ops32_t* f, ops64_t* d) noexcept nogil

WIDTH = BLOCK_WIDTH
ISAS = ("baseline", "avx2", "avx512")


def supported():
    """Instruction sets that this processor has, the widest last."""
    return tuple(name for number, name in enumerate(ISAS) if isa_supported(number))


def select(str name):
    """Use the instruction set called `name` from now on; ValueError if there is none of that name or not here."""
    if name not in supported():
        raise ValueError(f"instruction set must be one of {', '.join(supported())} on this processor, got {name!r}")
    block_ops(ISAS.index(name), &ops32, &ops64)
    global selected
    selected = name


selected = "baseline"
try:
    select(os.environ.get("EVENTSNN_ISA") or max(supported(), key=ISAS.index))
except ValueError as error:
    raise SimulationError(f"environment variable EVENTSNN_ISA: {error}; unset it to have the widest one") from None
