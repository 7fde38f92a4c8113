import numpy as np

from eventsnn._ext.records import Records

def prepare(
    records: Records,
    sensor_size: tuple[int, int, int],
    indices: np.ndarray,
    key: int,
    shift: int,
    drop: int,
    time_scale: float,
    latest: int,
    times: np.ndarray,
    neurons: np.ndarray,
    ptr: np.ndarray,
    status: np.ndarray,
) -> None: ...
