import numpy as np

from eventsnn._ext.records import Records

def code_images(
    images: np.ndarray,
    address: np.ndarray,
    address_bits: int,
    keys: np.ndarray,
    limits: np.ndarray,
    steps: int,
    step_us: int,
) -> Records: ...
