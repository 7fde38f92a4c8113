import numpy as np

from eventsnn._ext.team import Stage
from eventsnn._ext.work_counter import WorkCounter

class PositionSpikes:
    samples: int
    channels: int
    positions: int
    blocks: int
    counts: np.ndarray
    def __init__(self, channels: int, positions: int, samples: int) -> None: ...
    def join(self, first: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...
    def by_block(self, sample: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]: ...

class PositionInput:
    single: bool
    below: PositionSpikes | None
    def __init__(
        self,
        below: PositionSpikes | None,
        times: np.ndarray,
        neurons: np.ndarray,
        ptr: np.ndarray,
        delay: float,
        bias_times: np.ndarray,
        bias_ptr: np.ndarray,
        bias: int,
        kept: np.ndarray,
        channels: int,
        cell_ptr: np.ndarray,
        places: np.ndarray,
        area: int,
        positions: int,
        constants: np.ndarray,
        single: bool,
        most: int,
    ) -> None: ...
    def arrivals(self, sample: int) -> tuple[np.ndarray, np.ndarray]: ...

class SweepPositions(Stage):
    failed: bool

def sweep_positions(
    weights: np.ndarray,
    input: PositionInput,
    t_stop: float,
    spikes: PositionSpikes,
    counter: WorkCounter,
) -> SweepPositions: ...
