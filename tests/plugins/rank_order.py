from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from eventsnn.encode import ENCODERS
from eventsnn.events import EventStream


@dataclass(frozen=True)
class RankOrder:
    """Inputs fire once each, the largest value first: Thorpe & Gautrais, Rank order coding, CNS 1997."""

    takes: ClassVar[str] = "values"
    random: ClassVar[bool] = False

    step_us: int = 1000
    most: int = 50

    def encode(self, values):
        array = np.asarray(values, float)
        order = np.argsort(-array, axis=None, kind="stable")[: min(self.most, np.count_nonzero(array))]
        y, x = np.unravel_index(order, array.shape)
        t = np.arange(len(order)) * self.step_us
        return EventStream.from_arrays(t, x, y, sensor_size=(array.shape[1], array.shape[0], 1))


ENCODERS.register("rank-order", RankOrder)
