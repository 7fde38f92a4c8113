import numpy as np

from eventsnn._ext.patches import Ready
from eventsnn._ext.store import ForcedSpikes, SpikeStore

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
    @staticmethod
    def coming(
        constants: np.ndarray,
        times: np.ndarray,
        neurons: np.ndarray,
        unit_ptr: np.ndarray,
        grid: np.ndarray,
        scale: np.ndarray,
        table: np.ndarray,
        store: SpikeStore,
        forced: ForcedSpikes,
    ) -> LayerEvents: ...
