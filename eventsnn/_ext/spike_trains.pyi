import numpy as np

def match_trains(
    before: np.ndarray,
    before_ptr: np.ndarray,
    after: np.ndarray,
    after_ptr: np.ndarray,
    within: float,
    partner: np.ndarray,
) -> None: ...
def add_van_rossum(times: np.ndarray, signs: np.ndarray, ptr: np.ndarray, tau: float) -> float: ...
def find_changed(
    times: np.ndarray,
    neurons: np.ndarray,
    new_times: np.ndarray,
    new_neurons: np.ndarray,
    changed: np.ndarray,
) -> float: ...
