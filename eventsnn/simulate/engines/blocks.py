"""Weights as the kernels hold them: blocks of WIDTH post-synaptic neurons, each block contiguous.

The layout is [block][pre][WIDTH]: the row that one input spike adds to a block is contiguous, and a block of
a large layer stays in the cache while a whole recording runs through it. Padding has weight 0.
"""

from __future__ import annotations

import numpy as np

from eventsnn._ext.block import WIDTH


def block_count(neurons: int) -> int:
    """Blocks that hold `neurons` neurons."""
    return -(-neurons // WIDTH)


def aligned_zeros(shape: tuple[int, ...], dtype: np.typing.DTypeLike) -> np.ndarray:
    """Zeros that begin at a line of the cache (64 bytes): rows of blocks then lie in two lines, not three."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.zeros(size + 63, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


def pack(weights: np.ndarray, out: np.ndarray) -> None:
    """Write weights (post, pre) to `out` (blocks, pre, WIDTH), converting to its dtype."""
    for block in range(len(out)):
        rows = weights[block * WIDTH : (block + 1) * WIDTH]
        out[block, :, : len(rows)] = rows.T
        out[block, :, len(rows) :] = 0.0


def unpack(packed: np.ndarray, post: int) -> np.ndarray:
    """The inverse of `pack`: array (blocks, pre, WIDTH) -> (post, pre), a C-contiguous copy, same dtype."""
    blocks, pre, width = packed.shape
    return np.array(packed.transpose(0, 2, 1), order="C").reshape(blocks * width, pre)[:post]


def pad(values: np.ndarray, blocks: int, width: int = WIDTH) -> np.ndarray:
    """The array (samples, neurons) with zeros for the neurons that fill the last block."""
    padded = np.zeros((len(values), blocks * width), values.dtype)
    padded[:, : values.shape[1]] = values
    return padded
