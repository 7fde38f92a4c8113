"""Draws gestures.png: a recording of each class of `eventsnn synth --images gestures`.

    python docs/images/gestures.py

Four frames of the hand, and the events of 50 ms (ON red, OFF blue).
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np

import eventsnn as es
from eventsnn.encode.gestures import GESTURES, Scene

FRAMES = (0.0, 0.33, 0.67, 1.0)
WINDOW_US = (150_000, 200_000)
COLUMNS = 2  # of classes


def main() -> None:
    camera = es.data.GESTURES_CAMERA
    rows = -(-len(GESTURES) // COLUMNS)
    figure, axes = plt.subplots(
        rows, COLUMNS * (len(FRAMES) + 1), figsize=(10, 1.0 * rows), facecolor="white", squeeze=False
    )
    for ax in axes.flat:
        ax.set_axis_off()
    for label, gesture in enumerate(GESTURES):
        row, first = label % rows, label // rows * (len(FRAMES) + 1)
        scene = Scene.draw(gesture, camera.width, camera.height, np.random.default_rng([1, label]))
        places = [*axes[row, first : first + len(FRAMES)]]
        for ax, frame in zip(places, scene.frames(np.array(FRAMES)), strict=True):
            ax.imshow(1.0 - frame, cmap="gray", vmin=0, vmax=1)
        places[0].set_title(gesture.replace("_", " "), fontsize=8, loc="left", pad=2)
        events = es.data.record_gesture(camera, label, np.random.default_rng([1, label])).events
        shown = events[(events["t"] >= WINDOW_US[0]) & (events["t"] < WINDOW_US[1])]
        picture = np.ones((camera.height, camera.width, 3))
        picture[shown["y"], shown["x"]] = np.where(
            shown["p"][:, None] == 1, (0.84, 0.15, 0.16), (0.12, 0.47, 0.71)
        )
        axes[row, first + len(FRAMES)].imshow(picture)
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.97, wspace=0.04, hspace=0.22)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=90)


if __name__ == "__main__":
    main()
