import numpy as np

from eventsnn._ext.spsp_matrix import SpspMatrix
from eventsnn._ext.team import Stage
from eventsnn._ext.work_counter import WorkCounter

def learn_units(
    matrices: list[SpspMatrix],
    weights: np.ndarray,
    delta: np.ndarray,
    lateral: np.ndarray,
    row_sum: np.ndarray,
    threshold: float,
    divisor: float,
    silent_spsp: float,
    silent_ratio: float,
    effect_ratio: bool,
    units_first: bool,
    by_unit: bool,
    gradient: np.ndarray,
    below: np.ndarray,
    counter: WorkCounter,
    self_terms: np.ndarray | None = ...,
) -> Stage: ...
def direct_factors(
    delta: np.ndarray,
    counts: np.ndarray,
    row_sum: np.ndarray,
    threshold: float,
    silent_spsp: float,
    silent_ratio: float,
    factor: np.ndarray,
    fill: np.ndarray,
) -> Stage: ...
