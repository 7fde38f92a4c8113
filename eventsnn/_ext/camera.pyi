import numpy as np

def detect_changes(
    light: np.ndarray,
    times_us: np.ndarray,
    rise: np.ndarray,
    fall: np.ndarray,
    refractory_us: float,
    state: np.ndarray,
    pixels: np.ndarray,
    t: np.ndarray,
    p: np.ndarray,
) -> int: ...
def low_pass(
    light: np.ndarray, times_us: np.ndarray, tau_us: float, state: np.ndarray, seen: np.ndarray
) -> None: ...
