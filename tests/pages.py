"""What the documents show: blocks of commands with their output, and the commands in them."""

import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(
    r"(?:<!--\s*test ?(?P<where>\w*)\s*-->\s*\n)?```(?P<kind>\w*)\n(?P<body>.*?)\n```"
    r"|(?P<indented>(?:^ {4}[^\n]+\n)+)",
    re.DOTALL | re.MULTILINE,
)
_HANDLE = re.compile(r"\w+://torchx/[\w:-]+(?![\w:.-])")
_VARYING = re.compile(r"(\.\.\.|\d\d:\d\d:\d\d|\d{4}-\d\d-\d\d|\s+)")


@dataclass(frozen=True)
class Block:
    file: Path
    line: int
    where: str | None  # what is written behind <!-- test, or None if it is not there
    kind: str
    body: str

    @property
    def name(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}"

    @property
    def steps(self) -> list[tuple[str, list[str]]]:
        """Commands of a console, each with the lines that it prints."""
        found: list[tuple[str, list[str]]] = []
        for line in re.sub(r"\\\n(> )?", " ", self.body).splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.strip() and found:
                found[-1][1].append(line.strip())
        return found

    @property
    def commands(self) -> list[str]:
        """Everything that a reader would type."""
        if self.kind == "console":
            return [command for command, _ in self.steps]
        lines = re.sub(r"\\\n", " ", self.body).splitlines() if self.kind in ("", "bash") else []
        return [re.sub(r" {2,}# .*", "", line).strip() for line in lines]


def blocks() -> Iterator[Block]:
    """All blocks of all documents."""
    for file in DOCUMENTS:
        text = file.read_text()
        for match in _BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield Block(file, line, match["where"], match["kind"] or "", match["body"] or match["indented"])


class Reader:
    """Somebody who types what a block shows and looks whether it prints what is shown.

    "..." stands for anything, a time of the day or a date for any other. A handle stands for the one that is seen in
    its place, also in the commands that follow.
    """

    def __init__(self, work: Path, env: Mapping[str, str]) -> None:
        self.work, self.env = work, env
        self.handles: dict[str, str] = {}

    def read(self, block: Block) -> None:
        """Types every command, and asks again what only looks, until it shows what is expected."""
        for command, lines in block.steps:
            end = time.monotonic() + (120 if re.match(r"torchx (status|list|log) ", command) else 0)
            while not (seen := self._try(command, lines)) and time.monotonic() < end:
                time.sleep(0.5)
            assert seen, self.complaint

    def _try(self, command: str, lines: list[str]) -> bool:
        typed = _HANDLE.sub(lambda match: self.handles.get(match[0], match[0]), command)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", typed],
            cwd=self.work, env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600,
        )  # fmt: skip
        self.complaint = f"{typed}\nended with {done.returncode}:\n{done.stdout}"
        return done.returncode == 0 and self._matches(lines, done.stdout)

    def _matches(self, lines: list[str], rest: str) -> bool:
        for line in lines:
            match = re.search(self._pattern(line), rest)
            if match is None:
                self.complaint += f"\n{line!r} is not in what is left of it:\n{rest}"
                return False
            self.handles |= dict(zip(_HANDLE.findall(line), match.groups(), strict=True))
            rest = rest[match.end() :]
        return True

    def _pattern(self, line: str) -> str:
        def handle(text: str) -> str:
            known = self.handles.get(text)
            return f"({re.escape(known)})" if known else rf"({text.partition('://')[0]}://torchx/[\w:-]+)"

        pieces = re.split(f"({_HANDLE.pattern})", line)
        return "".join(handle(piece) if _HANDLE.fullmatch(piece) else loosened(piece) for piece in pieces)


def loosened(text: str) -> str:
    """A pattern for what a document shows, which changes in some places."""
    stands_for = {"...": ".*", ":": r"\d\d:\d\d:\d\d", "-": r"\d{4}-\d\d-\d\d"}

    def one(piece: str) -> str:
        if not _VARYING.fullmatch(piece):
            return re.escape(piece)
        return r"\s+" if piece.isspace() else stands_for["..." if piece == "..." else piece.strip("0123456789")[0]]

    return "".join(one(piece) for piece in _VARYING.split(text) if piece)
