"""How the weights and delays of two networks differ, layer by layer and connection by connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from eventsnn.model import Network
from eventsnn.model.sparse import is_sparse


@dataclass(frozen=True)
class WeightComparison:
    """Weights, or delays of synapses, of a layer or connection.

    Attributes
    ----------
    key : str
        As in ``network.weights``.
    what : {"weights", "delays"}
    synapses_a, synapses_b : int or None
        How many there are; None where one of the networks has none.
    differ : int or None
        Synapses whose value is not the same; None if the two cannot be compared one by one, as their shapes
        or the places of their synapses differ.
    most : float or None
        The largest difference; of delays ms.
    relative : float or None
        Root of the sum of squares of all differences, as a fraction of that of the values of A; infinite
        where these are all 0 and those of B are not.
    """

    key: str
    what: str
    synapses_a: int | None
    synapses_b: int | None
    differ: int | None = None
    most: float | None = None
    relative: float | None = None

    @property
    def same(self) -> bool:
        """Whether all values are."""
        return self.differ == 0

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def compare_weights(a: Network, b: Network) -> list[WeightComparison]:
    """Weights and delays of two networks that have the same key, those of A first, then what B alone has."""
    found = []
    for what, of_a, of_b in (("weights", a.weights, b.weights), ("delays", a.delays, b.delays)):
        for key in {**of_a, **of_b}:
            placed = what == "weights" or _same_places(a.weights.get(key), b.weights.get(key))
            found.append(_compare(key, what, of_a.get(key), of_b.get(key), placed))
    return found


def _compare(key: str, what: str, a: Any, b: Any, placed: bool) -> WeightComparison:
    n_a, n_b = (None if each is None else int(each.nnz if is_sparse(each) else each.size) for each in (a, b))
    if a is None or b is None or a.shape != b.shape or not placed:
        return WeightComparison(key, what, n_a, n_b)
    if is_sparse(a) or is_sparse(b):
        from scipy.sparse import csr_array

        # A synapse that one of the two does not have counts as one of weight 0.
        changes, values = (
            (csr_array(b, dtype=np.float64) - csr_array(a, dtype=np.float64)).data,
            csr_array(a).data,
        )
    else:
        changes, values = np.asarray(b, np.float64) - np.asarray(a, np.float64), np.asarray(a)
    size, change = float(np.linalg.norm(values)), float(np.linalg.norm(changes))
    relative = change / size if size else (np.inf if change else 0.0)
    most = float(np.abs(changes).max(initial=0.0))
    return WeightComparison(key, what, n_a, n_b, int(np.count_nonzero(changes)), most, relative)


def _same_places(a: Any, b: Any) -> bool:
    """Whether delays, which stand in the order of the stored weights, are of the same synapses."""
    if is_sparse(a) and is_sparse(b):
        return bool(np.array_equal(a.indptr, b.indptr) and np.array_equal(a.indices, b.indices))
    return not is_sparse(a) and not is_sparse(b)


HEADINGS = ("", "synapses A", "synapses B", "differ", "most", "relative")


def format_weights(compared: list[WeightComparison]) -> list[str]:
    """Lines of a table of what differs; one line if nothing does, none without weights."""
    if not compared:
        return []
    if all(each.same for each in compared):
        return ["weights and delays: the same"]
    return format_table([HEADINGS, *map(_row, compared)])


def format_table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of a table, headings first; figures stand to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:<{width}}" if column == 0 else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _row(each: WeightComparison) -> tuple[str, ...]:
    unit = " (ms)" if each.what == "delays" else ""
    counts = ("-" if n is None else f"{n:,}" for n in (each.synapses_a, each.synapses_b, each.differ))
    figures = ("-" if x is None else f"{x:.3g}" for x in (each.most, each.relative))
    return (f"{each.what} of {each.key}{unit}", *counts, *figures)
