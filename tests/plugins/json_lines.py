import json

from eventsnn.data import SOURCES, ListDataset
from eventsnn.errors import EventFileError
from eventsnn.events import EventStream


def open_json_lines(path, *, sensor=(8, 8, 2), limit=None):
    """A file with a recording in each line: {"label": "up", "events": [[t_us, x, y, p], ...]}."""
    streams, labels = [], []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                recording = json.loads(line)
                columns = zip(*recording["events"], strict=True)
                streams.append(EventStream.from_arrays(*columns, sensor_size=sensor))
                labels.append(recording["label"])
            except (ValueError, KeyError, TypeError) as error:
                raise EventFileError(path, f"line {number} is not a recording: {error}") from None
    return ListDataset(streams[:limit], labels[:limit])


SOURCES.register("json-lines", open_json_lines)
