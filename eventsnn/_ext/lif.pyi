from typing import Any

import numpy as np

CANDIDATE: float
TOUCH: float

def fields(constants: np.ndarray) -> dict[str, Any]: ...
