import numpy as np

from eventsnn.errors import EventFileError
from eventsnn.events.formats import FORMATS, EventValidator, Match

MARK = b"TICKER 1\n"
RECORD = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "<u4")])
BLOCK = 8192 * RECORD.itemsize


class TickerFormat:
    """Lines "TICKER 1" and "width height polarities", then 16 bytes an event, little-endian."""

    name = "ticker"
    suffixes = (".tick",)

    def sniff(self, head, path):
        return Match.CONTENT if head.startswith(MARK) else Match.NO

    def open(self, path, options):
        return TickerReader(path, options)

    def writer(self, path, sensor):
        return TickerWriter(sensor)


class TickerReader:
    def __init__(self, path, options):
        self.path, self.file = path, open(path, "rb")
        if self.file.readline() != MARK:
            raise EventFileError(path, "does not begin with a line 'TICKER 1'", offset=0)
        width, height, polarities = map(int, self.file.readline().split())
        # Checks every event, and does to bad ones what the options say.
        self.validator = EventValidator(path, options, (width, height, polarities))
        self.sensor, self.anomalies = self.validator.sensor, self.validator.anomalies

    def __iter__(self):
        while block := self.file.read(BLOCK):
            if len(block) % RECORD.itemsize:
                raise EventFileError(self.path, "the last event is cut", offset=self.file.tell())
            yield self.validator.admit(*(np.frombuffer(block, RECORD)[name] for name in "txyp"))

    def close(self):
        self.file.close()


class TickerWriter:
    def __init__(self, sensor):
        self.sensor = sensor

    def start(self):
        return MARK + "{} {} {}\n".format(*self.sensor).encode()

    def feed(self, events):
        records = np.zeros(len(events), RECORD)
        for name in "txyp":
            records[name] = events[name]
        return records.tobytes()

    def finish(self):
        return b""


FORMAT = TickerFormat()
FORMATS.register("ticker", FORMAT)
