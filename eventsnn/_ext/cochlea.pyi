import numpy as np

def cochleagram(
    signal: np.ndarray,
    sections: np.ndarray,
    gains: np.ndarray,
    smooth: np.ndarray,
    decimation: int,
    differ: bool,
    state: np.ndarray,
    out: np.ndarray,
) -> None: ...
def ben_spiker(
    rest: np.ndarray, kernel: np.ndarray, threshold: float, multiplicative: bool, spikes: np.ndarray
) -> None: ...
