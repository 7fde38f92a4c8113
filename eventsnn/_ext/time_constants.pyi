import numpy as np

from eventsnn._ext.layer_events import LayerEvents
from eventsnn._ext.work_counter import WorkCounter

BY_COLUMNS: int

def fill_changes(
    times: np.ndarray, unit_ptr: np.ndarray, constants: np.ndarray, changes: np.ndarray, counter: WorkCounter
) -> None: ...
def derive_blocks(
    weights: np.ndarray,
    events: LayerEvents,
    changes: np.ndarray,
    charges: np.ndarray,
    found: np.ndarray,
    counter: WorkCounter,
) -> None: ...
