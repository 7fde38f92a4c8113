"""Networks as PyTorch modules, and data sets for its DataLoader (extra ``torch``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsnn._util.lazy import on_demand

if TYPE_CHECKING:
    from eventsnn.torch.batch import SpikeBatch, as_batch
    from eventsnn.torch.dataset import EventDataset, collate
    from eventsnn.torch.loss import CountLoss
    from eventsnn.torch.module import SpikingNetwork

# On demand, so that a missing PyTorch is an error where it is needed, and names the extra.
__getattr__ = on_demand(
    __name__,
    {
        "CountLoss": "eventsnn.torch.loss",
        "EventDataset": "eventsnn.torch.dataset",
        "SpikeBatch": "eventsnn.torch.batch",
        "SpikingNetwork": "eventsnn.torch.module",
        "as_batch": "eventsnn.torch.batch",
        "collate": "eventsnn.torch.dataset",
    },
)

__all__ = ["CountLoss", "EventDataset", "SpikeBatch", "SpikingNetwork", "as_batch", "collate"]
