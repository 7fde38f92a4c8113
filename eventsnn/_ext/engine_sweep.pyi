import numpy as np

from eventsnn._ext.store import SpikeStore
from eventsnn._ext.turns import Turns

def sweep_blocks(
    weights: np.ndarray,
    lateral: np.ndarray,
    constants: np.ndarray,
    times: np.ndarray,
    neurons: np.ndarray,
    sample_ptr: np.ndarray,
    grid: np.ndarray,
    scale: np.ndarray,
    table: np.ndarray,
    t_stop: float,
    store: SpikeStore,
    turns: Turns,
    most: int = ...,
) -> None: ...
