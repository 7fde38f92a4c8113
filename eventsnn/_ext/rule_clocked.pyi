import numpy as np

from eventsnn._ext.engine_clocked import ClockedLayer, ClockedRun
from eventsnn._ext.work_counter import WorkCounter

def learn_layer(
    layer: ClockedLayer,
    runs: list[ClockedRun],
    number: int,
    delta: np.ndarray,
    factor: np.ndarray,
    row_sum: np.ndarray,
    threshold: float,
    silent_spsp: float,
    silent_ratio: float,
    effect_ratio: bool,
    forced: np.ndarray,
    gradient: np.ndarray,
    below: np.ndarray,
    counter: WorkCounter,
) -> None: ...
