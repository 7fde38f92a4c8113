import numpy as np

from eventsnn._ext.patches import Ready
from eventsnn._ext.store import SpikeStore
from eventsnn._ext.team import Stage
from eventsnn._ext.work_counter import WorkCounter

def sweep_blocks(
    weights: np.ndarray,
    lateral: np.ndarray,
    constants: np.ndarray,
    events: np.ndarray,
    sample_ptr: np.ndarray,
    table: np.ndarray,
    t_stop: float,
    store: SpikeStore,
    counter: WorkCounter,
    most: int = ...,
    u: np.ndarray | None = ...,
    i: np.ndarray | None = ...,
    end: np.ndarray | None = ...,
    now: np.ndarray | None = ...,
    until: float = ...,
    by_sample: bool = ...,
) -> Stage: ...
def sweep_patches(
    weights: np.ndarray,
    ready: Ready,
    t_stop: float,
    store: SpikeStore,
    turns: WorkCounter,
    most: int = ...,
    u: np.ndarray | None = ...,
    i: np.ndarray | None = ...,
    end: np.ndarray | None = ...,
    now: np.ndarray | None = ...,
    until: float = ...,
) -> None: ...
