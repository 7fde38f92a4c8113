import numpy as np

from eventsnn._ext.layer_events import LayerEvents
from eventsnn._ext.optimiser import Update
from eventsnn._ext.team import Stage
from eventsnn._ext.work_counter import WorkCounter

def reverse_blocks(
    out: np.ndarray,
    events: LayerEvents,
    charges: np.ndarray,
    silent: np.ndarray,
    rows: np.ndarray,
    n_rows: np.ndarray,
    ends: np.ndarray,
    when: np.ndarray,
    last: np.ndarray,
    n_times: np.ndarray,
    weights: np.ndarray,
    down: np.ndarray,
    update: Update | None,
    counter: WorkCounter,
) -> Stage: ...
def reverse_patches(
    out: np.ndarray,
    events: LayerEvents,
    charges: np.ndarray,
    silent: np.ndarray,
    weights: np.ndarray,
    down: np.ndarray,
) -> None: ...
def point_currents(
    weights: np.ndarray, events: LayerEvents, currents: np.ndarray, counter: WorkCounter
) -> None: ...
