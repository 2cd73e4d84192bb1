"""Training as the launcher starts it: separate processes, signals, several ranks."""

import json
import signal
import time
from pathlib import Path

import pytest
import warm

from tzx.runtime.training import checkpoint as ckpt

pytestmark = pytest.mark.slow


def start(config: Path, *flags: str) -> warm.Popen:
    return warm.Popen(["-m", "tzx.apps.train", "--config", config, *flags])


def wait_for_checkpoint(model_dir: Path, process: warm.Popen) -> None:
    while ckpt.latest_checkpoint(model_dir) is None:
        assert process.poll() is None, process.output()
        time.sleep(0.05)


@pytest.fixture
def config_file(root, config_text):
    path = root / "test.config"
    path.write_text(config_text.replace("num_epochs: 2", "num_steps: 400"))
    return path


def test_sigterm_saves_and_exits_143_and_the_run_goes_on(config_file, root):
    process = start(config_file)
    wait_for_checkpoint(root / "run", process)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 143, log
    assert "Traceback" not in log and "--continue_train" in log
    saved = ckpt.step_of(ckpt.latest_checkpoint(root / "run"))
    assert 15 <= saved < 400
    process = start(config_file, "--continue_train", "--set", f"train_config.num_steps={saved + 5}")
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert ckpt.step_of(ckpt.latest_checkpoint(root / "run")) == saved + 5


def test_kill_9_resumes_from_the_last_whole_checkpoint(config_file, root):
    process = start(config_file)
    wait_for_checkpoint(root / "run", process)
    process.kill()
    process.communicate(timeout=60)
    saved = ckpt.step_of(ckpt.latest_checkpoint(root / "run"))
    process = start(config_file, "--continue_train", "--set", f"train_config.num_steps={saved + 5}")
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert f"step {saved}" in log
    assert ckpt.step_of(ckpt.latest_checkpoint(root / "run")) == saved + 5


def test_two_processes_reach_the_auc_of_one(config_file, root, config_text):
    text = config_text.replace("num_epochs: 2", "num_epochs: 4")
    for processes, batch in ((1, 100), (2, 50)):
        path = root / f"p{processes}.config"
        path.write_text(text.replace("batch_size: 100", f"batch_size: {batch}").replace("/run", f"/run{processes}"))
        ended = warm.ranks(["-m", "tzx.apps.train", "--config", path], processes)
        assert [done.returncode for done in ended] == [0] * processes, ended[0].stderr
    auc = [json.loads((root / f"run{n}" / "train_eval_result_v2.txt").read_text().splitlines()[-1]) for n in (1, 2)]
    assert auc[0]["global_step"] == auc[1]["global_step"]
    assert abs(auc[0]["auc"] - auc[1]["auc"]) < 0.01 and auc[1]["auc"] > 0.82


def test_a_bad_config_fails_fast_with_exit_2(root, config_text):
    path = root / "bad.config"
    path.write_text(config_text.replace("num_epochs", "num_epochz"))
    done = warm.run(["-m", "tzx.apps.train", "--config", path])
    assert done.returncode == 2
    assert "num_epochs" in done.stderr and "Traceback" not in done.stderr
