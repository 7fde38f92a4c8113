"""The list of optimisers: a new one is a module beside this one and a line here."""

from __future__ import annotations

from eventsnn._util.registry import Registry
from eventsnn.errors import TrainingError
from eventsnn.learn.optimisers.method import Method

OPTIMISERS: Registry[type[Method]] = Registry(
    "optimiser",
    "optimiser: name",
    {
        "adam": "eventsnn.learn.optimisers.adam:Adam",
        "sgd": "eventsnn.learn.optimisers.sgd:SGD",
        "adamw": "eventsnn.learn.optimisers.adamw:AdamW",
        "nesterov": "eventsnn.learn.optimisers.nesterov:Nesterov",
    },
    TrainingError,
    "eventsnn.optimisers",
)
"""All optimisers, by name; other packages may add theirs."""
