"""The strongest dense opponent on a card: matrix products in bfloat16 around one fused kernel per layer.

Bins of 1 ms. The input is a dense tensor of counts; each layer is one product over all bins and one Triton
kernel that walks through them with the state in registers. The backward pass is written out (box surrogate,
reset detached): one kernel per layer that walks back, and one product per weight matrix. No autograd.

A layer, per bin:
    I = a_s I + x,    u = a_m v + I,    s = (u >= 1),    v = u (1 - s)
Weights are those of eventsnn divided by tau_s times the threshold. Without a card, PyTorch runs the same
loops (`TorchLoops`), which is also what the kernels are tested against.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

BOX = 1.0  # half width of the surrogate's box, in thresholds
FIRED, NEAR = 1, 2  # what the backward pass must know of a bin


class TorchLoops:
    """The loops over bins in PyTorch, bin by bin."""

    @staticmethod
    def forward(x: torch.Tensor, a_m: float, a_s: float, keep: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Spikes, like `x` (bins, neurons); with `keep` flags for the backward pass, else an empty tensor."""
        current = torch.zeros(x.shape[1], device=x.device)
        v = torch.zeros_like(current)
        spikes = torch.empty_like(x)
        flags = torch.empty(x.shape if keep else 0, dtype=torch.int8, device=x.device)
        for t, x_t in enumerate(x.unbind(0)):
            current = a_s * current + x_t.float()
            u = a_m * v + current
            fired = u >= 1.0
            spikes[t] = fired
            if keep:
                flags[t] = fired * FIRED + ((u - 1.0).abs() < BOX) * NEAR
            v = torch.where(fired, 0.0, u)
        return spikes, flags

    @staticmethod
    def backward(error: torch.Tensor, flags: torch.Tensor, a_m: float, a_s: float) -> torch.Tensor:
        """Gradients of the input from errors of the spikes: (bins, neurons), or (neurons,) for all."""
        steps, n = flags.shape
        gradient = torch.empty(steps, n, dtype=error.dtype, device=error.device)
        g_u = torch.zeros(n, device=error.device)
        g_x = torch.zeros_like(g_u)
        for t in range(steps - 1, -1, -1):
            e = (error if error.ndim == 1 else error[t]).float()
            boxed = torch.where((flags[t] & NEAR) != 0, e / (2 * BOX), 0.0)
            g_u = boxed + a_m * torch.where((flags[t] & FIRED) != 0, 0.0, g_u)
            g_x = g_u + a_s * g_x
            gradient[t] = g_x
        return gradient


def find_loops(device: str) -> Any:
    """The Triton kernels on a card, PyTorch elsewhere."""
    if not device.startswith("cuda"):
        return TorchLoops
    from speed.rivals.gpu_triton import TritonLoops

    return TritonLoops


class Fused:
    """A network of two layers; see the module.

    Parameters
    ----------
    weights : sequence of ndarray
        Two arrays (post, pre), divided by tau_s times the threshold.
    tau_m, tau_s : float
        ms; a bin is 1 ms.
    learning_rate : float
        Adam's.
    device : str
    dtype : torch.dtype
        Of dense tensors; the weights that Adam moves are float32.
    """

    def __init__(
        self,
        weights: Sequence[np.ndarray],
        tau_m: float,
        tau_s: float,
        learning_rate: float,
        device: str,
        dtype: torch.dtype = torch.bfloat16,
        loops: Any = None,
    ) -> None:
        columns = [torch.from_numpy(np.ascontiguousarray(np.asarray(w).T, np.float32)) for w in weights]
        self.w1, self.w2 = (torch.nn.Parameter(w.to(device)) for w in columns)
        self.decays = math.exp(-1 / tau_m), math.exp(-1 / tau_s)
        self.dtype, self.loops = dtype, loops or find_loops(device)
        self.optimiser = torch.optim.Adam([self.w1, self.w2], lr=learning_rate, fused=True)

    def _forward(self, x: torch.Tensor, keep: bool) -> tuple[torch.Tensor, ...]:
        bins, size, inputs = x.shape
        hidden, outputs = self.w2.shape
        x1 = (x.view(-1, inputs) @ self.w1.to(self.dtype)).view(bins, size * hidden)
        s1, f1 = self.loops.forward(x1, *self.decays, keep)
        x2 = (s1.view(-1, hidden) @ self.w2.to(self.dtype)).view(bins, size * outputs)
        s2, f2 = self.loops.forward(x2, *self.decays, keep)
        return s1, f1, f2, s2.float().sum(0).view(size, outputs)

    @torch.no_grad()
    def infer(self, x: torch.Tensor) -> torch.Tensor:
        """Output spike counts (batch, outputs) from counts of events (bins, batch, inputs)."""
        return self._forward(x, keep=False)[3]

    @torch.no_grad()
    def gradients(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Set the gradients of the mean cross-entropy of the output counts; return that loss."""
        bins, size, inputs = x.shape
        hidden, outputs = self.w2.shape
        s1, f1, f2, counts = self._forward(x, keep=True)
        error = (F.softmax(counts, 1) - F.one_hot(labels, outputs)) / size
        g2 = self.loops.backward(error.reshape(-1).to(self.dtype), f2, *self.decays).view(-1, outputs)
        self.w2.grad = (s1.view(-1, hidden).t() @ g2).float()
        e1 = (g2 @ self.w2.to(self.dtype).t()).view(bins, size * hidden)
        g1 = self.loops.backward(e1, f1, *self.decays).view(-1, hidden)
        self.w1.grad = (x.view(-1, inputs).t() @ g1).float()
        return F.cross_entropy(counts, labels)

    def train_step(self, x: torch.Tensor, labels: torch.Tensor) -> None:
        """Gradients and one step of Adam."""
        self.gradients(x, labels)
        self.optimiser.step()
