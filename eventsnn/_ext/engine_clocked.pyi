import numpy as np

LANES: int
KINDS: dict[str, int]

class ClockedLayer:
    parts: list[ClockedLayer]
    def __init__(
        self,
        *,
        kind: int,
        positions: int,
        width: int,
        channels: int,
        rows: int,
        area: int,
        source_width: int,
        source_channels: int,
        source_size: int,
        threshold: float,
        tau_m: float,
        tau_s: float,
        leak: float,
        lateral: float,
        refractory: int,
        latency: int,
        exact: bool,
        weights: np.ndarray,
        parts: list[ClockedLayer],
        ptr: np.ndarray | None = None,
        patch: np.ndarray | None = None,
        offset: np.ndarray | None = None,
        cells: np.ndarray | None = None,
        row_of: np.ndarray | None = None,
        id_of: np.ndarray | None = None,
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
        silent: np.ndarray | None = None,
    ) -> None: ...
    def counts(self, number: int) -> np.ndarray: ...
    def fired(self, number: int) -> tuple[np.ndarray, np.ndarray]: ...
