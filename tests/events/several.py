"""Files that hold several event streams, made byte by byte: AEDAT 4 and bags of ROS 1."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eventsnn.events import EventStream

_AEDAT4_EVENT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("on", "u1"), ("pad", "V3")])


def _aedat4_packet(number: int, stream: EventStream) -> bytes:
    """A packet of events: a FlatBuffers table with one vector of structs."""
    rows = np.zeros(len(stream), _AEDAT4_EVENT)
    for name, of in (("t", "t"), ("x", "x"), ("y", "y"), ("on", "p")):
        rows[name] = stream.events[of]
    # root at 16; its vtable (6 bytes) at 10: one field, 4 bytes into the table; then the vector.
    table = struct.pack("<I4sHHHHiI", 16, b"EVTS", 0, 6, 8, 4, 6, 4) + struct.pack("<I", len(rows))
    body = struct.pack("<I", len(table) + rows.nbytes) + table + rows.tobytes()
    return struct.pack("<ii", number, len(body)) + body


def write_aedat4(
    path: Path, streams: Mapping[int, tuple[str, str, EventStream | None]], parts: int = 2, output: str = ""
) -> None:
    """Write streams by number: type ("EVTS", "FRME"), name of the camera, events; packets take turns.

    `output` is the name of the streams' outputs, with their number.
    """
    nodes = "".join(
        f'<node name="{number}" path="/mainloop/Recorder/outInfo/{number}/">'
        '<attr key="compression" type="string">NONE</attr>'
        f'<attr key="originalOutputName" type="string">{output and output + str(number)}</attr>'
        f'<attr key="typeIdentifier" type="string">{kind}</attr><node name="info">'
        '<attr key="sizeX" type="int">64</attr><attr key="sizeY" type="int">48</attr>'
        f'<attr key="source" type="string">{name}</attr></node></node>'
        for number, (kind, name, _) in streams.items()
    )
    text = f'<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">{nodes}</node></dv>'
    data = text.encode() + bytes(1 + -(len(text) + 1) % 4)
    # root at 24; its vtable at 14: compression 20, table of packets 8, description 4 bytes into the table.
    header = struct.pack("<I4sHHHHHHHH", 24, b"IOHE", 0, 0, 0, 10, 24, 20, 8, 4) + struct.pack(
        "<iIqiiI", 10, 20, -1, 0, 0, len(text)
    )
    file = b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(header) + len(data)) + header + data
    for part in range(parts):
        for number, (_, _, stream) in streams.items():
            if stream is not None:
                bounds = [len(stream) * k // parts for k in (part, part + 1)]
                events = stream.events[slice(*bounds)]
                file += _aedat4_packet(number, EventStream._trusted(events, stream.sensor_size))
    path.write_bytes(file)


def write_bag(path: Path, topics: Mapping[str, tuple[str, EventStream]], parts: int = 2) -> None:
    """Write streams by topic: type of the messages, and events; messages take turns."""
    from rosbags.rosbag1 import Writer

    with Writer(path) as bag:
        connections = {
            topic: bag.add_connection(topic, kind, msgdef="Header header\n", md5sum="0" * 32)
            for topic, (kind, _) in topics.items()
        }
        for part in range(parts):
            for topic, (_, stream) in topics.items():
                bounds = [len(stream) * k // parts for k in (part, part + 1)]
                events = stream.events[slice(*bounds)]
                rows = np.empty(len(events), np.dtype("<u2,<u2,<u4,<u4,u1"))
                seconds, rest = np.divmod(events["t"], 10**6)
                columns = (events["x"], events["y"], seconds, rest * 1000, events["p"])
                for name, column in zip(rows.dtype.names or (), columns, strict=True):
                    rows[name] = column
                width, height, _ = stream.sensor_size
                data = struct.pack("<IIII3sIII", 0, 0, 0, 3, b"dvs", height, width, len(rows))
                bag.write(connections[topic], (part + 1) * 1000, data + rows.tobytes())
