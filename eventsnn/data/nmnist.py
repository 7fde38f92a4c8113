"""N-MNIST: a labelled folder with a sensor of 34 x 34 x 2."""

from __future__ import annotations

import os
from typing import Any

from eventsnn.data.folder import Folder


class NMNIST(Folder):
    """N-MNIST, a `Folder` whose sensor is 34 x 34 x 2 if no other is given."""

    def __init__(
        self, root: str | os.PathLike[str], *, sensor: tuple[int, ...] | None = None, **options: Any
    ) -> None:
        size = sensor if sensor is not None or "reading" in options else (34, 34, 2)
        super().__init__(root, sensor=size, **options)
