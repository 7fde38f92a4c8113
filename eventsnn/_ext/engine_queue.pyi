import numpy as np

from eventsnn._ext.queue_state import QueueState

def run_queue(
    state: QueueState,
    weights: np.ndarray,
    times: np.ndarray,
    indices: np.ndarray,
    u: np.ndarray,
    i: np.ndarray,
    end: np.ndarray,
    next_spike: np.ndarray,
    refractory: np.ndarray,
    candidates: np.ndarray,
    t_stop: float,
    budget: int,
    known: bool = True,
) -> bool: ...
