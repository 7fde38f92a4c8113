"""A pool of threads: work shared out, work begun, reading ahead, errors and Ctrl-C."""

from __future__ import annotations

import itertools
import platform
import signal
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from eventsnn._ext.arrivals import deliver_spikes
from eventsnn._ext.memory import keep_freed
from eventsnn._ext.store import merge_trains
from eventsnn._ext.team import Call, Pipeline, Together
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import FEW, Pool

THREADS = [1, 2, 3, 5]


@pytest.fixture(autouse=True)
def python_handler() -> Iterator[None]:
    """Whatever started the tests may have set SIGINT to be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Units:
    """Work on units that notes who did which; `fail` says what to do in one of them."""

    def __init__(self, count: int, fail=None, at: int = 3) -> None:
        self.counter, self.done, self.fail, self.at = WorkCounter(count), [], fail, at

    def __call__(self) -> None:
        while (unit := self.counter.take()) >= 0:
            if unit == self.at and self.fail is not None:
                self.fail()
            time.sleep(0.0005)  # lets another thread take some too
            self.done.append((unit, threading.get_ident()))

    def numbers(self) -> list[int]:
        return sorted(unit for unit, _ in self.done)


@pytest.mark.parametrize("threads", THREADS)
def test_every_unit_is_done_once(threads: int) -> None:
    with Pool(threads) as pool:
        for count in (0, 1, 40):
            units = Units(count)
            pool.share(units, units.counter)
            assert units.numbers() == list(range(count))


def test_several_threads_take_part() -> None:
    with Pool(3) as pool:
        units = Units(200)
        pool.share(units, units.counter)
    assert len({who for _, who in units.done}) > 1


def test_few_items_stay_on_the_calling_thread() -> None:
    with Pool(3) as pool:
        units = Units(50)
        pool.share(units, units.counter, items=FEW - 1)
    assert {who for _, who in units.done} == {threading.get_ident()}


@pytest.mark.parametrize("threads", THREADS)
def test_work_that_was_begun_is_finished_by_what_follows(threads: int) -> None:
    with Pool(threads) as pool:
        first, second, third = Units(30), Units(30), Units(30)
        pool.begin(first, first.counter)
        pool.share(lambda: (second(), first.numbers() == list(range(30)) or pytest.fail("not yet done")))
        assert second.numbers() == list(range(30))
        pool.begin(third, third.counter)
        pool.finish()
        assert third.numbers() == list(range(30))
        fourth = Units(30)
        pool.begin(fourth, fourth.counter)
    assert fourth.numbers() == list(range(30))  # a pool is left with nothing under way


def fail() -> None:
    raise ValueError("unit 3 is broken")


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("begin", [False, True])
def test_an_error_in_a_unit_comes_out_once(threads: int, begin: bool) -> None:
    with Pool(threads) as pool:
        units = Units(10_000, fail)

        def run() -> None:
            if begin:
                pool.begin(units, units.counter)
                time.sleep(0.01)  # so that a helper comes first
                pool.finish()
            else:
                pool.share(units, units.counter)

        with pytest.raises(ValueError, match="unit 3 is broken"):
            run()
        assert len(units.done) < 10_000  # nobody goes on with the rest
        pool.finish()  # nothing is left of it
        again = Units(20)
        pool.share(again, again.counter)
        assert again.numbers() == list(range(20))


@pytest.mark.parametrize("threads", THREADS)
def test_ctrl_c_ends_the_work(threads: int) -> None:
    """Whoever meets the unit, the signal reaches the main thread."""
    with Pool(threads) as pool:
        units = Units(10_000, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            pool.share(units, units.counter)
        assert len(units.done) < 10_000
        again = Units(20)
        pool.share(again, again.counter)
        assert again.numbers() == list(range(20))


def test_leaving_by_an_error_abandons_what_was_begun() -> None:
    units = Units(10_000)

    def leave() -> None:
        with Pool(2) as pool:
            pool.begin(units, units.counter)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        leave()
    assert len(units.done) < 10_000


@pytest.mark.parametrize("threads", THREADS)
def test_items_are_read_ahead_in_order(threads: int) -> None:
    with Pool(threads) as pool:
        found = []
        for item in pool.prefetch(lambda k: k * k, range(20)):
            units = Units(5)
            pool.share(units, units.counter)
            found.append(item)
    assert found == [k * k for k in range(20)]


def test_reading_ahead_raises_in_its_turn_and_may_be_broken_off() -> None:
    def read(k: int) -> int:
        if k == 2:
            raise OSError("no such recording")
        return k

    with Pool(2) as pool:
        items = iter(pool.prefetch(read, range(5)))
        assert [next(items), next(items)] == [0, 1]
        with pytest.raises(OSError, match="no such recording"):
            next(items)
        assert next(iter(pool.prefetch(read, range(2)))) == 0


def test_freed_memory_is_kept_where_the_library_can() -> None:
    assert keep_freed() == (platform.libc_ver()[0] == "glibc")


class Stages:
    """Two spike trains a sample, merged and then delivered: stages that need each other's results."""

    def __init__(self, samples: int = 40) -> None:
        rng = np.random.default_rng(3)
        sizes = rng.integers(0, 50, (2, samples))
        self.trains = [[np.sort(rng.uniform(0.0, 50.0, n)) for n in row] for row in sizes]
        times = np.concatenate([train for row in self.trains for train in row])
        neurons = np.repeat([0, 1], sizes.sum(axis=1)).astype(np.int32)
        self.ends = np.cumsum([0, *sizes.sum(axis=0)])
        self.merged, self.delivered = np.zeros(len(times)), np.zeros(len(times))
        number, none = np.zeros(len(times), np.int32), np.zeros(samples + 1, np.int64)
        ptr, counts = np.cumsum([0, *sizes.ravel()]), np.zeros((samples, 2), np.int64)
        merge = merge_trains(times, neurons, ptr, self.ends, self.merged, number, counts)
        deliver = deliver_spikes(
            self.merged, number, self.ends, 1.5, np.empty(0), none, 2, self.delivered, number.copy()
        )
        self.stages = [merge, deliver]

    def check(self) -> None:
        for sample, (start, end) in enumerate(itertools.pairwise(self.ends.tolist())):
            expected = np.sort(np.concatenate([row[sample] for row in self.trains]))
            np.testing.assert_array_equal(self.merged[start:end], expected)
            np.testing.assert_array_equal(self.delivered[start:end], expected + 1.5)


@pytest.mark.parametrize("threads", THREADS)
def test_stages_follow_each_other_in_every_unit(threads: int) -> None:
    with Pool(threads) as pool:
        for _ in range(20):
            work = Stages()
            pool.share(Pipeline(work.stages))
            work.check()


@pytest.mark.parametrize("threads", THREADS)
def test_tasks_side_by_side_are_all_done(threads: int) -> None:
    with Pool(threads) as pool:
        first, second, units = Stages(), Stages(), Units(9)
        pool.begin(Together([Pipeline(first.stages), Call(units, units.counter), Pipeline(second.stages)]))
        pool.finish()
        first.check()
        second.check()
        assert units.numbers() == list(range(9))


@pytest.mark.parametrize("threads", THREADS)
def test_an_error_cancels_all_tasks_side_by_side(threads: int) -> None:
    with Pool(threads) as pool:
        units, others = Units(10_000, fail), Units(10_000)
        with pytest.raises(ValueError, match="unit 3 is broken"):
            pool.share(Together([Call(units, units.counter), Call(others, others.counter)]))
        assert len(units.done) + len(others.done) < 10_000
        pool.finish()


@pytest.mark.parametrize("threads", THREADS)
def test_what_is_done_meanwhile_comes_between_what_was_begun_and_the_end_of_what_follows(
    threads: int,
) -> None:
    with Pool(threads) as pool:
        first, second, seen = Units(30), Units(30), list[list[int]]()
        pool.begin(first, first.counter)
        pool.meanwhile(lambda: seen.append(first.numbers()))
        assert not seen
        pool.share(second, second.counter)
        assert seen == [list(range(30))]
        assert second.numbers() == list(range(30))
        pool.meanwhile(lambda: seen.append([]))
        pool.finish()
        assert len(seen) == 2


@pytest.mark.parametrize("threads", THREADS)
def test_an_error_meanwhile_abandons_what_is_shared(threads: int) -> None:
    with Pool(threads) as pool:
        units = Units(10_000)
        pool.meanwhile(fail)
        with pytest.raises(ValueError, match="unit 3 is broken"):
            pool.share(units, units.counter)
        assert len(units.done) < 10_000
        again = Units(20)
        pool.share(again, again.counter)
        assert again.numbers() == list(range(20))
