"""Old home of reservoirs; see `eventsnn.model`."""

from eventsnn._util.lazy import on_demand

__getattr__ = on_demand(__name__, {}, moved={"Reservoir": "eventsnn.model"})
