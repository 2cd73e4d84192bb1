"""The commands in the documents work, and what they point at is there.

A block marked <!-- test --> is run: ```bash blocks as a script, ```console blocks command by command. What a console
block shows must then appear, line by line and in order. A block marked <!-- test BACKEND --> is run by
tests/schedulers/test_pages.py, which starts the backend.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import DOCUMENTS, ROOT, Block, Reader, blocks

_LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?!https?://|mailto:|#)([^)#\s]+)")


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in blocks() if block.where == ""], ids=lambda block: block.name)
def test_commands_do_what_the_document_says(block: Block, tmp_path: Path) -> None:
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "200",
    }
    if block.kind == "console":
        Reader(ROOT, env).read(block)
    else:
        script = ["bash", "-euo", "pipefail", "-c", block.body]
        done = subprocess.run(
            script, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda f: str(f.relative_to(ROOT)))
def test_links_lead_somewhere(file: Path) -> None:
    missing = [link for link in _LINK.findall(file.read_text()) if not (file.parent / link).exists()]
    assert missing == []


def test_every_document_can_be_found() -> None:
    """Each file in docs is linked from the README or from another document."""
    linked = {(f.parent / link).resolve() for f in DOCUMENTS for link in _LINK.findall(f.read_text())}
    lost = [str(f.relative_to(ROOT)) for f in DOCUMENTS if f.parent != ROOT and f.resolve() not in linked]
    assert lost == []
