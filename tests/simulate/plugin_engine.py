"""An engine as a third party would write one: a file of its own, and one line that registers it."""

from __future__ import annotations

from eventsnn.model import Network
from eventsnn.simulate.engines import Engine, Run, Settings, find_engine


class OneDenseLayer(Engine):
    """The readable engine, for networks of a single layer."""

    name = "single"
    dtypes = ("float64",)

    def refusal(self, network: Network, settings: Settings) -> str | None:
        if len(network.layers) == 1:
            return None
        return f"engine 'single' runs networks of one layer, and this one has {len(network.layers)}"

    def start(self, network: Network, settings: Settings) -> Run:
        return find_engine("twin").start(network, settings)


ENGINE = OneDenseLayer()
