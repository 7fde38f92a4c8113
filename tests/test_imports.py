"""The rooms of the house use only what stands below them."""

from pathlib import Path

import pytest

import eventsnn
from tests.imports import list_problems, walk_package

PACKAGE = Path(eventsnn.__file__).parent


def test_no_import_points_upward() -> None:
    assert walk_package(PACKAGE) == []


def test_every_room_is_known() -> None:
    # A new folder or module must be given its place in the house, or the test above would not look at it.
    entries = [path for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    rooms = {path.stem for path in entries}
    for room in rooms - {"__init__", "__main__"}:
        list_problems(f"eventsnn.{room}", "from eventsnn.errors import EventSNNError")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("eventsnn.trace.reader", "from eventsnn.simulate.run import simulate"),
        ("eventsnn.trace.reader", "def f():\n    from eventsnn.train.trainer import train"),
        ("eventsnn.trace.writer", "import eventsnn.simulate.engines"),
        ("eventsnn.simulate.engines.queue", "class A:\n    def f(self):\n        from eventsnn import plots"),
        ("eventsnn.data.nmnist", "from eventsnn.model import Network"),
        ("eventsnn.model.network", "from eventsnn.data import NMNIST"),
        ("eventsnn.events.stream", "if TYPE_CHECKING:\n    from eventsnn.trace.record import SpikeRecord"),
        ("eventsnn.simulate.run", "from eventsnn.cli.common import note"),
        ("eventsnn.learn.hm2bp", "from ..train import trainer"),
        ("eventsnn.learn.hm2bp", "import eventsnn"),
    ],
)
def test_checker_rejects_planted_import(module: str, source: str) -> None:
    assert len(list_problems(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("eventsnn.cli.demo", "from eventsnn.plots import plot_raster"),
        ("eventsnn.simulate.run", "def f():\n    from eventsnn.trace.writer import TraceWriter"),
        ("eventsnn.data.synth", "from eventsnn.encode.camera import SaccadeCamera"),
        ("eventsnn.encode.camera", "from eventsnn._ext import camera"),
        ("eventsnn.trace.writer", "from eventsnn import __version__\nimport numpy"),
    ],
)
def test_checker_accepts_downward_import(module: str, source: str) -> None:
    assert list_problems(module, source) == []
