"""The strongest opponent: PyTorch that uses the sparsity of the input, with forward and backward by hand.

Per bin the synaptic input of the hidden layer is a sum of weight rows over the events of the bin
(`embedding_bag`); the leaky integrate-and-fire loop is three operations a step, in place; hidden spikes are
few, so they go on as events too; the backward pass is written out (surrogate gradient: a box around the
threshold, reset detached) and the gradient of the weights is again a sum over events. No autograd, no dense
input. `loss_by_autograd` is the same model in plain PyTorch, to check the gradients against.

A layer, per bin, with the sign of everything turned round, so that `torch.threshold` is firing and reset in
one:
    I = a_s I + x,    u = a_m v + I,    s = (u <= -1),    v = u (1 - s)
Weights are those of eventsnn divided by -tau_s times the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse

BOX = 1.0  # half width of the surrogate's box, in thresholds
CHUNK = 32  # steps handled together: their currents stay in the cache
Recording = tuple[np.ndarray, np.ndarray]

_box_backward = torch.ops.aten.hardtanh_backward.grad_input
_keep_backward = torch.ops.aten.threshold_backward.grad_input


@dataclass
class Batch:
    """Events of a batch in bins: sorted by (bin, recording), chunk by chunk, and by input neuron."""

    size: int
    bins: int
    chunks: list[tuple[int, torch.Tensor, torch.Tensor]]
    bags: torch.Tensor
    pixel_offsets: torch.Tensor
    labels: torch.Tensor


def sort_by(keys: np.ndarray, n_keys: int) -> tuple[np.ndarray, np.ndarray]:
    """Stable order of whole numbers below `n_keys`, and where each begins: SciPy's counting sort."""
    order = np.arange(len(keys), dtype=np.int32)
    row = sparse.csr_array((order, keys, np.array([0, len(keys)])), shape=(1, n_keys))
    column = row.tocsc()
    return column.data, column.indptr


def make_batch(recordings: Sequence[Recording], labels: Sequence[int], bins: int, n_inputs: int) -> Batch:
    """Join recordings given as (bin, input neuron) of every event."""
    size = len(recordings)
    step = np.concatenate([steps for steps, _ in recordings]).astype(np.int32)
    pixels = np.concatenate([neurons for _, neurons in recordings]).astype(np.int32)
    who = np.repeat(np.arange(size, dtype=np.int32), [len(steps) for steps, _ in recordings])
    bags = step * size + who
    order, offsets = sort_by(bags, bins * size)
    by_pixel, pixel_offsets = sort_by(pixels, n_inputs)
    ordered = torch.from_numpy(pixels[order])
    chunks = []
    for first in range(0, bins, CHUNK):
        edges = offsets[first * size : (min(first + CHUNK, bins)) * size + 1]
        part = torch.from_numpy((edges[:-1] - edges[0]).astype(np.int32))
        chunks.append((first, ordered[edges[0] : edges[-1]], part))
    return Batch(
        size,
        bins,
        chunks,
        torch.from_numpy(bags[by_pixel]),
        torch.from_numpy(pixel_offsets[:-1].astype(np.int32)),
        torch.as_tensor(np.asarray(labels, dtype=np.int64)),
    )


class EventTorch:
    """A network of two layers of current-based LIF neurons, run on `Batch`es.

    Parameters
    ----------
    weights : list of ndarray
        Two arrays (post, pre), as eventsnn has them.
    thresholds : list of float
        One per layer.
    tau_m, tau_s : float
        ms; a bin is 1 ms.
    learning_rate : float
        Adam's.
    """

    def __init__(
        self,
        weights: Sequence[np.ndarray],
        thresholds: Sequence[float],
        tau_m: float = 64.0,
        tau_s: float = 8.0,
        learning_rate: float = 3e-5,
    ) -> None:
        scaled = [np.asarray(w).T / (-tau_s * nu) for w, nu in zip(weights, thresholds, strict=True)]
        self.w1, self.w2 = (
            torch.nn.Parameter(torch.from_numpy(np.ascontiguousarray(w, np.float32))) for w in scaled
        )
        self.a_m, self.a_s = math.exp(-1 / tau_m), math.exp(-1 / tau_s)
        self.optimiser = torch.optim.Adam([self.w1, self.w2], lr=learning_rate, fused=True)
        self._kept: dict[str, torch.Tensor] = {}

    def _buffer(self, name: str, *shape: int) -> torch.Tensor:
        """A tensor kept from step to step: fresh ones cost page faults."""
        if name not in self._kept or self._kept[name].shape != shape:
            self._kept[name] = torch.empty(shape)
        return self._kept[name]

    def _integrate(self, x: torch.Tensor, u: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Potentials before reset of the steps of `x` into `u` (or `x`); `state` is (I, v), carried on."""
        current, v = state
        for x_t, u_t in zip(x.unbind(0), u.unbind(0), strict=True):
            torch.add(x_t, current, alpha=self.a_s, out=current)
            torch.add(current, v, alpha=self.a_m, out=u_t)
            torch.threshold(u_t, -1.0, 0.0, out=v)

    def _forward(self, batch: Batch, keep: bool) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
        """Potentials of both layers (steps, batch, neurons); hidden spikes as places in the flat first."""
        hidden, outputs = self.w2.shape
        state = (torch.zeros(batch.size, hidden), torch.zeros(batch.size, hidden))
        kept = self._buffer("u1", batch.bins, batch.size, hidden) if keep else torch.empty(0)
        fired = np.empty(CHUNK * batch.size * hidden, bool)
        found = []
        for first, pixels, offsets in batch.chunks:
            x = F.embedding_bag(pixels, self.w1, offsets, mode="sum").view(-1, batch.size, hidden)
            u = kept[first : first + len(x)] if keep else x
            self._integrate(x, u, state)
            flat = u.reshape(-1).numpy()
            spikes = np.flatnonzero(np.less_equal(flat, -1.0, out=fired[: len(flat)]))
            found.append(spikes + first * batch.size * hidden)
        spikes = np.concatenate(found)
        offsets = np.searchsorted(spikes, np.arange(batch.bins * batch.size) * hidden)
        x = F.embedding_bag(
            torch.from_numpy(spikes % hidden), self.w2, torch.from_numpy(offsets), mode="sum"
        ).view(-1, batch.size, outputs)
        u2 = self._buffer("u2", batch.bins, batch.size, outputs)
        self._integrate(x, u2, (torch.zeros(batch.size, outputs), torch.zeros(batch.size, outputs)))
        return kept, u2, spikes

    @torch.no_grad()
    def infer(self, batch: Batch) -> torch.Tensor:
        """Spikes of every output neuron (batch, outputs)."""
        return (self._forward(batch, keep=False)[1] <= -1).sum(0)

    def _differentiate(self, u: torch.Tensor, errors: Iterator[torch.Tensor]) -> None:
        """Replace potentials by gradients with respect to the layer's input.

        `errors` are those of the spikes, last step first. They come divided by -2 BOX: the
        height of the box and the sign of the model.
        """
        shape = u.shape[1:]
        g_u, g_next, boxed, passed = (torch.zeros(shape) for _ in range(4))
        for u_t, error in zip(reversed(u.unbind(0)), errors, strict=True):
            _box_backward(error, u_t, -1.0 - BOX, -1.0 + BOX, grad_input=boxed)
            _keep_backward(g_u, u_t, -1.0, grad_input=passed)
            torch.add(boxed, passed, alpha=self.a_m, out=g_u)
            torch.add(g_u, g_next, alpha=self.a_s, out=u_t)
            g_next = u_t

    def _hidden_errors(self, g2: torch.Tensor) -> Iterator[torch.Tensor]:
        """Errors of the hidden spikes, last step first."""
        steps, size, _ = g2.shape
        back = (self.w2.t() / (-2 * BOX)).contiguous()
        buffer = torch.empty(CHUNK // 4 * size, len(self.w2))
        for end in range(steps, 0, -(CHUNK // 4)):
            part = g2[max(end - CHUNK // 4, 0) : end].reshape(-1, g2.shape[2])
            errors = torch.mm(part, back, out=buffer[: len(part)])
            yield from reversed(errors.view(-1, size, len(self.w2)).unbind(0))

    @torch.no_grad()
    def gradients(self, batch: Batch) -> float:
        """Set the gradients of the mean cross-entropy of the output counts; return that loss."""
        u1, u2, spikes = self._forward(batch, keep=True)
        hidden, outputs = self.w2.shape
        counts = (u2 <= -1).sum(0).float()
        loss = F.cross_entropy(counts, batch.labels)
        error = (F.softmax(counts, 1) - F.one_hot(batch.labels, outputs)) / (batch.size * -2 * BOX)
        self._differentiate(u2, iter([error] * batch.bins))
        order, offsets = sort_by(spikes % hidden, hidden)
        bags = torch.from_numpy(spikes[order] // hidden)
        begins = torch.from_numpy(offsets[:-1].astype(np.int64))
        self.w2.grad = F.embedding_bag(bags, u2.view(-1, outputs), begins, mode="sum")
        self._differentiate(u1, self._hidden_errors(u2))
        self.w1.grad = F.embedding_bag(batch.bags, u1.view(-1, hidden), batch.pixel_offsets, mode="sum")
        return float(loss)

    def train_step(self, batch: Batch) -> float:
        """Gradients and one step of Adam; return the loss."""
        loss = self.gradients(batch)
        self.optimiser.step()
        return loss


class _Fire(torch.autograd.Function):
    """s = (u <= -1), with the gradient of a box."""

    @staticmethod
    def forward(ctx, u):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(u)
        return (u <= -1).float()

    @staticmethod
    def backward(ctx, error):  # type: ignore[no-untyped-def]
        (u,) = ctx.saved_tensors
        return error * -((u > -1 - BOX) & (u < -1 + BOX)).float() / (2 * BOX)


def loss_by_autograd(net: EventTorch, dense: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The same loss in plain PyTorch, from counts of events (steps, batch, inputs)."""
    signal = dense
    for w in (net.w1, net.w2):
        current = v = torch.zeros(signal.shape[1], w.shape[1], dtype=signal.dtype)
        spikes = []
        for x_t in (signal @ w.to(signal.dtype)).unbind(0):
            current = net.a_s * current + x_t
            u = net.a_m * v + current
            spikes.append(_Fire.apply(u))
            v = u * (1 - spikes[-1].detach())
        signal = torch.stack(spikes)
    return F.cross_entropy(signal.sum(0), labels)
