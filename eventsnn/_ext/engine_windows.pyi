import numpy as np

from eventsnn._ext.windows_state import WindowsState

GOING_ON: int
DONE: int
EXCHANGE: int

def run_windows(
    state: WindowsState,
    times: np.ndarray,
    indices: np.ndarray,
    known: float,
    t_stop: float,
    budget: int,
) -> int: ...
