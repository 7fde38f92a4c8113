import numpy as np

from eventsnn._ext.layer_events import LayerEvents

class SpspMatrix:
    units: int
    positions: int
    rows: int
    width: int

class ExactSpsp(SpspMatrix):
    def __init__(self, events: LayerEvents, charges: np.ndarray, sources: np.ndarray) -> None: ...
