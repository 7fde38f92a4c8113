"""The workloads of `speed/track`, small and made from a fixed seed: each prints its seconds and peak memory.

They use the public interface only, so that builds of other commits run them too.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

Work = Callable[[], object]
PYTHON = (sys.executable, "-P")
"""Not from the working folder: PYTHONPATH says which build is measured."""
ROUNDS = 3
"""Times a workload is repeated in one process, after a first time that does not count."""


def _events(n: int, width: int = 34, height: int = 34, us: int = 300_000, seed: int = 1):  # type: ignore[no-untyped-def]
    """`n` events, uniform over the sensor and over time."""
    import eventsnn as es

    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, us, n))
    x, y, p = rng.integers(0, width, n), rng.integers(0, height, n), rng.integers(0, 2, n)
    return es.EventStream.from_arrays(t, x, y, p, sensor_size=(width, height, 2))


def recordings(n: int):  # type: ignore[no-untyped-def]
    """`n` recordings of 4000 events, as many as N-MNIST's have, of ten classes."""
    import eventsnn as es

    return es.data.ListDataset([_events(4000, seed=k) for k in range(n)], np.arange(n) % 10)


def _train(network, n: int, **options: object) -> Iterator[Work]:  # type: ignore[no-untyped-def]
    import eventsnn as es

    data = recordings(n)

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            es.train(
                network, data, epochs=1, valid_fraction=0.0, threads=1, out=Path(folder) / "run", **options
            )

    yield work


def _dense():  # type: ignore[no-untyped-def]
    import eventsnn as es

    return es.Network(es.Input(34, 34, 2), es.Dense(800, threshold=5.0), es.Dense(10, threshold=5.0), seed=1)


def _convolutional():  # type: ignore[no-untyped-def]
    import eventsnn as es

    return es.Network(
        es.Input(34, 34, 2),
        es.Conv(8, 5, threshold=5.0, initial_weight=3.0),
        es.Pool(2, threshold=2.0),
        es.Dense(50, threshold=10.0, initial_weight=3.0),
        es.Dense(10, threshold=10.0, initial_weight=3.0),
        seed=1,
    )


def train_dense() -> Iterator[Work]:
    """Training of 2312-800-10, an epoch of 96 recordings."""
    return _train(_dense(), 96)


def train_convolutional() -> Iterator[Work]:
    """Training of 8C5-P2-50-10 on the clock, an epoch of 16 recordings."""
    return _train(_convolutional(), 16, engine="clocked", step_ms=1.0)


def infer_dense() -> Iterator[Work]:
    """Evaluation of 2312-800-10 on 192 recordings."""
    import eventsnn as es

    data, network = recordings(192), _dense()
    yield lambda: es.evaluate(network, data, threads=1)


def infer_convolutional() -> Iterator[Work]:
    """Evaluation of 8C5-P2-50-10 in exact time on 16 recordings."""
    import eventsnn as es

    data, network = recordings(16), _convolutional()
    yield lambda: es.evaluate(network, data, threads=1)


def simulate_recurrent() -> Iterator[Work]:
    """2000 neurons with 200 inputs each, delay 1.5 ms, 200 ms."""
    import eventsnn as es
    from speed.recurrent import Setting, draw_trains, make_network

    setting = Setting()
    network, trains = make_network(setting, 1), draw_trains(setting, 200.0, 1)
    yield lambda: es.simulate(network, trains, t_stop=200.0)


def simulate_queue() -> Iterator[Work]:
    """2312-100-10 through the queue engine, 80,000 events."""
    import eventsnn as es

    network = es.Network(
        es.Input(34, 34, 2), es.Dense(100, threshold=3.0), es.Dense(10, threshold=3.0), seed=1
    )
    stream = _events(80_000, us=6_000_000)
    yield lambda: es.simulate(network, stream, engine="queue")


def simulate_in_parts() -> Iterator[Work]:
    """2312-800-10 fed with 300,000 events in parts of 4096."""
    import eventsnn as es

    network, parts = _dense(), list(_events(300_000, us=20_000_000).chunks(4096))

    def work() -> None:
        run = es.Simulation(network)
        for part in parts:
            run.feed(part)
        run.finish()

    yield work


def read_evt3() -> Iterator[Work]:
    """Two million events of 1280 x 720 pixels from an EVT3 file."""
    import eventsnn as es

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.raw"
        es.write(path, _events(2_000_000, 1280, 720, 2_000_000), format="evt3")
        yield lambda: es.read(path)


def simulate_camera() -> Iterator[Work]:
    """40 digits before the simulated camera."""
    from eventsnn.encode import SaccadeCamera

    camera = SaccadeCamera()
    images = np.random.default_rng(1).integers(0, 256, (40, 28, 28)).astype(np.uint8)
    yield lambda: [camera.record(image, np.random.default_rng(k)) for k, image in enumerate(images)]


def import_package() -> Iterator[Work]:
    """``import eventsnn``, five interpreters."""
    yield lambda: [subprocess.run([*PYTHON, "-c", "import eventsnn"], check=True) for _ in range(5)]


def command_line() -> Iterator[Work]:
    """``eventsnn simulate`` from file to trace, three processes."""
    import eventsnn as es

    with tempfile.TemporaryDirectory() as folder:
        model, file, trace = (Path(folder) / name for name in ("model.h5", "a.dat", "trace.h5"))
        _dense().save(model)
        es.write(file, _events(4000), format="dat")
        arguments = ["simulate", str(model), str(file), "--trace", str(trace)]
        program = [*PYTHON, "-m", "eventsnn", *arguments]
        yield lambda: [
            subprocess.run(program, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for _ in range(3)
        ]


def plain_numpy() -> Iterator[Work]:
    """Sorting and multiplying in NumPy, without eventsnn: how fast the machine is at the moment."""
    rng = np.random.default_rng(1)
    values, matrix = rng.random(2_000_000), rng.random((400, 400))
    yield lambda: (np.sort(values), [matrix @ matrix for _ in range(10)])


FIGURES: dict[str, Callable[[], Iterator[Work]]] = {
    function.__name__: function
    for function in (
        *(plain_numpy, import_package, command_line, train_dense, infer_dense, train_convolutional),
        *(infer_convolutional, simulate_recurrent, simulate_queue, simulate_in_parts, read_evt3),
        simulate_camera,
    )
}


def processor_time() -> float:
    """Seconds of processor time of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_mib() -> float:
    """Largest memory of this process or of a child of it, MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(who).ru_maxrss for who in whose) / unit


def main() -> None:
    """Run the workload that the first argument names; print JSON."""
    with contextmanager(FIGURES[sys.argv[1]])() as work:
        seconds = []
        for _ in range(ROUNDS + 1):
            wall, cpu = time.perf_counter(), processor_time()
            work()
            seconds.append((processor_time() - cpu, time.perf_counter() - wall))
    cpu, wall = (min(kind) for kind in zip(*seconds[1:], strict=True))
    print(json.dumps({"cpu": cpu, "wall": wall, "peak_mib": peak_mib()}))


if __name__ == "__main__":
    main()
