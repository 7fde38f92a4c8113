"""Heads: losses over the output spike counts, one module each, found by name."""

from __future__ import annotations

from eventsnn.learn.heads.head import HEADS, Head

__all__ = ["HEADS", "Head"]
