"""The commands in the documents work, and what they point at is there.

A block marked <!-- test --> is run: ```bash blocks as a script, ```console blocks by their lines that begin with "$ ".
The output shown in a console block must then appear, line by line and in order; "..." stands for anything.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"<!--\s*test\s*-->\s*\n```(?P<kind>bash|console)\n(?P<body>.*?)\n```", re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?!https?://|mailto:|#)([^)#\s]+)")


@dataclass(frozen=True)
class Block:
    file: Path
    line: int
    kind: str
    body: str

    @property
    def script(self) -> str:
        if self.kind == "bash":
            return self.body
        lines = re.sub(r"\\\n(> )?", " ", self.body).splitlines()
        return "\n".join(line[2:] for line in lines if line.startswith("$ "))

    @property
    def output(self) -> list[str]:
        if self.kind == "bash":
            return []
        joined = re.sub(r"\\\n(> )?", " ", self.body).splitlines()
        return [line.strip() for line in joined if not line.startswith("$ ") and line.strip()]


def blocks() -> list[Block]:
    found = []
    for file in DOCUMENTS:
        text = file.read_text()
        for match in _BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(file, line, match["kind"], match["body"]))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks(), ids=lambda b: f"{b.file.relative_to(ROOT)}:{b.line}")
def test_commands_do_what_the_document_says(block: Block, tmp_path: Path) -> None:
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "200",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.script],
        cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    rest = done.stdout
    for line in block.output:
        pattern = ".*".join(re.escape(part) for part in re.split(r"\.\.\.", line))
        pattern = re.sub(r"(?:\\ )+", r"\\s+", pattern)
        match = re.search(pattern, rest)
        assert match, f"{line!r} does not appear in what is left of the output:\n{rest}"
        rest = rest[match.end() :]


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda f: str(f.relative_to(ROOT)))
def test_links_lead_somewhere(file: Path) -> None:
    missing = [link for link in _LINK.findall(file.read_text()) if not (file.parent / link).exists()]
    assert missing == []


def test_every_document_can_be_found() -> None:
    """Each file in docs is linked from the README or from another document."""
    linked = {(f.parent / link).resolve() for f in DOCUMENTS for link in _LINK.findall(f.read_text())}
    lost = [str(f.relative_to(ROOT)) for f in DOCUMENTS if f.parent != ROOT and f.resolve() not in linked]
    assert lost == []
