"""The commit marker of a checkpoint, which is also its manifest: size and checksum of every other file.

Its last line holds the checksum of the lines before, so that damage to the marker itself shows too.
"""

import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

from tzx.runtime.training.storage import Sum, sum_file, write_file

MARKER = "COMMITTED"
_LAST_LINE = re.compile(r"crc32 ([0-9a-f]{8})\n")


def write_marker(checkpoint: Path, files: Mapping[str, Sum]) -> None:
    """Write the marker, which makes a directory a checkpoint; `files` by their paths below it."""
    lines = [f"{json.dumps(name)}: [{size}, {crc}]" for name, (size, crc) in sorted(files.items())]
    body = '{"files": {\n' + ",\n".join(lines) + "\n}}\n"
    write_file(checkpoint / MARKER, f"{body}crc32 {zlib.crc32(body.encode()):08x}\n")


def read_marker(checkpoint: Path) -> dict[str, Sum]:
    """What the marker says.

    Raises:
        ValueError: it is damaged.
    """
    raw = (checkpoint / MARKER).read_bytes()
    body, last = raw[: raw.rfind(b"\n", 0, -1) + 1], raw[raw.rfind(b"\n", 0, -1) + 1 :]
    match = _LAST_LINE.fullmatch(last.decode("latin-1"))
    if match is None or int(match[1], 16) != zlib.crc32(body):
        raise ValueError(f"{checkpoint / MARKER} is damaged: its own checksum does not fit")
    return {name: Sum(*numbers) for name, numbers in json.loads(body)["files"].items()}


def find_damage(checkpoint: Path, part: int = 0, parts: int = 1) -> list[str]:
    """Read a checkpoint's files back; one line for each that is not what was written.

    Args:
        checkpoint: a committed checkpoint.
        part: with `parts`, which share of the files to read, so that ranks can divide the work.
        parts: number of shares.
    """
    try:
        files = read_marker(checkpoint)
    except ValueError as error:
        return [str(error)]
    mine = sorted(files, key=lambda name: (-files[name].size, name))[part::parts]
    return [problem for name in mine if (problem := _damage(checkpoint / name, files[name]))]


def _damage(path: Path, written: Sum) -> str:
    if not path.is_file():
        return f"{path} is missing"
    found = sum_file(path)
    if found.size != written.size:
        return f"{path} has {found.size} bytes, {written.size} were written"
    if found.crc32 != written.crc32:
        return f"{path} has checksum {found.crc32:08x}, {written.crc32:08x} was written"
    return ""
