import numpy as np

from eventsnn._ext.patches import Ready

class LayerEvents:
    units: int
    longest: int
    single: bool

    def __init__(
        self,
        constants: np.ndarray,
        times: np.ndarray,
        neurons: np.ndarray,
        unit_ptr: np.ndarray,
        grid: np.ndarray,
        scale: np.ndarray,
        table: np.ndarray,
        post_times: np.ndarray,
        post_neurons: np.ndarray,
        post_ptr: np.ndarray,
        after: np.ndarray,
        ready: Ready | None = ...,
    ) -> None: ...
