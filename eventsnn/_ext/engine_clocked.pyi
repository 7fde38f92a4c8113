import numpy as np

LANES: int
KINDS: dict[str, int]

class ClockedLayer:
    parts: list[ClockedLayer]
    def __init__(
        self,
        numbers: np.ndarray,
        constants: np.ndarray,
        refractory: int,
        latency: int,
        exact: bool,
        ptr: np.ndarray,
        patch: np.ndarray,
        offset: np.ndarray,
        cells: np.ndarray,
        row_of: np.ndarray,
        id_of: np.ndarray,
        weights: np.ndarray,
        parts: list[ClockedLayer],
    ) -> None: ...
    @property
    def size(self) -> int: ...

class ClockedLink:
    def __init__(
        self,
        source: int,
        target: int,
        latency: int,
        ptr: np.ndarray,
        ids: np.ndarray,
        weights: np.ndarray,
    ) -> None: ...

class ClockedRun:
    steps: int
    def __init__(
        self,
        layers: list[ClockedLayer],
        times: np.ndarray,
        neurons: np.ndarray,
        area: int,
        polarities: int,
        steps: int,
        bias: np.ndarray | None = None,
        links: list[ClockedLink] | None = None,
        carried: tuple[
            int,
            list[tuple[np.ndarray, np.ndarray, np.ndarray]],
            list[tuple[np.ndarray, np.ndarray]],
        ]
        | None = None,
    ) -> None: ...
    def counts(self, number: int) -> np.ndarray: ...
    def fired(self, number: int) -> tuple[np.ndarray, np.ndarray]: ...
