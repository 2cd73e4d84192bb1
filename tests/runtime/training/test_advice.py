import pytest

from tzx.runtime.protos import data_pb2
from tzx.runtime.training.advice import WaitingAdvice


def told(caplog: pytest.LogCaptureFixture, config: data_pb2.DataConfig, cores: int, *shares: float) -> list[str]:
    advice = WaitingAdvice(config, cores)
    for share in shares:
        advice.consider(share)
    return caplog.messages


def test_it_speaks_once_and_not_of_the_start_nor_of_accidents(caplog: pytest.LogCaptureFixture) -> None:
    config = data_pb2.DataConfig(fg_mode=data_pb2.FG_DAG, num_workers=1)
    assert not told(caplog, config, 8, 0.9, 0.5, 0.1, 0.5, 0.05)
    (line,) = told(caplog, config, 8, 0.9, 0.5, 0.25, 0.5, 0.9)
    assert line.startswith("training waits for data 25% of the time: raise data_config.num_workers, now 1, up to 7")
    assert "tzx.apps.generate_features" in line


def test_it_asks_for_nothing_that_is_done_already(caplog: pytest.LogCaptureFixture) -> None:
    config = data_pb2.DataConfig(fg_mode=data_pb2.FG_NONE, num_workers=8)
    (line,) = told(caplog, config, 2, 0, 0.5, 0.5)
    assert "num_workers" not in line and "generate_features" not in line and "Parquet" in line


def test_it_waits_for_the_loader_to_try_what_helps(caplog: pytest.LogCaptureFixture) -> None:
    advice = WaitingAdvice(data_pb2.DataConfig(fg_mode=data_pb2.FG_DAG), 8)
    for is_tuned in (True, False, False, False, True):
        advice.consider(0.5, is_tuned)
    assert not caplog.messages
    advice.consider(0.5)
    (line,) = caplog.messages
    assert line.startswith("training waits for data 50% of the time: make features once")


def test_a_fixed_choice_can_be_given_back(caplog: pytest.LogCaptureFixture) -> None:
    config = data_pb2.DataConfig(fg_mode=data_pb2.FG_DAG, num_workers=0, tune_loader=False)
    (line,) = told(caplog, config, 2, 0, 0.5, 0.5)
    assert "raise data_config.num_workers, now 0, up to 1; or raise data_config.fg_threads, now 1, up to 2" in line
    assert "or leave out data_config.tune_loader" in line


def test_where_the_loader_has_tried_all_it_speaks_of_features_made_ahead(caplog: pytest.LogCaptureFixture) -> None:
    config = data_pb2.DataConfig(fg_mode=data_pb2.FG_DAG)
    (line,) = told(caplog, config, 4, 0, 0.5, 0.5)
    assert "fg_threads" not in line and "num_workers" not in line and "generate_features" in line


def test_workers_for_finished_data_help_a_gpu_only(caplog: pytest.LogCaptureFixture) -> None:
    config = data_pb2.DataConfig(fg_mode=data_pb2.FG_NONE, num_workers=1)
    (line,) = told(caplog, config, 8, 0, 0.5, 0.5)
    assert "num_workers" not in line and "Parquet" in line
