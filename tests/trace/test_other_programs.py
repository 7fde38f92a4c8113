"""Other programs read traces: viewers of NeXus files, SONATA's readers, HDF5's tools"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

from eventsnn.model import Network
from eventsnn.trace import Trace


def default_plot(file: h5py.File) -> h5py.Group:
    """The group that a viewer of NeXus files opens, by the rules that h5web follows.

    From the root on, ``@default`` names a member, or says a path from the root; the first group of class
    NXdata is plotted, with the data sets that its ``@signal`` and ``@axes`` name.
    """
    group = file["/"]
    for _ in range(10):
        if group.attrs.get("NX_class") == "NXdata":
            return group
        assert group.attrs["NX_class"] in ("NXroot", "NXentry")
        path = group.attrs["default"]
        group = file[path] if path.startswith("/") else group[path]
    raise AssertionError("no NXdata")


def test_viewers_open_on_the_raster(trace_path: Path, network: Network) -> None:
    with h5py.File(trace_path) as file, Trace(trace_path) as trace:
        group = default_plot(file)
        assert group.name == "/spikes/output"
        times, neurons = (group[name] for name in group.attrs["axes"])
        signal = group[group.attrs["signal"]]
        # A scatter plot: as many axes as two, all as long as the signal.
        assert len(times) == len(neurons) == len(signal) > 0
        starts = [sample.t_start for sample in trace.samples]
        expected = np.concatenate([trace.spikes("output", n).times + starts[n] for n in range(2)])
        np.testing.assert_array_equal(times[()], expected)
        np.testing.assert_array_equal(
            neurons[()], np.concatenate([trace.spikes("output", n).neurons for n in range(2)])
        )
        # The links of /views lead to all rasters.
        assert file["views"].attrs["NX_class"] == "NXentry"
        assert set(file["views"]) == {"input", *network.names}
        for layer in file["views"]:
            assert file["views"][layer]["timestamps"] == file[f"spikes/{layer}/timestamps"]
            assert default_plot(file).attrs["NX_class"] == "NXdata"


def test_sonata_readers(trace_path: Path) -> None:
    libsonata = pytest.importorskip("libsonata")
    reader = libsonata.SpikeReader(str(trace_path))
    assert set(reader.get_population_names()) == {"input", "hidden", "middle", "output"}
    with Trace(trace_path) as trace:
        starts = [sample.t_start for sample in trace.samples]
        for layer in reader.get_population_names():
            found = reader[layer].get()
            trains = [trace.spikes(layer, n) for n in range(2)]
            assert [neuron for neuron, _ in found] == np.concatenate([t.neurons for t in trains]).tolist()
            times = np.concatenate([t.times + start for t, start in zip(trains, starts, strict=True)])
            assert [time for _, time in found] == times.tolist()
            assert str(reader[layer].sorting).endswith("by_time")


def test_bmtk_reads_the_spikes(trace_path: Path) -> None:
    reports = pytest.importorskip("bmtk.utils.reports.spike_trains")
    trains = reports.SpikeTrains.load(str(trace_path))
    with Trace(trace_path) as trace:
        for layer in ("input", *trace.network.names):
            found = trains.to_dataframe(populations=layer)
            spikes = [(sample.t_start, trace.spikes(layer, sample.index)) for sample in trace.samples]
            assert found["node_ids"].tolist() == [n for _, train in spikes for n in train.neurons.tolist()]
            times = [start + time for start, train in spikes for time in train.times.tolist()]
            assert found["timestamps"].tolist() == times


def test_hdf5_tools(trace_path: Path) -> None:
    tool = shutil.which("h5ls")
    if tool is None:
        pytest.skip("no h5ls")
    listing = subprocess.run([tool, "-r", str(trace_path)], capture_output=True, text=True, check=True).stdout
    assert "/spikes/output/timestamps" in listing
