from eventsnn.simulate.engines import ENGINES, Engine


class OneLayer(Engine):
    """The readable engine, for networks of a single layer."""

    name = "one-layer"
    dtypes = ("float64",)

    def refusal(self, network, settings):
        if len(network.layers) == 1:
            return None
        return f"engine 'one-layer' runs networks of one layer, and this one has {len(network.layers)}"

    def start(self, network, settings):
        return ENGINES.get("twin").start(network, settings)


ENGINE = OneLayer()
ENGINES.register("one-layer", ENGINE)
