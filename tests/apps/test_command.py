"""The behaviour every app shares, seen from outside: a real process, its exit code, stdout and stderr."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PRELUDE = """
import sys
from tzx.apps.command import Parser, add_config_flags, run
from tzx.runtime.errors import *
"""


def app(body: str, *args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    code = f"{PRELUDE}\ndef main(argv):\n    {body}\nrun(main)\n"
    return subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, env={**os.environ, **(env or {})}
    )


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        ("ConfigError('x.config:3:5: unknown field')", 2, "error: x.config:3:5: unknown field"),
        ("UserError('no')", 2, "error: no"),
        ("DataError('a.csv: row 7')", 65, "error: a.csv: row 7"),
        ("StorageError('disk')", 74, "error: disk"),
        ("TransientError('again')", 75, "error: again"),
        ("Preempted('saved')", 143, "error: saved"),
    ],
)
def test_each_tzx_error_has_its_exit_code_and_no_traceback(raised: str, code: int, message: str) -> None:
    done = app(f"raise {raised}")
    assert done.returncode == code
    assert done.stderr.strip() == message
    assert done.stdout == ""


def test_debug_adds_the_traceback() -> None:
    done = app("raise ConfigError('bad')", "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr and done.stderr.strip().endswith("error: bad")


def test_an_unexpected_error_keeps_its_traceback() -> None:
    done = app("return {}['missing']")
    assert done.returncode == 1
    assert "Traceback" in done.stderr and done.stderr.strip().endswith("error: KeyError: 'missing'")


def test_a_missing_file_is_a_user_error_and_a_full_disk_is_not() -> None:
    missing = app("open('/no/such/file')")
    assert (missing.returncode, missing.stderr.strip()) == (2, "error: /no/such/file: No such file or directory")
    full = app("open('/dev/full', 'w').write('x' * 100000)")
    assert (full.returncode, full.stderr.strip()) == (74, "error: No space left on device")


def test_the_error_inside_a_checkpoint_exception_decides() -> None:
    body = (
        "T = type('CheckpointException', (BaseException,), "
        "{'failures': {1: (StorageError('no room'), None)}}); raise T('many lines')"
    )
    done = app(body)
    assert (done.returncode, done.stderr.strip()) == (74, "error: no room")


def test_interrupt_ends_with_130_and_return_value_is_the_exit_code() -> None:
    assert app("raise KeyboardInterrupt").returncode == 130
    assert app("return 7").returncode == 7
    assert app("return None").returncode == 0
    assert app("sys.exit(5)").returncode == 5


def test_a_closed_pipe_ends_quietly() -> None:
    code = f"{PRELUDE}\ndef main(argv):\n    [print('x' * 999) for _ in range(9999)]\nrun(main)\n"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(20) == 141
    assert process.stderr.read() == b""


def test_the_error_file_is_what_torchx_status_reads(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "error.json"
    app("raise DataError('row 3 of a.csv')", env={"TORCHELASTIC_ERROR_FILE": str(path)})
    message = json.loads(path.read_text())["message"]
    assert message["message"] == "row 3 of a.csv"
    assert message["errorCode"] == 65
    assert "DataError" in message["extraInfo"]["py_callstack"]
    assert int(message["extraInfo"]["timestamp"]) > 1_700_000_000


def test_a_bad_flag_is_left_for_the_launcher_too(tmp_path: Path) -> None:
    path = tmp_path / "error.json"
    done = app("Parser('Trains.').parse_args(argv)", "--modeldir", "x", env={"TORCHELASTIC_ERROR_FILE": str(path)})
    assert done.returncode == 2
    message = json.loads(path.read_text())["message"]
    assert (message["message"], message["errorCode"]) == ("unknown flag --modeldir", 2)


def test_the_rank_is_named_when_there_are_several() -> None:
    done = app("raise DataError('x')", env={"RANK": "3", "WORLD_SIZE": "8"})
    assert done.stderr.strip() == "[rank 3] error: x"


def test_ranks_that_lost_a_peer_leave_the_word_to_it() -> None:
    lost = "raise RuntimeError('[gloo/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:2989')"
    done = app(lost, env={"RANK": "0", "WORLD_SIZE": "2"})
    assert done.stderr.strip() == "[rank 0] error: lost the connection to another rank, whose own error says why"
    assert done.returncode == 1
    assert "Traceback" in app(lost).stderr


PARSE = (
    "p = Parser('Trains.', prog='train'); add_config_flags(p); p.add_argument('--model_dir'); "
    "print(vars(p.parse_args(argv)))"
)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--config", "x", "--modl_dir", "m"], "unknown flag --modl_dir, did you mean --model_dir?"),
        (["--config", "x", "--model-dir=m"], "unknown flag --model-dir, did you mean --model_dir?"),
        (["--config", "x", "--model", "m"], "unknown flag --model, did you mean --model_dir?"),
        (["--config", "x", "--zzz"], "unknown flag --zzz"),
        (["--config", "x", "--zzz", "--sett", "a=1"], "unknown flag --zzz; unknown flag --sett, did you mean --set?"),
        (["--config", "x", "stray"], "unexpected 'stray': values are given as --name value"),
        ([], "the following arguments are required: --config/--pipeline_config_path"),
        (["--config"], "argument --config/--pipeline_config_path: expected one argument"),
    ],
)
def test_a_bad_flag_names_the_nearest_one(args: list[str], message: str) -> None:
    done = app(PARSE, *args)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == f"train: error: {message}"


def test_config_flags() -> None:
    done = app(
        PARSE, "--pipeline_config_path", "x.config", "--set", "a=1,2", "--set", "b=[3]", "--edit_config_json", "{}"
    )
    assert eval(done.stdout) == {
        "config": "x.config",
        "sets": ["a=1,2", "b=[3]"],
        "edit_config_json": "{}",
        "user_module": None,
        "debug": False,
        "model_dir": None,
    }


def test_importing_it_brings_no_torch() -> None:
    code = "import sys, tzx.apps.command; print(sorted(m for m in ('torch', 'numpy', 'pyarrow') if m in sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
