import numpy as np

from eventsnn._ext.spsp_matrix import SpspMatrix
from eventsnn._ext.work_counter import WorkCounter

def lateral_factors(
    spsp: SpspMatrix,
    labels: np.ndarray,
    delta: np.ndarray,
    threshold: float,
    strength: float,
    lateral: np.ndarray,
    counter: WorkCounter,
) -> None: ...
