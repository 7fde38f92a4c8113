"""Synapse nodes between two populations: shapes, and the linear map that they are together.

Populations have NIR's shapes, channels first: (neurons,), (channels, width) or (channels, height, width).
Neurons are numbered as ours are, the last axis fastest.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.errors import NetworkError
from eventsnn.model.layers.geometry import Geometry
from eventsnn.model.nir.graph import kind_of, numbers_of

Shape = tuple[int, ...]
MOST_SYNAPSES = 1 << 28
MOST_NEURONS = 1 << 31


class Delay(NamedTuple):
    """Delays along a path, in the file's unit: one for all, one for each source neuron or each target."""

    common: float = 0.0
    pre: np.ndarray | None = None
    post: np.ndarray | None = None


class Step(NamedTuple):
    """One synapse node as a map from a shape to a shape."""

    name: str
    node: Any
    before: Shape
    after: Shape

    @property
    def kind(self) -> str:
        """The node's type."""
        return kind_of(self.node)

    def array(self, field: str) -> np.ndarray:
        """A parameter, as float64 unless it is float32."""
        array = numbers_of(self.name, field, getattr(self.node, field))
        return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def trace_shapes(nodes: dict[str, Any], names: tuple[str, ...], shape: Shape) -> list[Step]:
    """The steps of a path that begins at a population of this shape.

    Raises
    ------
    NetworkError
        Naming the node that does not fit.
    """
    steps = []
    for name in names:
        node = nodes[name]
        before = _squeeze(shape, kind_of(node))
        after = _shape_after(name, node, before)
        if min(after, default=1) < 1 or math.prod(after) > MOST_NEURONS:
            raise NetworkError(f"node {name!r} makes shape {after} of shape {before}")
        steps.append(Step(name, node, before, after))
        shape = after
    return steps


def _squeeze(shape: Shape, kind: str) -> Shape:
    """A shape without leading axes of length 1, where a file has an axis of samples among its shapes."""
    axes = {"Linear": 1, "Affine": 1, "Conv1d": 2, "Conv2d": 3, "SumPool2d": 3, "AvgPool2d": 3}.get(kind)
    while axes is not None and len(shape) > axes and shape[0] == 1:
        shape = shape[1:]
    return shape


def _shape_after(name: str, node: Any, shape: Shape) -> Shape:
    kind = kind_of(node)
    if kind in ("Input", "Output"):
        return shape
    if kind == "Flatten":
        return _flattened(name, node, shape)
    if kind in ("Scale", "Delay"):
        array = numbers_of(name, kind.lower(), getattr(node, kind.lower()))
        if array.size not in (1, math.prod(shape)):
            raise NetworkError(f"node {name!r}: {number_of(array.size, 'value')} for shape {shape}")
        return shape
    if kind in ("Linear", "Affine"):
        weight = numbers_of(name, "weight", node.weight)
        if weight.ndim != 2:
            raise NetworkError(
                f"node {name!r}: weight must have 2 axes (post, pre), got shape {weight.shape}"
            )
        if shape != (weight.shape[1],):
            hint = "; a Flatten is missing before it" if math.prod(shape) == weight.shape[1] else ""
            raise NetworkError(
                f"node {name!r}: weight of shape {weight.shape} does not fit shape {shape}{hint}"
            )
        return (weight.shape[0],)
    geometry = geometry_of_node(name, node, shape)
    size = geometry.size if kind != "Conv1d" else geometry.size[1:]
    channels = len(node.weight) if kind.startswith("Conv") else shape[0]
    return (channels, *size)


def _flattened(name: str, node: Any, shape: Shape) -> Shape:
    start, end = (int(numbers_of(name, field, getattr(node, field))) for field in ("start_dim", "end_dim"))
    first, last = (n + len(shape) if n < 0 else n for n in (start, end))
    if not 0 <= first <= last < len(shape):
        # snnTorch and Norse count axes with one of samples in front.
        if first - 1 == 0 and last <= len(shape):
            first, last = 0, len(shape) - 1
        else:
            raise NetworkError(f"node {name!r}: no axes {start} to {end} in shape {shape}")
    return (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


def geometry_of_node(name: str, node: Any, shape: Shape) -> Geometry:
    """The windows of a convolution or a pool over a source of this shape.

    Raises
    ------
    NetworkError
        Naming the node and the field.
    """
    kind = kind_of(node)
    axes = 2 if kind == "Conv1d" else 3
    if len(shape) != axes:
        raise NetworkError(f"node {name!r} of type {kind} needs a source of {axes} axes, got shape {shape}")
    source = (shape[0], 1, shape[1]) if kind == "Conv1d" else (shape[0], shape[1], shape[2])
    if kind.startswith("Conv"):
        weight = numbers_of(name, "weight", node.weight)
        if weight.ndim != axes + 1 or 0 in weight.shape:
            raise NetworkError(f"node {name!r}: weight must have {axes + 1} axes, got shape {weight.shape}")
        groups = int(numbers_of(name, "groups", node.groups))
        if groups < 1 or weight.shape[1] * groups != shape[0] or weight.shape[0] % groups:
            raise NetworkError(
                f"node {name!r}: weight of shape {weight.shape} with {groups} groups does not fit shape "
                f"{shape}"
            )
        kernel = (1, weight.shape[2]) if kind == "Conv1d" else (weight.shape[2], weight.shape[3])
        dilation = _pair(name, node, "dilation", 1)
    else:
        kernel, dilation = _pair(name, node, "kernel_size", 1), (1, 1)
    stride = _pair(name, node, "stride", 1)
    if isinstance(node.padding, str):
        padding = _named_padding(name, node.padding, kernel, dilation, stride)
    else:
        padding = _pair(name, node, "padding", 0)
    return Geometry(source, kernel, stride, padding, dilation)


def _pair(name: str, node: Any, field: str, least: int) -> tuple[int, int]:
    """(y, x) of a field that holds one number or two; of a Conv1d it is x, and y is `least`."""
    array = numbers_of(name, field, getattr(node, field)).ravel()
    one = kind_of(node) == "Conv1d"
    if array.size not in ((1,) if one else (1, 2)) or (array != array.astype(np.int64)).any():
        raise NetworkError(f"node {name!r}: {field} must be whole numbers, got {array.tolist()!r:.60}")
    values = [int(n) for n in array]
    if min(values) < least or max(values) > 1 << 20:
        raise NetworkError(f"node {name!r}: {field} must be at least {least}, got {values}")
    return (least, values[0]) if one else (values[0], values[-1])


def _named_padding(
    name: str, padding: str, kernel: tuple[int, int], dilation: tuple[int, int], stride: tuple[int, int]
) -> tuple[int, int]:
    if padding == "valid":
        return (0, 0)
    margins = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if padding != "same" or any(n % 2 for n in margins) or stride != (1, 1):
        raise NetworkError(
            f"node {name!r}: padding {padding!r} adds other margins left and right; write numbers, which "
            "hold "
            "for both sides"
        )
    return margins[0] // 2, margins[1] // 2


def matrix_of(step: Step) -> Any:
    """The linear map of a step, float64 ``scipy.sparse.csr_array`` (post, pre); of a delay the identity."""
    from scipy.sparse import csr_array, diags_array, eye_array

    size = math.prod(step.before)
    if step.kind in ("Linear", "Affine"):
        return csr_array(step.array("weight").astype(np.float64))
    if step.kind == "Scale":
        return diags_array(np.broadcast_to(step.array("scale").ravel(), size).astype(np.float64)).tocsr()
    if step.kind in ("Flatten", "Delay", "Input", "Output"):
        return eye_array(size, format="csr")
    geometry = geometry_of_node(step.name, step.node, step.before)
    rows = geometry.rows
    post_position, place = np.nonzero(rows >= 0)
    shared = shared_weights(step, geometry)
    if shared.shape[0] * len(place) > MOST_SYNAPSES:
        raise NetworkError(f"node {step.name!r}: written out it has more than {MOST_SYNAPSES:,} synapses")
    post = (np.arange(shared.shape[0])[:, None] * geometry.patches + post_position).ravel()
    pre = np.broadcast_to(rows[post_position, place], (shared.shape[0], len(place))).ravel()
    values = shared[:, place].ravel()
    kept = values != 0.0
    return csr_array((values[kept], (post[kept], pre[kept])), shape=(math.prod(step.after), size))


def shared_weights(step: Step, geometry: Geometry) -> np.ndarray:
    """Weights (channels, inputs) of one position of a convolution or a pool, float64."""
    channels = step.before[0]
    if not step.kind.startswith("Conv"):
        value = 1.0 / geometry.area if step.kind == "AvgPool2d" else 1.0
        return np.kron(np.eye(channels), np.full((1, geometry.area), value))
    weight = step.array("weight").astype(np.float64)
    per_group = weight.reshape(len(weight), -1)
    groups = channels // weight.shape[1]
    if groups == 1:
        return per_group
    out = np.zeros((len(weight), groups, per_group.shape[1]))
    out[np.arange(len(weight)), np.arange(len(weight)) * groups // len(weight)] = per_group
    return out.reshape(len(weight), -1)


def constant_of(step: Step) -> np.ndarray:
    """What a step adds to its result whatever comes in, float64 (post,)."""
    size = math.prod(step.after)
    if step.kind not in ("Affine", "Conv1d", "Conv2d") or step.node.bias is None:
        return np.zeros(size)
    bias = step.array("bias").astype(np.float64).ravel()
    if bias.size not in (1, step.after[0]):
        raise NetworkError(
            f"node {step.name!r}: bias of size {bias.size} for {number_of(step.after[0], 'channel')}"
        )
    return np.repeat(np.broadcast_to(bias, step.after[0]), size // step.after[0])


def total_constant(steps: list[Step]) -> np.ndarray | None:
    """What a path adds at its end whatever comes in, float64 (post,); None for nothing."""
    total: np.ndarray | None = None
    for step in steps:
        if total is not None and step.kind not in ("Flatten", "Delay", "Input", "Output"):
            total = matrix_of(step) @ total
        constant = constant_of(step)
        if constant.any():
            total = constant if total is None else total + constant
    return total


def total_matrix(steps: list[Step], size: int) -> Any:
    """The linear map of a path from `size` neurons, float64 ``csr_array`` (post, pre)."""
    from scipy.sparse import eye_array

    matrix = eye_array(size, format="csr")
    for step in steps:
        if step.kind not in ("Flatten", "Delay", "Input", "Output"):
            matrix = (matrix_of(step) @ matrix).tocsr()
        if matrix.nnz > MOST_SYNAPSES:
            raise NetworkError(f"the way through {step.name!r} has more than {MOST_SYNAPSES:,} synapses")
    return matrix


def total_delay(steps: list[Step]) -> Delay:
    """The delays of a path.

    Raises
    ------
    NetworkError
        For delays that differ from neuron to neuron between two matrices.
    """
    weighing = [n for n, step in enumerate(steps) if step.kind not in ("Flatten", "Delay", "Input", "Output")]
    common, pre, post = 0.0, None, None
    for n, step in enumerate(steps):
        if step.kind != "Delay":
            continue
        values = step.array("delay").ravel().astype(np.float64)
        if (values < 0.0).any():
            raise NetworkError(f"node {step.name!r}: a delay is {values.min()}, and must not be below 0")
        if (values == values[0]).all():
            common += float(values[0])
        elif not weighing or n < weighing[0]:
            pre = values if pre is None else pre + values
        elif n > weighing[-1]:
            post = values if post is None else post + values
        else:
            raise NetworkError(
                f"node {step.name!r}: delays that differ from neuron to neuron must be next to neurons, not "
                "between two matrices"
            )
    return Delay(common, pre, post)
