import numpy as np

from eventsnn._ext.team import Stage
from eventsnn._ext.work_counter import WorkCounter

class Update:
    blocks: int

def make_update(
    weights: np.ndarray,
    gradient: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    decay: np.ndarray,
    row_sum: np.ndarray,
    row_square: np.ndarray,
    gradient_square: np.ndarray,
    scale: float,
    step: float,
    beta1: float,
    beta2: float = ...,
    floor: float = ...,
    shrink: float = ...,
    nesterov: bool = ...,
) -> Update: ...
def sum_rows(weights: np.ndarray, sums: np.ndarray, counter: WorkCounter) -> None: ...
def update_blocks(update: Update, counter: WorkCounter) -> Stage: ...
def complete_blocks(gradient: np.ndarray, own: np.ndarray, update: Update | None) -> Stage: ...
