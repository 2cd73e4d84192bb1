"""docs/config.md shows what the commands in it print today."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format

from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "config.md").read_text()
CONSOLE = re.findall(r"```console\n\$ python ([^\n]*)\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("command", "expected"), CONSOLE, ids=[command for command, _ in CONSOLE])
def test_command(command: str, expected: str):
    run = subprocess.run(
        f"{sys.executable} {command}", shell=True, cwd=ROOT, capture_output=True, text=True, env={**os.environ}
    )
    assert run.stderr + run.stdout == expected


def test_format_example_parses():
    block = re.search(r"```protobuf\n(.*?)```", PAGE, re.DOTALL)
    text_format.Parse(block[1], EasyRecConfig())


def test_python_example_runs():
    block = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    run = subprocess.run([sys.executable, "-c", block[1]], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "num_steps: 10" in run.stdout
