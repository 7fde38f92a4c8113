import numpy as np

class Records:
    @property
    def most_events(self) -> int: ...
    def __len__(self) -> int: ...

def read_files(paths: list[str]) -> Records: ...
def read_words(file: int, first: np.ndarray, last: np.ndarray) -> Records: ...
def from_events(arrays: list[np.ndarray]) -> Records: ...
def prepare(
    records: Records,
    sensor_size: tuple[int, int, int],
    indices: np.ndarray,
    key: int,
    shift: int,
    drop: int,
    time_scale: float,
    times: np.ndarray,
    neurons: np.ndarray,
    ptr: np.ndarray,
    status: np.ndarray,
) -> None: ...
