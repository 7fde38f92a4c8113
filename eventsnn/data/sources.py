"""Data sources by name, for the command line; other packages may add theirs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from eventsnn._util.arguments import check_parameters
from eventsnn._util.registry import Registry
from eventsnn.data.source import LabelledSource
from eventsnn.errors import TrainingError

SOURCES: Registry[Callable[..., LabelledSource]] = Registry(
    "source",
    "source",
    {
        "folder": "eventsnn.data.folder:Folder",
        "nmnist": "eventsnn.data.nmnist:NMNIST",
        "packed": "eventsnn.data.packed:Packed",
        "images": "eventsnn.data.images:Images.open",
        "speech": "eventsnn.data.speech:Speech",
        "yinyang": "eventsnn.data.yinyang:YinYang",
    },
    TrainingError,
    "eventsnn.sources",
)
"""What opens a data set, by name: callables of a path and options of their own."""


def open_source(name: str, path: str | os.PathLike[str], **options: Any) -> LabelledSource:
    """Open a data set of a named kind: ``open_source("folder", "N-MNIST", split="Train")``.

    Parameters
    ----------
    name : str
        See `SOURCES`.
    path : path
        The data set.
    **options
        Parameters of that source.

    Raises
    ------
    TrainingError
        An unknown name or option.
    EventFileError
        The data set cannot be opened.
    """
    make = SOURCES.get(name)
    check_parameters(f"source {name!r}", make, options, TrainingError, skip=1)
    return make(path, **options)
