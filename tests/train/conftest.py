"""A finished training run, shared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from eventsnn.train.trainer import TrainResult
from tests.train.toy import toy_train

EPOCHS = 8


@dataclass(frozen=True)
class Trained:
    """A finished run and its folder."""

    result: TrainResult
    folder: Path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Eight epochs, undisturbed; for tests that only look at what came of them."""
    folder = tmp_path_factory.mktemp("trained")
    return Trained(toy_train(folder, epochs=EPOCHS), folder)
