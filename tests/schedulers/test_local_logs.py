"""Logs of local jobs: three streams, followed or not, whatever the program writes."""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from torchx.schedulers.api import Stream

from tzx_schedulers._words import SchedulerError

MIXED = r"""
import sys, time
sys.stdout.write('out 1\n'); sys.stdout.flush(); time.sleep(0.3)
sys.stderr.write('err 1\n'); sys.stderr.flush(); time.sleep(0.3)
sys.stdout.write('out 2'); sys.stdout.flush()
"""


def test_streams(local: Any) -> None:
    app_id = local.run(MIXED)[0]
    assert local.log(app_id) == ["out 1\n", "err 1\n", "out 2\n"]
    assert local.log(app_id, streams=Stream.COMBINED) == ["out 1\n", "err 1\n", "out 2\n"]
    assert local.log(app_id, streams=Stream.STDOUT) == ["out 1\n", "out 2\n"]
    assert local.log(app_id, streams=Stream.STDERR) == ["err 1\n"]
    assert local.log(app_id, regex=r"\w+ 1") == ["out 1\n", "err 1\n"]


def test_following_ends_with_the_job_and_misses_nothing(local: Any) -> None:
    script = "import time\nfor n in range(30): print(n, flush=True); time.sleep(0.05)\nprint('end', end='')"
    app_id = local.start(script)
    lines = local.log(app_id, should_tail=True)
    assert lines == [f"{n}\n" for n in range(30)] + ["end\n"]
    assert local.state(app_id) == "SUCCEEDED"


def test_not_following_ends_at_once(local: Any, until: Callable[..., Any]) -> None:
    app_id = local.start("import time; print('now', flush=True); time.sleep(600)")
    until(lambda: local.log(app_id))
    begin = time.monotonic()
    assert local.log(app_id) == ["now\n"]
    assert time.monotonic() - begin < 5


WAIT = "import os, time\ndef wait(name):\n    while not os.path.exists(name): time.sleep(0.02)\n"


def test_an_unfinished_line_is_shown_while_the_job_runs(local: Any, until: Callable[..., Any], home: Path) -> None:
    app_id = local.start(f"{WAIT}print('loading ... ', end='', flush=True); wait('go'); print('done')")
    until(lambda: local.log(app_id) == ["loading ... \n"])
    (home / "go").touch()
    local.wait(app_id)
    assert local.log(app_id) == ["loading ... done\n"]


def test_progress_bars_come_through_while_they_move(local: Any, until: Callable[..., Any]) -> None:
    script = "import time\nfor n in range(3): print(f'\\r{n}/3', end='', flush=True); time.sleep(0.2)\nprint()"
    app_id = local.start(script)
    lines = local.log(app_id, should_tail=True)
    assert "".join(lines).replace("\r\n", "\n") == "\r0/3\r1/3\r2/3\n"


def test_windows_line_ends_stay_whole(local: Any) -> None:
    app_id = local.run("import sys; sys.stdout.buffer.write(b'a\\r\\nb\\r\\n')")[0]
    assert local.log(app_id) == ["a\r\n", "b\r\n"]


def test_bytes_that_are_no_text(local: Any) -> None:
    app_id = local.run("import sys; sys.stdout.buffer.write(b'\\xff\\xfe ok\\n\\x00\\n')")[0]
    assert local.log(app_id) == ["\ufffd\ufffd ok\n", "\x00\n"]


def test_lines_of_two_streams_do_not_mix(local: Any) -> None:
    script = r"""
import sys, threading
def write(file, letter):
    for _ in range(300):
        file.write(letter * 50); file.flush(); file.write(letter * 50 + '\n'); file.flush()
threads = [threading.Thread(target=write, args=a) for a in ((sys.stdout, 'o'), (sys.stderr, 'e'))]
[t.start() for t in threads]; [t.join() for t in threads]
"""
    app_id = local.run(script)[0]
    assert set(local.log(app_id)) == {"o" * 100 + "\n", "e" * 100 + "\n"}
    assert len(local.log(app_id)) == 600


def test_much_output_is_complete(local: Any) -> None:
    app_id = local.run("import sys\nfor n in range(200000): print(n, 'x' * 40)")[0]
    lines = local.log(app_id)
    assert len(lines) == 200000 and lines[-1].startswith("199999 ")


def test_output_after_the_leader_closed_it_does_not_hang(local: Any) -> None:
    app_id, state = local.run(
        "import os, sys, time; print('last', flush=True); os.close(1); os.close(2); time.sleep(0.5)"
    )
    assert state == "SUCCEEDED" and local.log(app_id) == ["last\n"]


def test_since_and_until(local: Any, until: Callable[..., Any], home: Path) -> None:
    app_id = local.start(f"{WAIT}print(0, flush=True); wait('one'); print(1, flush=True); wait('two'); print(2)")
    until(lambda: local.log(app_id) == ["0\n"])
    time.sleep(0.3)
    (home / "one").touch()
    until(lambda: local.log(app_id) == ["0\n", "1\n"])
    time.sleep(0.3)
    middle = datetime.now()
    time.sleep(0.3)
    (home / "two").touch()
    local.wait(app_id)
    assert local.log(app_id, since=middle) == ["2\n"]
    assert local.log(app_id, until=middle) == ["0\n", "1\n"]
    assert local.log(app_id, since=datetime.now()) == []
    assert local.log(app_id, since=datetime(2000, 1, 1)) == ["0\n", "1\n", "2\n"]


def test_roles_and_replicas_that_are_not_there(local: Any) -> None:
    app_id = local.run("pass", replicas=2)[0]
    with pytest.raises(SchedulerError, match=r"has no role 'trainer'; its roles: worker"):
        local.log(app_id, role="trainer")
    with pytest.raises(SchedulerError, match=r"replicas 0 to 1, not 2"):
        local.log(app_id, 2)
