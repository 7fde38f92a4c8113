"""What results look like in a notebook: a small table and a small picture, with no library."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

# Okabe & Ito 2008: apart for colour-blind readers, and readable on light and on dark pages.
BLUE, ORANGE, GREY = (0, 114, 178), (230, 159, 0), (128, 128, 128)
WIDTH, HEIGHT = 280, 140  # pixels of a picture


def describe(heading: str, rows: Iterable[Sequence[object]], picture: str = "", *, head: bool = True) -> str:
    """A heading, a table (`head`: its first row is its head), and a picture beside it, as HTML."""
    table = ""
    for number, row in enumerate(rows):
        tag = "th" if head and not number else "td"
        sides = ["left", *["right"] * (len(row) - 1)]
        cells = "".join(
            f"<{tag} style='text-align:{side};padding:1px 8px'>{escape(str(cell))}</{tag}>"
            for side, cell in zip(sides, row, strict=True)
        )
        table += f"<tr>{cells}</tr>"
    return (
        f"<div><b>{escape(heading)}</b><div style='display:flex;gap:16px;align-items:flex-start'>"
        f"<table>{table}</table>{picture}</div></div>"
    )


def paint(on: np.ndarray, off: np.ndarray | None = None) -> str:
    """A picture of what there is much of: blue, and orange for `off`; float or int arrays (rows, columns).

    Small ones are enlarged by whole pixels, larger ones than the picture are summed up in blocks.
    """
    layers = [_fit(np.asarray(on, np.float64))]
    if off is not None:
        layers.append(_fit(np.asarray(off, np.float64)))
    pixels = np.zeros((*layers[0].shape, 4), np.uint8)
    strongest = np.stack(layers).argmax(axis=0)
    amount = np.stack(layers).max(axis=0)
    bright = float(np.percentile(amount[amount > 0], 98)) if (amount > 0).any() else 1.0
    pixels[..., :3] = np.array([BLUE, ORANGE], np.uint8)[strongest]
    pixels[..., 3] = np.rint(255 * np.clip(amount / bright, 0.0, 1.0) ** 0.7)
    scale = max(1, min(WIDTH // pixels.shape[1], HEIGHT // pixels.shape[0]))
    pixels = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    source = base64.b64encode(encode_png(pixels)).decode()
    return f"<img src='data:image/png;base64,{source}' style='border:1px solid #8886' alt=''>"


def _fit(values: np.ndarray) -> np.ndarray:
    """At most `HEIGHT` rows and `WIDTH` columns: sums of blocks."""
    for axis, most in ((0, HEIGHT), (1, WIDTH)):
        block = -(-values.shape[axis] // most)
        values = np.add.reduceat(values, np.arange(0, values.shape[axis], max(1, block)), axis=axis)
    return values


def paint_spikes(trains: Sequence[tuple[np.ndarray, np.ndarray, int]]) -> str:
    """A raster: (times, neurons, number of neurons) of layers, the first on top."""
    end = max((float(times[-1]) for times, _, _ in trains if len(times)), default=1.0) or 1.0
    rows = HEIGHT // max(1, len(trains)) - 2
    bands = []
    for times, neurons, size in trains:
        place = np.minimum(neurons.astype(np.int64) * rows // size, rows - 1)
        column = np.minimum((times * (WIDTH / end)).astype(np.int64), WIDTH - 1)
        band = np.bincount(place * WIDTH + column, minlength=rows * WIDTH).reshape(rows, WIDTH)
        bands += [np.minimum(band, 1), np.zeros((2, WIDTH))]
    grid = np.concatenate(bands)
    return paint(grid)


def draw_lines(lines: Sequence[tuple[Sequence[float], tuple[int, int, int]]]) -> str:
    """Curves over the same steps, each from its lowest to its highest value, as SVG."""
    paths = ""
    for values, colour in lines:
        table = np.asarray(values, np.float64)
        low, span = float(table.min()), float(np.ptp(table)) or 1.0
        across = np.linspace(5, WIDTH - 5, max(2, len(table)))[: len(table)]
        points = zip(across, HEIGHT - 8 - (table - low) / span * (HEIGHT - 16), strict=True)
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        paths += f"<polyline points='{text}' fill='none' stroke='rgb{colour}' stroke-width='2'/>"
    return f"<svg width='{WIDTH}' height='{HEIGHT}' style='border:1px solid #8886'>{paths}</svg>"


def draw_chain(sizes: Sequence[int]) -> str:
    """Layers as bars from left to right, their heights by the logarithm of their sizes, as SVG."""
    step = WIDTH / len(sizes)
    top = np.log1p(max(sizes))
    bars = ""
    for number, size in enumerate(sizes):
        height = max(4.0, np.log1p(size) / top * (HEIGHT - 26))
        x, y = number * step + 0.2 * step, (HEIGHT - 16 - height) / 2
        colour = ORANGE if number == 0 else BLUE
        bars += (
            f"<rect x='{x:.1f}' y='{y:.1f}' width='{0.6 * step:.1f}' height='{height:.1f}' rx='3' "
            f"fill='rgb{colour}'/>"
            f"<text x='{x + 0.3 * step:.1f}' y='{HEIGHT - 4}' text-anchor='middle' font-size='11' "
            f"fill='rgb{GREY}'>{size:,}</text>"
        )
    return f"<svg width='{WIDTH}' height='{HEIGHT}'>{bars}</svg>"


def encode_png(pixels: np.ndarray) -> bytes:
    """PNG of uint8 array (rows, columns, 4): red, green, blue, opacity."""
    rows, columns, _ = pixels.shape
    lines = np.zeros((rows, 1 + 4 * columns), np.uint8)  # a line begins with its filter, 0: none
    lines[:, 1:] = pixels.reshape(rows, -1)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 6, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines.tobytes(), 6)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
