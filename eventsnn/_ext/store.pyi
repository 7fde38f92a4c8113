import numpy as np

from eventsnn._ext.team import Stage

class SpikeStore:
    blocks: int
    samples: int
    parts: int
    def __init__(self, blocks: int, samples: int, parts: int) -> None: ...
    def collect(
        self, copy: bool = ...
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]: ...

class ForcedSpikes:
    def __init__(self, samples: int) -> None: ...

def merge_trains(
    times: np.ndarray,
    neurons: np.ndarray,
    ptr: np.ndarray,
    sample_ptr: np.ndarray,
    out_times: np.ndarray,
    out_neurons: np.ndarray,
    counts: np.ndarray,
    store: SpikeStore | None = ...,
    after: np.ndarray | None = ...,
) -> Stage: ...
