"""The device of a card, without one: its driver's calls over the emulation."""

from __future__ import annotations

from threading import Thread

import numpy as np
import pytest

from eventsnn.errors import DeviceError, DeviceMemoryError
from eventsnn.gpu import cuda, device
from eventsnn.gpu.device import shared_bytes
from eventsnn.simulate.engines import gpu as engine
from tests.gpu.emulation import needs_emulation
from tests.gpu.fake_cupy import FakeCupy
from tests.gpu.test_engine import assert_same_batch, recordings, run_batch, wide


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCupy:
    fake = FakeCupy()
    monkeypatch.setattr(cuda, "load_cupy", lambda: fake)
    monkeypatch.setattr(cuda, "compile_for", fake.compile_for)
    return fake


@needs_emulation
def test_a_card_is_described(fake: FakeCupy) -> None:
    card = cuda.CudaDevice()
    assert (card.name, card.multiprocessors, card.shared_memory) == ("fake", 132, 232448)
    assert card.free_memory() == fake.memory
    assert not card.emulated


@needs_emulation
def test_the_driver_is_given_what_the_kernels_take(fake: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    network, samples = wide(11), recordings(11)
    card = cuda.CudaDevice()
    monkeypatch.setattr(engine, "find_device", lambda: card)
    found = run_batch("gpu", network, samples, "float64")
    assert_same_batch(found, run_batch("sweep", network, samples, "float64"))
    assert len(fake.compiled) == len(set(fake.compiled))  # each file once
    assert {"sweep<double, 1>", "lateral<double>", "order"} <= {name for name, *_ in fake.launches}


@needs_emulation
def test_much_shared_memory_is_asked_for_once(fake: FakeCupy) -> None:
    card = cuda.CudaDevice()
    x, out = card.put(np.ones(40)), card.empty(1, np.float64)
    for shared in (shared_bytes((np.float64, 32)), 60_000, 50_000, 70_000):
        card.launch("sum_blocks<double>", 1, 64, x, out, shared=shared)
    assert out.read().tolist() == [40.0]
    assert list(fake.allowed.values()) == [70_000]


@needs_emulation
def test_kernels_are_loaded_once_though_two_threads_want_them(
    fake: FakeCupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = cuda.CudaDevice()
    x, out = card.put(np.ones(40)), card.empty(1, np.float64)

    def launch() -> None:
        card.launch("sum_blocks<double>", 1, 64, x, out, shared=shared_bytes((np.float64, 32)))

    other = Thread(target=launch)

    def compile_for(file: str, capability: str) -> tuple[bytes, dict[str, str]]:
        binary = fake.compile_for(file, capability)
        if len(fake.compiled) == 1:
            other.start()
            other.join(0.3)
        return binary

    monkeypatch.setattr(cuda, "compile_for", compile_for)
    launch()
    other.join()
    assert (len(fake.compiled), len(fake.launches)) == (1, 2)


@needs_emulation
def test_no_room_on_the_card(fake: FakeCupy) -> None:
    fake.memory = 1000
    with pytest.raises(DeviceMemoryError, match="no room for 0 MB"):
        cuda.CudaDevice().empty(1000, np.float64)


@needs_emulation
@pytest.mark.parametrize(("cards", "reason"), [(0, "CUDA finds none"), (-1, "no driver")])
def test_no_card(fake: FakeCupy, cards: int, reason: str) -> None:
    fake.cards = cards
    with pytest.raises(DeviceError, match=rf"no graphics card .*\({reason}\); use engine='sweep' and "):
        cuda.CudaDevice()


@needs_emulation
def test_a_card_chosen_for_one_thread_is_refused(fake: FakeCupy) -> None:
    fake.cards, fake.chosen = 2, 1
    with pytest.raises(
        DeviceError, match=r"card 1 was chosen for this thread alone; .* CUDA_VISIBLE_DEVICES"
    ):
        cuda.CudaDevice()


@needs_emulation
def test_a_driver_that_loads_no_kernels(fake: FakeCupy) -> None:
    fake.refuses = True
    card = cuda.CudaDevice()
    with pytest.raises(
        DeviceError, match=r"the driver cannot load the kernels \(too new\); a newer driver may"
    ):
        card.launch("sum_blocks<double>", 1, 64, card.zeros(40, np.float64), card.zeros(1, np.float64))


def test_another_choice_of_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTSNN_GPU", "yes")
    with pytest.raises(DeviceError, match="EVENTSNN_GPU=yes in the environment: it may be 'emulate'"):
        device.find_device()


@pytest.mark.parametrize(
    ("environment", "cards", "shown"),
    [
        ({}, 4, None),
        ({"OMPI_COMM_WORLD_LOCAL_RANK": "1"}, 4, "1"),
        ({"MPI_LOCALRANKID": "5", "SLURM_LOCALID": "0"}, 4, "1"),
        ({"SLURM_LOCALID": "4"}, 4, None),  # the first one
        ({"SLURM_LOCALID": "1"}, 1, None),
        ({"SLURM_LOCALID": "1"}, 0, None),
        ({"SLURM_LOCALID": "1", "CUDA_VISIBLE_DEVICES": "3, GPU-7f,5"}, 8, "GPU-7f"),
        ({"SLURM_LOCALID": "1", "CUDA_VISIBLE_DEVICES": "2"}, 8, "2"),
        ({"SLURM_LOCALID": "1", "CUDA_VISIBLE_DEVICES": ""}, 8, ""),
        ({"SLURM_LOCALID": ""}, 8, None),
    ],
)
def test_processes_of_one_machine_take_turns(
    environment: dict[str, str], cards: int, shown: str | None
) -> None:
    cuda.take_turns(environment, cards)
    assert environment.get("CUDA_VISIBLE_DEVICES") == shown
