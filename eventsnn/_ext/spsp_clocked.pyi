import numpy as np

from eventsnn._ext.engine_clocked import ClockedLayer, ClockedRun

def lateral_spsp(layer: ClockedLayer, run: ClockedRun, number: int, e: np.ndarray) -> None: ...
