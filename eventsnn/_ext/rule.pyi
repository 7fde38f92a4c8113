import numpy as np

from eventsnn._ext.spsp import LayerEvents
from eventsnn._ext.work_counter import WorkCounter

def learn_blocks(
    weights: np.ndarray,
    events: LayerEvents,
    charges: np.ndarray,
    post_counts: np.ndarray,
    pre_counts: np.ndarray,
    delta: np.ndarray,
    lateral: np.ndarray,
    row_sum: np.ndarray,
    divisor: float,
    silent_spsp: float,
    silent_ratio: float,
    effect_ratio: bool,
    by_sample: bool,
    gradient: np.ndarray,
    below: np.ndarray,
    counter: WorkCounter,
) -> None: ...
def lateral_factors(
    events: LayerEvents,
    charges: np.ndarray,
    counts: np.ndarray,
    labels: np.ndarray,
    delta: np.ndarray,
    strength: float,
    lateral: np.ndarray,
    counter: WorkCounter,
) -> None: ...
