import numpy as np

from eventsnn._ext.store import ForcedSpikes, SpikeStore
from eventsnn._ext.team import Stage

def count_errors(
    store: SpikeStore,
    forced: ForcedSpikes,
    labels: np.ndarray,
    weights: np.ndarray,
    durations: np.ndarray,
    desired: int,
    undesired: int,
    margin: float,
    forces: bool,
    threshold: float,
    counts: np.ndarray,
    loss: np.ndarray,
    delta: np.ndarray,
    there: np.ndarray,
) -> Stage: ...
