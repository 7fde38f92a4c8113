import numpy as np

class Patches:
    units: int
    longest: int
    def __init__(
        self,
        times: np.ndarray,
        neurons: np.ndarray,
        channels: int,
        cell_ptr: np.ndarray,
        places: np.ndarray,
        area: int,
        units: int,
    ) -> None: ...
    def expand(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...

class Ready:
    patches: Patches
    single: bool
    def __init__(self, patches: Patches, constants: np.ndarray, single: bool) -> None: ...
