import numpy as np

from eventsnn._ext.positions import PositionInput, PositionSpikes
from eventsnn._ext.team import Stage
from eventsnn._ext.work_counter import WorkCounter

def learn_positions(
    input: PositionInput,
    spikes: PositionSpikes,
    threads: int,
    weights: np.ndarray,
    above: np.ndarray,
    row_sum: np.ndarray,
    threshold: float,
    divisor: float,
    silent_spsp: float,
    silent_ratio: float,
    effect_ratio: bool,
    first: bool,
    gradient: np.ndarray,
    targets: np.ndarray,
    below: np.ndarray,
    counter: WorkCounter,
) -> Stage: ...
