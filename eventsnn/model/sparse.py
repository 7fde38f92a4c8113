"""Sparse synaptic weights: scipy's CSR arrays of shape (post, pre), checked, drawn, stored in HDF5.

scipy is imported only where a sparse matrix is made; an existing one proves that scipy is loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn.errors import NetworkError

if TYPE_CHECKING:
    import h5py


def is_sparse(weights: object) -> bool:
    """True for a scipy sparse array or matrix of any format."""
    module = sys.modules.get("scipy.sparse")
    return module is not None and bool(module.issparse(weights))


def check_sparse(key: str, weights: Any, shape: tuple[int, int]) -> Any:
    """A read-only CSR copy of sparse weights: float32 or float64, indices sorted, duplicates added up.

    Raises
    ------
    NetworkError
        For another shape, other values than numbers, or one that is not finite.
    """
    from scipy.sparse import csr_array

    if weights.dtype.kind not in "iuf":
        raise NetworkError(f"weights of {key!r} must be numbers, got dtype {weights.dtype}")
    if weights.shape != shape:
        raise NetworkError(f"weights of {key!r} must have shape {shape} (post, pre), got {weights.shape}")
    real = weights.dtype if weights.dtype in (np.float32, np.float64) else np.float64
    matrix = csr_array(weights, dtype=real, copy=True)
    matrix.sum_duplicates()
    bad = np.flatnonzero(~np.isfinite(matrix.data))
    if bad.size:
        post = int(np.searchsorted(matrix.indptr, bad[0], side="right")) - 1
        raise NetworkError(
            f"weights of {key!r}: the weight of post {post}, pre {matrix.indices[bad[0]]} "
            f"is {matrix.data[bad[0]]}"
        )
    for part in (matrix.data, matrix.indices, matrix.indptr):
        part.flags.writeable = False
    return matrix


def draw_sparse(
    generator: np.random.Generator,
    shape: tuple[int, int],
    probability: float,
    draw: Callable[[tuple[int, ...]], np.ndarray],
) -> Any:
    """Random weights: every synapse exists with `probability`, independently.

    Parameters
    ----------
    generator : numpy.random.Generator
    shape : (post, pre)
    probability : float
        0 < probability < 1.
    draw : callable
        Gives weights, float32, of the shape that it is called with; called once.

    Returns
    -------
    scipy.sparse.csr_array (post, pre)
    """
    from scipy.sparse import csr_array

    # The gaps between the synapses of a row-by-row list are geometric: no array of all pairs is needed.
    cells, places = shape[0] * shape[1], np.empty(0, np.int64)
    while not places.size or places[-1] < cells:
        expected = (cells - (places[-1] if places.size else 0)) * probability
        gaps = generator.geometric(probability, int(expected + 4.0 * np.sqrt(expected)) + 16)
        # At probabilities near 0 a gap is as large as its integer can be, and a sum of two would overflow.
        gaps = np.minimum(gaps, cells + 1)
        start = places[-1] if places.size else -1
        places = np.concatenate([places, start + np.cumsum(gaps)])
    places = places[: np.searchsorted(places, cells)]
    rows, columns = np.divmod(places, shape[1])
    data = draw(places.shape)
    indptr = np.searchsorted(rows, np.arange(shape[0] + 1))
    return csr_array((data, columns, indptr), shape=shape)


def write_sparse(folder: h5py.Group, key: str, matrix: Any) -> None:
    """Write a CSR matrix as a group of three datasets, named as scipy names them."""
    group = folder.create_group(key)
    group.attrs["format"] = "csr"
    group.attrs["shape"] = matrix.shape
    group.attrs["axes"] = "post, pre"
    for part in ("data", "indices", "indptr"):
        group.create_dataset(part, data=getattr(matrix, part))


def read_sparse(group: h5py.Group) -> Any:
    """Read weights that `write_sparse` wrote.

    Raises
    ------
    KeyError, ValueError
        If it is damaged.
    """
    from scipy.sparse import csr_array

    if group.attrs["format"] != "csr":
        raise ValueError(f"sparse weights in format {group.attrs['format']!r}, not 'csr'")
    shape = tuple(int(n) for n in group.attrs["shape"])
    matrix = csr_array((group["data"][()], group["indices"][()], group["indptr"][()]), shape=shape)
    matrix.check_format(full_check=True)
    return matrix


def with_data(matrix: Any, data: np.ndarray) -> Any:
    """A CSR matrix with the synapses of another one, and these weights."""
    return type(matrix)((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def rows_of(matrix: Any, posts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of a CSR matrix as those of another one: (ptr, pre, float64 weights), zeros included."""
    ptr, places = join_ranges(matrix.indptr[posts], matrix.indptr[posts + 1])
    return ptr, matrix.indices[places], matrix.data[places].astype(np.float64)


def join_ranges(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The whole numbers of the ranges [start, end), one after the other, and where those of each begin."""
    counts = (ends - starts).astype(np.int64)
    ptr = np.concatenate([[0], np.cumsum(counts)])
    return ptr, np.arange(ptr[-1]) + np.repeat(starts - ptr[:-1], counts)


def row_of(matrix: Any, post: int) -> np.ndarray:
    """Weights of one post-synaptic neuron, zeros included, float64 array (pre,)."""
    row = np.zeros(matrix.shape[1])
    part = slice(matrix.indptr[post], matrix.indptr[post + 1])
    row[matrix.indices[part]] = matrix.data[part]
    return row
