"""Looking up and updating rows of float32 tables on CPU, compiled by Numba on first use and kept in its cache.

What a batch touches is scattered over memory, so a step on tables costs the cache misses of its rows. Therefore

* rows are asked for some steps ahead, so that several misses are under way at a time;
* a row is updated once, there and then, with the sum of the gradients of equal ids in the order of the batch;
* arrays are flat and indices unsigned: views of rows, or checks for negative indices, would cost more than the sums.

Threads take ranges of rows, so that results do not depend on how many there are.

Legend: N ids, F features, B rows of the batch, D width.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from tzx.runtime.embedding.prefetch import prefetch

UInt64 = npt.NDArray[np.uint64]
UInt32 = npt.NDArray[np.uint32]
Float32 = npt.NDArray[np.float32]

FINE = -1  # what lookups return when every id has a row

_U = np.uint64
_ONE = np.uint64(1)
_LINE = np.uint64(16)  # floats of a cache line
_AHEAD = np.uint64(12)
_BLOCK = np.uint64(32)  # rows of the batch whose rows of tables are asked for together
_DIGIT_BITS = 12  # counts of a digit of the radix sort fit into the first cache
_SAMPLES = 1024

_compiled = njit(nogil=True, cache=True, error_model="numpy")
# Calls would count references to every array that they pass, which costs more than a row.
_inlined = njit(nogil=True, error_model="numpy", inline="always")


class Bags(NamedTuple):
    """Ids of neighbouring features of tables of one width."""

    ids: UInt64  # of all features, others too
    offsets: UInt64  # [F * B + 1]: where the bags of these features begin in `ids`
    scale: Float32  # a factor of each of `ids`; empty where each counts once
    first_rows: UInt64  # [F]: where the feature's table begins
    last_ids: UInt64  # [F]
    dim: int  # D
    batch: int  # B
    width: int  # floats for a row of the batch, of these and other features; 0 where every id has its own
    column: int  # where in these the features begin


class Touched(NamedTuple):
    """Ids of rows from `low` on."""

    low: int
    rows: UInt32  # less `low`
    gradients: UInt64  # where the gradient of each id begins
    places: UInt64  # of each id, in `ids`
    order: UInt32  # of the three above: by row, within a row as in the batch
    flat: Float32  # the gradients
    scale: Float32  # as of the bags
    dim: int  # D


class Hyper(NamedTuple):
    """Hyperparameters; all but the last are float32."""

    lr: Any
    eps: Any
    beta1: Any
    beta2: Any
    correction1: Any  # 1 - beta ** step
    correction2: Any
    decay: Any
    l2: bool  # decay is added to the gradient


@_compiled
def pool(weight: Float32, bags: Bags, first: int, stop: int, output: Float32) -> int:
    """Sums of bags of rows [first, stop) of the batch, into their columns of `output` [B, width].

    Returns:
        The place of an id that its table has not, or FINE.
    """
    dim, batch, features = _U(bags.dim), _U(bags.batch), _U(len(bags.first_rows))
    for block in range(_U(first), _U(stop), _BLOCK):
        end = min(block + _BLOCK, _U(stop))
        for f in range(features):
            for i in range(bags.offsets[f * batch + block], bags.offsets[f * batch + end]):
                if bags.ids[i] > bags.last_ids[f]:
                    return np.int64(i)
                _ask(weight, (bags.first_rows[f] + bags.ids[i]) * dim, dim)
        for b in range(block, end):
            for f in range(features):
                _sum_bag(weight, bags, f, f * batch + b, output, b * _U(bags.width) + _U(bags.column) + f * dim)
    return FINE


@_inlined
def _sum_bag(weight: Float32, bags: Bags, feature: int, bag: int, output: Float32, to: int) -> None:
    dim, first, stop = _U(bags.dim), bags.offsets[bag], bags.offsets[bag + _ONE]
    if first == stop:
        for d in range(dim):
            output[to + d] = 0
    for i in range(first, stop):
        row = (bags.first_rows[feature] + bags.ids[i]) * dim
        scale = bags.scale[i] if len(bags.scale) else np.float32(1)
        if i == first:
            for d in range(dim):
                output[to + d] = scale * weight[row + d]
        else:
            for d in range(dim):
                output[to + d] += scale * weight[row + d]


@_compiled
def gather(weight: Float32, bags: Bags, first: int, stop: int, output: Float32) -> int:
    """Rows of the ids of bags [first, stop) of every feature, into `output` [N, D]; returns what `pool` does."""
    dim, batch = _U(bags.dim), _U(bags.batch)
    for f in range(_U(len(bags.first_rows))):
        end = bags.offsets[f * batch + _U(stop)]
        for i in range(bags.offsets[f * batch + _U(first)], end):
            if bags.ids[i] > bags.last_ids[f]:
                return np.int64(i)
            if i + _AHEAD < end:
                _ask(weight, (bags.first_rows[f] + bags.ids[i + _AHEAD]) * dim, dim)
            row = (bags.first_rows[f] + bags.ids[i]) * dim
            for d in range(dim):
                output[i * dim + d] = weight[row + d]
    return FINE


@_inlined
def _ask(array: Float32, start: int, size: int) -> None:
    for line in range(_U(0), size, _LINE):
        prefetch(array, start + line)


@_compiled
def cuts(bags: Bags, rows: int, parts: int) -> Any:
    """Where to cut the `rows` of the tables so that every part has about as many ids, by a sample of these.

    Returns:
        int64 [parts + 1], rising from 0 to `rows`.
    """
    first, ids = bags.offsets[0], bags.offsets[-1] - bags.offsets[0]
    count = min(_U(_SAMPLES), ids)
    sample = np.empty(count, np.uint64)
    f = 0
    for s in range(count):
        i = first + s * ids // count
        while i >= bags.offsets[(f + 1) * bags.batch]:
            f += 1
        sample[s] = bags.first_rows[f] + bags.ids[i]
    sample.sort()
    found = np.empty(parts + 1, np.int64)
    for part in range(parts):
        found[part] = sample[part * len(sample) // parts] if part and len(sample) else 0
    found[parts] = rows
    return found


@_compiled
def touched(bags: Bags, flat: Float32, low: int, high: int) -> Touched:
    """The ids of rows [low, high), with their gradients in `flat`, which is laid out as the looked up rows were."""
    dim, batch, features = _U(bags.dim), _U(bags.batch), _U(len(bags.first_rows))
    most = bags.offsets[-1] - bags.offsets[0]
    rows, gradients, places = np.empty(most, np.uint32), np.empty(most, np.uint64), np.empty(most, np.uint64)
    n = _U(0)
    for f in range(features):
        for b in range(batch):
            of_bag = b * _U(bags.width) + _U(bags.column) + f * dim
            for i in range(bags.offsets[f * batch + b], bags.offsets[f * batch + b + _ONE]):
                row = bags.first_rows[f] + bags.ids[i]
                if _U(low) <= row < _U(high):
                    rows[n] = row - _U(low)
                    gradients[n] = of_bag if bags.width else i * dim
                    places[n] = i
                    n += _ONE
    order = _by_key(rows[:n], high - low)
    return Touched(low, rows, gradients, places, order, flat, bags.scale, bags.dim)


@_compiled
def _by_key(keys: UInt32, limit: int) -> UInt32:
    """Stable order of keys below `limit`: a radix sort, last digit first."""
    bits = np.int64(math.ceil(math.log2(max(limit, 2))))
    passes = (bits + _DIGIT_BITS - 1) // _DIGIT_BITS
    digit = (bits + passes - 1) // passes
    mask = np.uint32((1 << digit) - 1)
    order, other = np.arange(len(keys)).astype(np.uint32), np.empty(len(keys), np.uint32)
    starts = np.empty(1 << digit, np.uint64)
    for turn in range(passes):
        shift = np.uint32(turn * digit)
        starts[:] = 0
        for key in keys:
            starts[(key >> shift) & mask] += _ONE
        total = _U(0)
        for value in range(len(starts)):
            count = starts[value]
            starts[value] = total
            total += count
        for k in order:
            value = (keys[k] >> shift) & mask
            other[starts[value]] = k
            starts[value] += _ONE
        order, other = other, order
    return order


@_inlined
def _next(t: Touched, at: int, sums: Float32) -> int:
    """Sum the gradients of one row, from the `at`-th id in order on; returns where the next row begins."""
    dim, k = _U(len(sums)), t.order[at]
    row, gradient = t.rows[k], t.gradients[k]
    scale = t.scale[t.places[k]] if len(t.scale) else np.float32(1)
    for d in range(dim):
        sums[d] = scale * t.flat[gradient + d]
    at += _ONE
    while at < _U(len(t.order)) and t.rows[t.order[at]] == row:
        k = t.order[at]
        gradient = t.gradients[k]
        scale = t.scale[t.places[k]] if len(t.scale) else np.float32(1)
        for d in range(dim):
            sums[d] += scale * t.flat[gradient + d]
        at += _ONE
    return at


@_compiled
def sgd(weight: Float32, states: Any, t: Touched, h: Hyper) -> None:
    """Stochastic gradient descent; weight and states are those of all rows, flat, as in all of UPDATES."""
    dim, ids, at, sums = _U(t.dim), _U(len(t.order)), _U(0), np.empty(t.dim, np.float32)
    while at < ids:
        row = (_U(t.low) + t.rows[t.order[at]]) * dim
        if at + _AHEAD < ids:
            k = t.order[at + _AHEAD]
            _ask(t.flat, t.gradients[k], dim)
            _ask(weight, (_U(t.low) + t.rows[k]) * dim, dim)
        at = _next(t, at, sums)
        for d in range(dim):
            weight[row + d] -= h.lr * sums[d]


@_compiled
def adagrad(weight: Float32, states: Any, t: Touched, h: Hyper) -> None:
    """Adagrad with a state for every weight."""
    squares = states[0]
    dim, ids, at, sums = _U(t.dim), _U(len(t.order)), _U(0), np.empty(t.dim, np.float32)
    while at < ids:
        row = (_U(t.low) + t.rows[t.order[at]]) * dim
        if at + _AHEAD < ids:
            k = t.order[at + _AHEAD]
            _ask(t.flat, t.gradients[k], dim)
            _ask(weight, (_U(t.low) + t.rows[k]) * dim, dim)
            _ask(squares, (_U(t.low) + t.rows[k]) * dim, dim)
        at = _next(t, at, sums)
        for d in range(dim):
            squares[row + d] += sums[d] * sums[d]
            weight[row + d] -= h.lr * sums[d] / (math.sqrt(squares[row + d]) + h.eps)


@_compiled
def rowwise_adagrad(weight: Float32, states: Any, t: Touched, h: Hyper) -> None:
    """Adagrad with a state for every row: the mean of the squares."""
    squares = states[0]
    dim, ids, at, sums = _U(t.dim), _U(len(t.order)), _U(0), np.empty(t.dim, np.float32)
    while at < ids:
        r = _U(t.low) + t.rows[t.order[at]]
        row = r * dim
        if at + _AHEAD < ids:
            k = t.order[at + _AHEAD]
            _ask(t.flat, t.gradients[k], dim)
            _ask(weight, (_U(t.low) + t.rows[k]) * dim, dim)
            prefetch(squares, _U(t.low) + t.rows[k])
        at = _next(t, at, sums)
        if h.decay != 0:
            for d in range(dim):
                if h.l2:
                    sums[d] += h.decay * weight[row + d]
                else:
                    weight[row + d] *= np.float32(1) - h.lr * h.decay
        square = np.float32(0)
        for d in range(dim):
            square += sums[d] * sums[d]
        squares[r] += square / np.float32(t.dim)
        step = h.lr / (math.sqrt(squares[r]) + h.eps)
        for d in range(dim):
            weight[row + d] -= step * sums[d]


@_compiled
def adam(weight: Float32, states: Any, t: Touched, h: Hyper) -> None:
    """Adam, on touched rows alone."""
    means, squares = states
    one = np.float32(1)
    dim, ids, at, sums = _U(t.dim), _U(len(t.order)), _U(0), np.empty(t.dim, np.float32)
    while at < ids:
        row = (_U(t.low) + t.rows[t.order[at]]) * dim
        if at + _AHEAD < ids:
            k = t.order[at + _AHEAD]
            _ask(t.flat, t.gradients[k], dim)
            _ask(weight, (_U(t.low) + t.rows[k]) * dim, dim)
            _ask(means, (_U(t.low) + t.rows[k]) * dim, dim)
            _ask(squares, (_U(t.low) + t.rows[k]) * dim, dim)
        at = _next(t, at, sums)
        for d in range(dim):
            means[row + d] += (one - h.beta1) * (sums[d] - means[row + d])
            squares[row + d] = h.beta2 * squares[row + d] + (one - h.beta2) * sums[d] * sums[d]
            scale = math.sqrt(squares[row + d] / h.correction2) + h.eps
            weight[row + d] -= h.lr * (means[row + d] / h.correction1 / scale + h.decay * weight[row + d])


UPDATES = {
    "exact_sgd": sgd,
    "exact_adagrad": adagrad,
    "exact_row_wise_adagrad": rowwise_adagrad,
    "adam": adam,
}
