import numpy as np

BAD: int
DISORDERED: int
TIED: int

def check_events(times: np.ndarray, neurons: np.ndarray, inputs: int, out: np.ndarray) -> int: ...
