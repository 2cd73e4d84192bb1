"""SIGTERM and SIGUSR1 wherever they come: in a step, in an evaluation, in a save, while there is no data."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from tzx.runtime.data.loader import DataLoader
from tzx.runtime.errors import Preempted
from tzx.runtime.models.base import Model
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training.batches import Requests
from tzx.runtime.training.jobs import TrainOptions, train
from tzx.runtime.training.signals import SignalWatch
from tzx.runtime.training.storage import Summed


def send_when(monkeypatch, owner, name, number, condition=lambda count: count == 1):
    """Send this process a signal in the middle of `owner.name`, at the call that `condition` wants; returns when."""
    method, calls, sent = getattr(owner, name), [], []

    def signalled(*args, **kwargs):
        calls.append(1)
        if condition(len(calls)):
            sent.append(time.monotonic())
            os.kill(os.getpid(), number)
        return method(*args, **kwargs)

    monkeypatch.setattr(owner, name, signalled)
    return sent


@pytest.fixture
def short(config):
    config.eval_input_path = ""
    config.train_config.ClearField("num_epochs")
    config.train_config.num_steps = 40
    return config


def stopped(config, sent):
    """Train until the signal, and leave within 20 seconds of it; the step of the committed checkpoint."""
    with pytest.raises(Preempted, match=r"go on with --continue_train") as caught:
        train(config, TrainOptions())
    assert time.monotonic() - sent[0] < 20
    assert caught.value.exit_code == 143
    newest = ckpt.find_intact(config.model_dir)
    assert str(newest) in str(caught.value)
    return ckpt.step_of(newest)


@pytest.mark.parametrize("beside", [False, True], ids=["in the way", "beside"])
def test_in_a_step(short, monkeypatch, request, beside):
    short.train_config.save_checkpoints_async = beside
    rng, model_dir = random.Random(beside), short.model_dir
    for trial in range(10 if request.config.option.soak else 1):
        at, short.model_dir = rng.randint(2, 38), f"{model_dir}{trial}"
        with monkeypatch.context() as patch:
            sent = send_when(patch, torch.optim.Adam, "step", signal.SIGTERM, lambda count, at=at: count == at)
            assert stopped(short, sent) in (at, at + 1)


def test_in_an_evaluation(config, monkeypatch):
    sent = send_when(monkeypatch, Model, "update_metrics", signal.SIGTERM, lambda count: count == 3)
    assert stopped(config, sent) == 15


def test_in_a_save(short, monkeypatch):
    sent = send_when(monkeypatch, Summed, "write", signal.SIGTERM, lambda count: count == 3)
    assert stopped(short, sent) in (15, 16)


class NoMoreData:
    """Batches of the real loader up to the fifth, then none for as long as the reader is asked."""

    def __init__(self, produce):
        self.produce, self.waiting, self.release = produce, threading.Event(), threading.Event()

    def __call__(self, loader, position):
        for number, batch in enumerate(self.produce(loader, position), 1):
            if number > 5:
                self.waiting.set()
                self.release.wait(60)
            yield batch


def test_while_waiting_for_data(short, monkeypatch):
    dry = NoMoreData(DataLoader._produce)
    monkeypatch.setattr(DataLoader, "_produce", lambda self, position: dry(self, position))
    pid, sent = os.getpid(), []

    def later():
        dry.waiting.wait(60)
        time.sleep(0.5)  # until the five batches are used up
        sent.append(time.monotonic())
        os.kill(pid, signal.SIGTERM)

    thread = threading.Thread(target=later)
    thread.start()
    try:
        assert stopped(short, sent) == 5  # at once, rather than as long as the reader may hang
    finally:
        dry.release.set()
        thread.join()


def test_sigusr1_saves_at_the_next_step_and_training_goes_on(short, root, monkeypatch):
    send_when(monkeypatch, torch.optim.Adam, "step", signal.SIGUSR1, lambda count: count == 7)
    train(short, TrainOptions())
    steps = [ckpt.step_of(path) for path in ckpt.committed_checkpoints(root / "run")]
    assert len(steps) == 4 and steps[0] in (7, 8) and steps[1:] == [15, 30, 40]


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)
    requests = Requests()
    with SignalWatch(requests):
        os.kill(os.getpid(), signal.SIGTERM)
        while not requests.stop:
            time.sleep(0.01)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)) == before
    assert signal.set_wakeup_fd(-1) == -1


STUCK = """
import ctypes
from tzx.runtime.training.batches import Requests
from tzx.runtime.training.signals import SignalWatch
with SignalWatch(Requests()):
    print("ready", flush=True)
    while True:  # sleeps in C: libc's sleep returns early, Python's handlers wait for it
        ctypes.CDLL(None).sleep(100)
"""


def test_a_second_sigterm_leaves_at_once_even_from_inside_a_library():
    process = subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    process.stdout.close()
    assert process.returncode == 143
