import numpy as np

from eventsnn._ext.engine_clocked import ClockedLayer, ClockedRun
from eventsnn._ext.spsp_matrix import SpspMatrix

class ClockedSpsp(SpspMatrix):
    def __init__(
        self,
        layer: ClockedLayer,
        runs: list[ClockedRun],
        number: int,
        forced: np.ndarray,
        within: bool = False,
    ) -> None: ...
