"""Old home of convolutions and pooling layers; see `eventsnn.model`."""

from eventsnn._util.lazy import on_demand

__getattr__ = on_demand(__name__, {}, moved=dict.fromkeys(("Conv", "Pool"), "eventsnn.model"))
