"""PyTorch itself, or the error that names the extra."""

from __future__ import annotations

from eventsnn.errors import MissingExtraError

try:
    import torch
except ImportError as error:
    if error.name != "torch":  # it is there, and something that it needs is not
        raise
    raise MissingExtraError("PyTorch", "torch", "eventsnn.torch") from None

__all__ = ["torch"]
