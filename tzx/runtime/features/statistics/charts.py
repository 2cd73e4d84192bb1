"""Bar charts as inline SVG."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from tzx.runtime.features.statistics.numbers import Numbers

BARS = 40
FEWEST = 8  # bars that fill the width: fewer leave room
FEW = 24  # distinct numbers that get a bar each

BAR = Markup('<g><rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/><title>{}: {:.2%}</title></g>')


def number_text(value: float) -> str:
    """A number in few characters."""
    if value != value or math.isinf(value):
        return str(value)
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}" if abs(value) >= 10000 else str(int(value))
    return f"{value:.4g}"


def histogram(numbers: Numbers, width: int, height: int) -> Markup:
    """How often numbers of each size occur; the outermost percents of a long tail share the last bars."""
    counts, labels = bins(numbers)
    return _bars(counts, labels, width, height)


def bins(numbers: Numbers) -> tuple[list[float], list[str]]:
    """Heights and descriptions of the bars."""
    if not numbers.count:
        return [], []
    if numbers.exact and len(numbers.points) <= FEW:
        return numbers.weights.tolist(), [number_text(point) for point in numbers.points]
    low, high = _span(numbers)
    edges = np.linspace(low, high, BARS + 1)
    below = numbers.below(edges)
    below[0], below[-1] = 0, numbers.count
    names = [f"{number_text(a)} to {number_text(b)}" for a, b in pairwise(edges)]
    if numbers.low < low:
        names[0] = f"below {number_text(edges[1])}"
    if numbers.high > high:
        names[-1] = f"from {number_text(edges[-2])}"
    return np.diff(below).tolist(), names


def _span(numbers: Numbers) -> tuple[float, float]:
    """From the first to the last bar: everything, unless a few numbers lie far out."""
    low, high = numbers.quantile(0.005), numbers.quantile(0.995)
    room = 0.5 * (high - low)
    if numbers.low >= low - room:
        low = numbers.low
    if numbers.high <= high + room:
        high = numbers.high
    return (low, high) if high > low else (numbers.low, numbers.high)


def _bars(counts: Sequence[float], labels: Sequence[str], width: int, height: int) -> Markup:
    if not counts:
        return Markup("")
    top, step = max(counts), width / max(len(counts), FEWEST)
    total = sum(counts)
    shapes = []
    for at, (count, label) in enumerate(zip(counts, labels, strict=True)):
        tall = 0.0 if not count else max(1.0, count / top * height)
        left, wide = at * step, max(0.8, step - min(1.5, step * 0.2))
        shapes.append(BAR.format(left, height - tall, wide, tall, label, count / total))
    frame = Markup('<svg class="bars" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img">{2}</svg>')
    return frame.format(width, height, Markup("").join(shapes))
