"""The losses of HM2-BP's heads as PyTorch modules."""

from __future__ import annotations

from typing import Any

from eventsnn._util.arguments import check_number
from eventsnn.errors import TrainingError
from eventsnn.torch.library import torch


class CountLoss(torch.nn.Module):
    """Half the sum of squared errors of spike counts, as HM2-BP's head ``"count"`` has it.

    With the counts o, the targets y and d = o - y where ``|o - y| > margin``, else 0, the loss of a recording
    is ``(sum_i d_i^2) / 2``, and that of a mini-batch the mean. Its derivative by o is d, as in
    `eventsnn.train`. The head ``"softmax"`` is ``torch.nn.CrossEntropyLoss``.

    Parameters
    ----------
    desired, undesired : float
        Numbers of spikes wanted of the label's output neuron and of the others, 35 and 5 by default.
    margin : float
        Errors up to this are none, 5 by default.

    Source: Jin, Zhang & Li, NeurIPS 2018; see `eventsnn.HM2BP`.
    """

    def __init__(self, desired: float = 35.0, undesired: float = 5.0, margin: float = 5.0) -> None:
        super().__init__()
        for name, value in (("desired", desired), ("undesired", undesired), ("margin", margin)):
            check_number(name, value, TrainingError, least=0.0)
        self.desired, self.undesired, self.margin = float(desired), float(undesired), float(margin)

    def forward(self, counts: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The mean loss: counts (recordings, outputs), labels integers (recordings,)."""
        wanted = torch.full_like(counts, self.undesired)
        wanted.scatter_(1, labels[:, None], self.desired)
        errors = counts - wanted
        squares = torch.where(errors.abs() > self.margin, errors * errors, 0.0)
        loss: Any = 0.5 * squares.sum(dim=1).mean()
        return loss

    def extra_repr(self) -> str:
        """What is shown between the brackets."""
        return f"desired={self.desired}, undesired={self.undesired}, margin={self.margin}"
