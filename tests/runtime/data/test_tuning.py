"""Who makes batches follows from what is measured: figures go in, hands and a log line come out."""

import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tzx.runtime.data import tuning
from tzx.runtime.data.batch import Batch
from tzx.runtime.data.loader import DataLoader
from tzx.runtime.data.tuning import Figures, Hands, Sample, Tuner
from tzx.runtime.data.workers import Worker
from tzx.runtime.errors import TransientError

Make = Callable[..., DataLoader]
Kit = Any
Speeds = Callable[[Hands], Sample]


def supply(step: float, making: float, in_the_way: float = 0.0) -> Speeds:
    """A machine on which hands share the making evenly, and a thread of this process makes a step slower."""

    def speeds(hands: Hands) -> Sample:
        number = hands.workers or hands.threads
        used = step if hands.workers else step + in_the_way
        return Sample(max(0.0, making / number - used), used, making, making)

    return speeds


def run(tuner: Tuner, speeds: Speeds, seconds: float = 300) -> list[Hands]:
    """Train for so long; returns the hands in the order in which they worked."""
    worked = [tuner.hands]
    while seconds > 0:
        if tuner.hands != worked[-1]:
            worked.append(tuner.hands)
        sample = speeds(tuner.hands)
        tuner.add(sample, tuner.hands.workers)
        seconds -= sample.waited + sample.step
    return worked


def make(most: int = 7) -> Tuner:
    return Tuner("train", Hands(), most, "num_workers is 7")


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tzx")


def test_one_thread_that_keeps_up_stays(caplog: pytest.LogCaptureFixture) -> None:
    tuner = make()
    assert run(tuner, supply(step=0.044, making=0.0021)) == [Hands()]
    assert caplog.messages == ["train data: one thread makes a batch in 2.1 ms, a step takes 44.0 ms: that is enough"]
    assert tuner.is_settled


def test_as_many_processes_as_a_step_needs_and_some_in_reserve(caplog: pytest.LogCaptureFixture) -> None:
    tuner = make()
    assert run(tuner, supply(step=0.012, making=0.031)) == [Hands(), *[Hands(4), Hands(spare=4)] * 2, Hands(4)]
    first, then = caplog.messages
    assert first == (
        "train data: one thread makes a batch in 31.0 ms, a step takes 12.0 ms: "
        "waiting 61% of the time; if that goes on, 4 worker processes will be tried"
    )
    assert then == (
        "train data: 4 worker processes from now on, not one thread: a step takes 12.0 ms; "
        "a batch every 12.0 ms instead of 31.0 ms"
    )


def test_no_process_is_started_for_a_job_that_loses_less_than_its_start() -> None:
    tuner = make()
    assert run(tuner, supply(step=0.012, making=0.031), seconds=2.5) == [Hands()]
    assert not tuner.is_settled


def test_the_limit_holds_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    assert run(make(most=2), supply(step=0.012, making=0.031))[-1] == Hands(2)
    caplog.clear()
    tuner = make(most=0)
    assert run(tuner, supply(step=0.012, making=0.031)) == [Hands()]
    assert caplog.messages[0].endswith("no more are started, since num_workers is 7") and tuner.is_settled


def test_more_follow_where_the_first_are_too_few() -> None:
    def speeds(hands: Hands) -> Sample:  # beside each other they work at half their speed
        return supply(step=0.010, making=0.030 * (2 if hands.workers > 1 else 1))(hands)

    assert [h.workers for h in run(make(), speeds) if not h.spare] == [0, 4, 4, 4, 7, 7, 7]


def test_a_process_is_tried_where_the_thread_is_in_the_way_of_steps(caplog: pytest.LogCaptureFixture) -> None:
    worked = run(make(), supply(step=0.0083, making=0.002, in_the_way=0.002))
    assert worked == [Hands(), Hands(1), Hands(spare=1), Hands(1), Hands(spare=1), Hands(1)]
    assert "one worker process from now on, not one thread: a step takes 8.3 ms" in caplog.messages[-1]


def test_a_process_that_is_slower_ends(caplog: pytest.LogCaptureFixture) -> None:
    tuner = make()
    assert run(tuner, supply(step=0.0083, making=0.002, in_the_way=-0.001)) == [Hands(), Hands(1), Hands()]
    assert caplog.messages[-1].endswith(
        "still one thread: one worker process would be a batch every 8.3 ms instead of 7.3 ms"
    )
    assert tuner.is_settled


def test_noise_chooses_no_process() -> None:
    generator = np.random.default_rng(3)

    def speeds(hands: Hands) -> Sample:
        return Sample(0.0, 0.010 * pace[0], 0.002, 0.002)

    chosen = 0
    for _ in range(50):
        tuner, pace = make(), [1.0]
        for _ in range(60):  # the machine is faster in one second than in the next
            pace[0] = generator.uniform(0.8, 1.2)
            run(tuner, speeds, seconds=1.5)
        chosen += tuner.hands.workers
    assert chosen < 10


def test_pauses_are_no_steps() -> None:
    samples = [Sample(0.0, 0.01, 0.002, 0.001)] * 31 + [Sample(0.0, 40.0, 0.002, 0.001)]
    assert Figures.of(samples).step == pytest.approx(0.01)


def test_batches_made_before_workers_run_do_not_count() -> None:
    tuner = make()
    for _ in range(300):
        tuner.add(supply(0.012, 0.031)(Hands()), 0)
    assert tuner.hands == Hands(4)
    for _ in range(300):  # all of them this thread's own
        tuner.add(supply(0.012, 0.031)(Hands()), 3)
    assert tuner.hands == Hands(4)


# ---- with a loader


def changed(data: DataLoader, changes: dict[int, Hands]) -> list[Batch]:
    batches = []
    for number, batch in enumerate(data.epoch(1)):
        batches.append(batch)
        data._tuner.hands = changes.get(number, data._tuner.hands)
    return batches


def test_batches_are_the_same_however_the_hands_change(
    tmp_path: Path, kit: Kit, started: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tzx.runtime.data.loader._TOGETHER_ROWS", 0)  # hands change between chunks
    path = kit.write_files(tmp_path, [600], group=50)
    config = kit.data_config(batch_size=7, shuffle=True, shuffle_buffer_size=3, fg_mode=2, sample_mask_prob=0.2)
    features = kit.feature_set(config)
    alone = kit.bits(list(kit.loader(config, features, path, seed=4, num_workers=0).epoch(1)))
    data = kit.loader(config, features, path, seed=4, num_workers=0)  # nobody else changes its hands
    changes = {5: Hands(1), 20: Hands(3), 35: Hands(spare=3), 45: Hands(threads=2), 50: Hands(2, spare=1), 70: Hands()}
    assert kit.bits(changed(data, changes)) == alone
    assert len(started) == 5 and data._pool.running == 0  # three, and two of the next three, of which one was spare
    assert not any(kit.is_running(w.pid) for w in started)


SLOW = """
import time
class Slow:
    def __init__(self, features):
        self.features, self.take_bad_values = features, features.take_bad_values
    def generate(self, record_batch, is_training=False):
        time.sleep(0.02)
        return self.features.generate(record_batch, is_training)
"""


@pytest.fixture
def slow(tmp_path: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> DataLoader:
    """A loader of 80 batches, each of which takes 20 ms, on four cores, with a tuner in a hurry."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "slow_features.py").write_text(SLOW)
    for name, value in {"_FEWEST": 8, "_SECONDS": 0.0, "_WAIT_FIRST": 0.1, "_FIRST": 2}.items():
        monkeypatch.setattr(tuning, name, value)
    monkeypatch.setattr("tzx.runtime.data.loader.cores_for_me", lambda _: 4)
    monkeypatch.setattr("tzx.runtime.data.loader._TOGETHER_ROWS", 0)
    config = kit.data_config(fg_mode=2, batch_size=10)
    data: DataLoader = kit.loader(config, kit.feature_set(config), kit.write_files(tmp_path, [800], group=50))
    slow = __import__("slow_features").Slow(data._transform.features)
    data._transform = replace(data._transform, features=slow)
    return data


def test_a_slow_loader_gets_workers_that_stay(
    slow: DataLoader, kit: Kit, started: list[Worker], caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(4):
        assert kit.rows_of(list(slow.epoch(number))) == list(range(800))
    assert re.fullmatch(
        r"train data: one thread makes a batch in \d+\.\d ms, a step takes \d+\.\d ms: "
        r"waiting \d+% of the time; if that goes on, 3 worker processes will be tried",
        caplog.messages[0],
    )
    assert "train data: 3 worker processes from now on, not one thread: a step takes" in caplog.messages[1]
    assert len(started) == 3 and all(kit.is_running(w.pid) for w in started) and slow.is_tuned
    slow.close()
    assert not any(kit.is_running(w.pid) for w in started)


def test_a_worker_that_is_killed_later_ends_the_epoch(slow: DataLoader, started: list[Worker], kit: Kit) -> None:
    with pytest.raises(TransientError, match=r"worker \d \(process \d+\) was killed"):
        for _ in slow.epoch():
            if len(started) == 3:
                with suppress(ProcessLookupError):  # it is found dead some batches later
                    os.kill(started[0].pid, signal.SIGKILL)
    assert len(started) == 3 and not any(kit.is_running(w.pid) for w in started)


def test_a_short_job_starts_nothing(tmp_path: Path, kit: Kit) -> None:
    config = kit.data_config(fg_mode=2)
    data = kit.loader(config, kit.feature_set(config), kit.write_files(tmp_path, [400], group=50))
    for number in range(2):
        assert kit.rows_of(list(data.epoch(number))) == list(range(400))
    assert data._tuner.hands == Hands() and not data._pool._workers


def test_the_choice_can_be_the_users(
    tmp_path: Path, kit: Kit, started: list[Worker], caplog: pytest.LogCaptureFixture
) -> None:
    config = kit.data_config(fg_mode=2, num_workers=3, tune_loader=False)
    data = kit.loader(config, kit.feature_set(config), kit.write_files(tmp_path, [400], group=50))
    assert kit.rows_of(list(data.epoch())) == list(range(400))
    assert len(started) == 3 and data.is_tuned
    assert "train data: made by 3 worker processes, as data_config.tune_loader is false" in caplog.messages
    alone = kit.loader(config, kit.feature_set(config), kit.write_files(tmp_path, [400], group=50), num_workers=0)
    assert kit.rows_of(list(alone.epoch())) == list(range(400)) and len(started) == 3
