"""The loops of gpu_fused.py as Triton kernels: one lane per neuron and recording, state in registers."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

BLOCK = 128


@triton.jit
def walk(x, s, flags, n, bins, a_m, a_s, KEEP: tl.constexpr, BLOCK: tl.constexpr):
    """Forward: spikes `s`, and with KEEP the flags of the backward pass (1: fired, 2: near)."""
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < n
    current = tl.zeros((BLOCK,), tl.float32)
    v = tl.zeros((BLOCK,), tl.float32)
    at = lane
    for _ in range(bins):
        current = a_s * current + tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
        u = a_m * v + current
        fired = u >= 1.0
        tl.store(s + at, tl.where(fired, 1.0, 0.0).to(s.dtype.element_ty), mask=mask)
        if KEEP:
            near = tl.abs(u - 1.0) < 1.0
            tl.store(flags + at, fired.to(tl.int8) + near.to(tl.int8) * 2, mask=mask)
        v = tl.where(fired, 0.0, u)
        at += n


@triton.jit
def walk_back(e, flags, g, n, bins, last, a_m, a_s, EACH_BIN: tl.constexpr, BLOCK: tl.constexpr):
    """Backward: gradients `g` of the input from errors `e` of the spikes, one for all bins or one each."""
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < n
    g_u = tl.zeros((BLOCK,), tl.float32)
    g_x = tl.zeros((BLOCK,), tl.float32)
    error = tl.load(e + lane, mask=mask, other=0.0).to(tl.float32)
    at = lane + last
    for _ in range(bins):
        flag = tl.load(flags + at, mask=mask, other=0)
        if EACH_BIN:
            error = tl.load(e + at, mask=mask, other=0.0).to(tl.float32)
        boxed = tl.where((flag & 2) != 0, error * 0.5, 0.0)
        g_u = boxed + a_m * tl.where((flag & 1) != 0, 0.0, g_u)
        g_x = g_u + a_s * g_x
        tl.store(g + at, g_x.to(g.dtype.element_ty), mask=mask)
        at -= n


class TritonLoops:
    """`gpu_fused.TorchLoops` on the card."""

    @staticmethod
    def forward(x: torch.Tensor, a_m: float, a_s: float, keep: bool) -> tuple[torch.Tensor, torch.Tensor]:
        bins, n = x.shape
        spikes = torch.empty_like(x)
        flags = torch.empty(x.shape if keep else (1,), dtype=torch.int8, device=x.device)
        walk[(triton.cdiv(n, BLOCK),)](x, spikes, flags, n, bins, a_m, a_s, keep, BLOCK)
        return spikes, flags

    @staticmethod
    def backward(error: torch.Tensor, flags: torch.Tensor, a_m: float, a_s: float) -> torch.Tensor:
        bins, n = flags.shape
        gradient = torch.empty(bins, n, dtype=error.dtype, device=error.device)
        walk_back[(triton.cdiv(n, BLOCK),)](
            error, flags, gradient, n, bins, (bins - 1) * n, a_m, a_s, error.ndim == 2, BLOCK
        )
        return gradient
