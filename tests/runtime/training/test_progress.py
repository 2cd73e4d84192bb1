import logging

from tzx.runtime.training import progress as module
from tzx.runtime.training.progress import Progress, seconds_since_process_start
from tzx.runtime.training.summaries import Summaries


class Clock:
    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(module.time, "perf_counter", lambda: self.now)


def test_a_line_shows_speed_and_waiting_of_its_own_interval(monkeypatch, caplog):
    clock = Clock(monkeypatch)
    caplog.set_level(logging.INFO, logger="tzx")
    progress = Progress("train", scale=2)
    for waited in (1.0, 1.5):
        progress.add(300)
        clock.now += 2.0
        rate = progress.line("step 7", {"loss": 0.25, "lr": 0.00002}, waited)
        assert rate == 300 * 2 / 2.0
    progress.done("trained", "samples", ", evaluation included")
    first, second, last = caplog.messages
    assert first == "train step 7  loss 0.25000  lr 2e-05  300 samples/s  waiting for data 50.0%"
    assert second.endswith("waiting for data 25.0%")
    assert last == "trained 1,200 samples in 4.0 s (300 samples/s, evaluation included)"


def test_only_enabled_processes_log(caplog):
    caplog.set_level(logging.INFO, logger="tzx")
    Progress("train", enabled=False).line("step 1", {}, 0.0)
    assert not caplog.messages


def test_the_process_is_older_than_nothing_and_younger_than_a_day():
    assert 0 < seconds_since_process_start() < 86_400


def test_disabled_summaries_write_nothing(tmp_path):
    board = Summaries(tmp_path / "board", enabled=False, kinds=["parameter"])
    board.scalars("loss", {"total": 1.0}, 1)
    board.close()
    assert not board.wants("parameter") and not (tmp_path / "board").exists()


def test_kinds_default_to_losses_and_learning_rates(tmp_path):
    assert [Summaries(tmp_path, True).wants(k) for k in ("loss", "learning_rate", "gradient")] == [True, True, False]
    assert not Summaries(tmp_path, True, ["gradient"]).wants("loss")
