"""A model directory behind the real S3 protocol: a run killed between and within uploads ends as if it had not been."""

import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from comparing import assert_same
from rank_runner import into

from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training.storage import location

pytest.importorskip("s3fs")
pytest.importorskip("moto")
pytestmark = [pytest.mark.slow, pytest.mark.backend]

STEPS = 25


@pytest.fixture(scope="module")
def store():
    """The environment that leads to a store on this machine, with a bucket."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    environment = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            wait_for(address, server)
            location("s3://bucket").mkdir()
            yield environment
    finally:
        server.kill()
        server.wait()


def wait_for(address, server):
    for _ in range(600):
        assert server.poll() is None
        try:
            return urllib.request.urlopen(address)
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"nothing answers at {address}")


def test_killed_and_stopped_runs_end_bit_for_bit_as_one_that_was_not(runner, config_text, store):
    for old, new in {
        "num_epochs: 2": f"num_steps: {STEPS} use_tensorboard: false keep_checkpoint_max: 2",
        "save_checkpoints_steps: 15": "save_checkpoints_steps: 10",
        "eval_input_path": "#",
    }.items():
        assert old in config_text
        config_text = config_text.replace(old, new)
    whole, cut = into(config_text, "s3://bucket/whole"), into(config_text, "s3://bucket/cut")
    assert runner.run(whole, 2, environment=store) == [0, 0], runner.log()
    assert [ckpt.step_of(p) for p in ckpt.committed_checkpoints("s3://bucket/whole")] == [20, STEPS]
    for rank, fault, code, saved in (
        (1, ("kill at a write", 3), -signal.SIGKILL, {0}),
        (0, ("term", 13), 143, {13, 14}),
    ):
        codes = runner.run(cut, 2, environment=store, faults={rank: fault})
        assert codes[rank] == code, (fault, codes, runner.log())
        steps = [0, *(ckpt.step_of(p) for p in ckpt.committed_checkpoints("s3://bucket/cut"))]
        assert steps[-1] in saved, (fault, steps)
    assert runner.run(cut, 2, environment=store) == [0, 0], runner.log()
    assert_same(*(ckpt.find_intact(f"s3://bucket/{name}") for name in ("whole", "cut")))
