import numpy as np

class WindowsState:
    now: float
    def __init__(
        self,
        constants: np.ndarray,
        frames: np.ndarray,
        resets: np.ndarray,
        sizes: np.ndarray,
        graph: np.ndarray,
        delays: np.ndarray,
        ptr: np.ndarray,
        split: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
        length: float,
    ) -> None: ...
    def is_finite(self) -> bool: ...
    def spikes(self, layer: int) -> tuple[np.ndarray, np.ndarray]: ...
