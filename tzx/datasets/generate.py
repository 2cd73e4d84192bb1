"""Writing generated rows, one chunk in memory at a time, and telling how good a model can get on them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tzx.datasets.criteo import Criteo
from tzx.datasets.layouts import Layout
from tzx.datasets.planted import ScoreHistogram
from tzx.datasets.taobao import Taobao
from tzx.datasets.writing import write_chunks
from tzx.runtime.errors import UserError

LAYOUTS: dict[str, Callable[[int], Layout]] = {
    "criteo": lambda seed: Criteo(seed),
    "criteo_hashed": lambda seed: Criteo(seed, hashed=True),
    "taobao": lambda seed: Taobao(seed),
    "taobao_long": lambda seed: Taobao(seed, history_length=100),
}
CHUNK_ROWS = 65_536
# Chunks of test rows are numbered from here, so that no number of training rows ever reaches them.
_FIRST_TEST_CHUNK = 1 << 20


@dataclass(frozen=True)
class Request:
    """What to write: `rows` for training and `test_rows` for testing, each spread over `files` files."""

    layout: str
    out: Path
    rows: int
    test_rows: int
    seed: int
    files: int
    formats: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """One written part: pattern of its files, rows, and per label (rate, AUC of the true probabilities)."""

    path: str
    rows: int
    labels: dict[str, tuple[float, float]]


def generate(request: Request) -> list[Part]:
    """Write the train and test parts; the rows depend on seed and position alone, not on the number of files."""
    for name, least in (("rows", 1), ("test_rows", 0), ("files", 1)):
        if getattr(request, name) < least:
            raise UserError(f"--{name} is {getattr(request, name)}, must be at least {least}")
    _check_no_other_files(request)
    layout = LAYOUTS[request.layout](request.seed)
    parts = []
    for part, first, rows in (("train", 0, request.rows), ("test", _FIRST_TEST_CHUNK, request.test_rows)):
        histograms = {label: ScoreHistogram() for label in layout.labels}
        for file_format in request.formats if rows else ():
            histograms = {label: ScoreHistogram() for label in layout.labels}
            _write_part(layout, request, (part, first, rows), file_format, histograms)
        labels = {label: (histogram.rate, histogram.auc) for label, histogram in histograms.items()}
        if rows:
            parts.append(Part(f"{request.out / part}/*.{'|'.join(request.formats)}", rows, labels))
    return parts


def summary(parts: Sequence[Part]) -> str:
    """A table of what lies where, for the screen."""
    lines = [f"{'wrote':<44}{'rows':>12}  label rate and best possible AUC"]
    for part in parts:
        shown = "  ".join(f"{label} {100 * rate:.1f}% {auc:.4f}" for label, (rate, auc) in part.labels.items())
        lines.append(f"{part.path:<44}{part.rows:>12}  {shown}")
    return "\n".join(lines)


def _write_part(
    layout: Layout,
    request: Request,
    part: tuple[str, int, int],
    file_format: str,
    histograms: dict[str, ScoreHistogram],
) -> None:
    name, first, rows = part
    cuts = [rows * i // request.files for i in range(request.files + 1)]
    source = _Slices(_chunks(layout, first, rows, histograms))
    for index in range(request.files):
        path = request.out / name / _file_name(index)
        write_chunks(source.take(cuts[index + 1] - cuts[index]), layout.schema, path, file_format)


def _file_name(index: int) -> str:
    return f"part-{index:05d}"


def _check_no_other_files(request: Request) -> None:
    """Files that this run does not replace would be read along with those it writes."""
    for part in ("train", "test"):
        for file_format in request.formats:
            expected = {f"{_file_name(index)}.{file_format}" for index in range(request.files)}
            for path in sorted((request.out / part).glob(f"*.{file_format}")):
                if path.name not in expected:
                    raise UserError(f"{path} is there already and not from this run: delete it or choose another --out")


def _chunks(layout: Layout, first: int, rows: int, histograms: dict[str, ScoreHistogram]) -> Iterator[pa.Table]:
    for index, start in enumerate(range(0, rows, CHUNK_ROWS)):
        chunk = layout.chunk(first + index, CHUNK_ROWS)
        size = min(CHUNK_ROWS, rows - start)
        for label, histogram in histograms.items():
            histogram.add(chunk.probabilities[label][:size], chunk.table[label].to_numpy()[:size])
        yield chunk.table.slice(0, size)


class _Slices:
    """Cuts a stream of tables into runs of any length."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._rest: pa.Table | None = None

    def take(self, rows: int) -> Iterator[pa.Table]:
        """The next `rows` rows."""
        while rows > 0:
            table = self._rest if self._rest is not None else next(self._tables)
            yield table.slice(0, rows)
            self._rest = table.slice(rows) if table.num_rows > rows else None
            rows -= min(rows, table.num_rows)
