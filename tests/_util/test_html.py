"""Tables and pictures of results in a notebook."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.image import imread

import eventsnn as es
from eventsnn._util import html
from tests.train.toy import toy_data, toy_network


def read_picture(text: str) -> np.ndarray:
    """Pixels (rows, columns, 4) of the picture in an HTML text."""
    (source,) = re.findall(r"data:image/png;base64,([^']*)", text)
    return imread(io.BytesIO(base64.b64decode(source)), format="png")


def test_picture_shows_each_pixel_enlarged() -> None:
    on = np.array([[0, 3, 0], [1, 0, 0]])
    off = np.array([[0, 0, 2], [0, 0, 0]])
    pixels = read_picture(html.paint(on, off))
    scale = min(html.WIDTH // 3, html.HEIGHT // 2)
    assert pixels.shape == (2 * scale, 3 * scale, 4)
    cells = pixels[scale // 2 :: scale, scale // 2 :: scale]
    np.testing.assert_array_equal(cells[..., 3] > 0, (on + off) > 0)
    np.testing.assert_allclose(cells[0, 1, :3] * 255, html.BLUE, atol=0.5)
    np.testing.assert_allclose(cells[0, 2, :3] * 255, html.ORANGE, atol=0.5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (3000, 7), (720, 1280)])
def test_pictures_of_any_size_are_small(shape: tuple[int, int]) -> None:
    values = np.zeros(shape)
    values[-1, -1] = 1.0
    pixels = read_picture(html.paint(values))
    assert pixels.shape[0] <= html.HEIGHT
    assert pixels.shape[1] <= html.WIDTH
    assert pixels[-1, -1, 3] == 1.0
    assert not read_picture(html.paint(np.zeros(shape)))[..., 3].any()


def test_drawings_are_svg() -> None:
    for text in (
        html.draw_chain([2312, 800, 10]),
        html.draw_lines([([3.0, 1.0, 2.0], html.BLUE), ([1.0], html.GREY)]),
    ):
        assert ElementTree.fromstring(text).tag == "svg"


def test_texts_are_escaped() -> None:
    text = html.describe("<a>", [("x", "<b>"), ("y", "&")])
    assert "&lt;a&gt;" in text
    assert "&lt;b&gt;" in text
    assert "<b>" not in text.replace("<b>&lt;a&gt;</b>", "")


def test_results_describe_themselves(tmp_path) -> None:
    network, data = toy_network(), toy_data()
    stream = data.stream(0)
    run = es.simulate(network, stream, trace=tmp_path / "t.h5")
    result = es.train(network, data, epochs=2, out=tmp_path / "run", valid=data)
    evaluation = es.evaluate(result.network, data)
    assert "60" in network._repr_html_()
    assert f"<td style='text-align:right;padding:1px 8px'>{len(stream):,}</td>" in stream._repr_html_()
    assert read_picture(stream._repr_html_())[..., 3].any()
    assert read_picture(run._repr_html_())[..., 3].any()
    loud = network.with_weights({key: 5.0 * abs(weights) for key, weights in network.weights.items()})
    after = es.simulate(loud, stream)
    assert after.decision is not None
    assert f"decision {after.decision_name or after.decision}" in after._repr_html_()
    assert f"{100 * evaluation.accuracy:.2f} %" in evaluation._repr_html_()
    assert "polyline" in result._repr_html_()
    with es.Trace(tmp_path / "t.h5") as trace:
        assert "1 sample;" in trace._repr_html_()
        assert read_picture(trace._repr_html_())[..., 3].any()
    assert trace._repr_html_().endswith("closed>")


def test_empty_ones_too(tmp_path) -> None:
    stream = es.EventStream.from_arrays([], [], [], [], sensor_size=(6, 5, 2))
    assert "<td style='text-align:right;padding:1px 8px'>-</td>" in stream._repr_html_()
    assert "decision none" in es.simulate(toy_network(), stream)._repr_html_()
