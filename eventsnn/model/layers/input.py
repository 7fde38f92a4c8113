"""The input of a network: its sensor, and the bias neuron."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from eventsnn.errors import NetworkError
from eventsnn.model.layers.checks import MOST_NEURONS, check_count, check_dropout, check_time

SHORTEST_BIAS_MS = 1e-3


@dataclass(frozen=True)
class Input:
    """The sensor: `width` x `height` pixels of `polarities` polarities, or `Input(78)` for 78 channels.

    The input neuron of an event is ``p * width * height + y * width + x``.

    Parameters
    ----------
    width, height, polarities : int
    bias_interval : float
        If above 0, every layer that has weights of its own has biases: synapses from one more neuron, the
        bias neuron, which fires every so many ms, for the first time after one interval, until the last event
        of the recording. Their weights are the last column of each layer's; all positions of a convolution
        share those of its channels. 0 for none.
    dropout : float
        In training a pixel is left out with this probability, for a whole recording; see `Dense`.
    """

    width: int
    height: int = 1
    polarities: int = 1
    bias_interval: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for field in ("width", "height", "polarities"):
            check_count("input", field, getattr(self, field))
        check_time("input", "bias_interval", self.bias_interval)
        check_dropout("input", self.dropout)
        if 0.0 < self.bias_interval < SHORTEST_BIAS_MS:
            raise NetworkError(
                f"input: bias_interval must be 0 (none) or at least {SHORTEST_BIAS_MS:g} ms, got "
                f"{self.bias_interval!r}"
            )
        if self.neurons > MOST_NEURONS:
            raise NetworkError(
                f"input: {' x '.join(map(str, self.sensor_size))} neurons are more than {MOST_NEURONS}"
            )

    @property
    def has_bias(self) -> bool:
        """Whether the layers have biases."""
        return self.bias_interval > 0.0

    @property
    def neurons(self) -> int:
        """Number of input neurons."""
        return self.width * self.height * self.polarities

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width), as of a layer: a channel for each polarity."""
        return (self.polarities, self.height, self.width)

    @property
    def sensor_size(self) -> tuple[int, int, int]:
        """(width, height, polarities), as tonic writes it."""
        return (self.width, self.height, self.polarities)

    def to_table(self) -> dict[str, Any]:
        """As plain values that TOML and JSON can hold."""
        table = asdict(self)
        for later in ("bias_interval", "dropout"):  # files of networks without stay as they were before
            if not table[later]:
                del table[later]
        return table
