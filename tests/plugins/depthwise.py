from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from eventsnn.model import LAYERS, SpatialLayer, WeightedLayer


@dataclass(frozen=True)
class DepthwiseConv(SpatialLayer, WeightedLayer):
    """A convolution of every map by itself, with weights (channels, cells of the kernel and bias)."""

    kind: ClassVar[str] = "depthwise"
    depthwise: ClassVar[bool] = True
    ties_weights: ClassVar[bool] = True  # those from other maps are always 0

    kernel: int = 3
    stride: int = 1
    name: str | None = None

    @property
    def channels(self):
        return self.known_source[0]

    @property
    def window(self):
        return (self.kernel, self.kernel), (self.stride, self.stride)

    @property
    def weight_shape(self):
        return (self.channels, self.kernel**2 + self.has_bias)

    def shared_weights(self, weights: Any):
        shared = np.zeros((self.channels, self.inputs), np.asarray(weights).dtype)
        shared[self.connected] = np.ravel(weights)
        return shared

    def own_weights(self, shared):
        return shared[self.connected].reshape(self.weight_shape)


LAYERS.register("depthwise", DepthwiseConv)
