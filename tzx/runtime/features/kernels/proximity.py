"""How near to one another the words of a query stand in a title."""

import numpy as np
import numpy.typing as npt
from numba import njit

from tzx.runtime.features.arrays import Int32, Int64

MOST_TERMS = 100


@njit(nogil=True, cache=True)
def _shortest_cover(terms: Int64, size: int, count: int, seen: Int64) -> int:
    """Length of the shortest run of terms[:size] that holds each of `count` terms; -1 is no term."""
    seen[:count] = 0
    held, first, best = 0, 0, size
    for last in range(size):
        term = terms[last]
        if term >= 0:
            held += seen[term] == 0
            seen[term] += 1
        while held == count:
            best = min(best, last + 1 - first)
            term = terms[first]
            if term >= 0:
                seen[term] -= 1
                held -= seen[term] == 0
            first += 1
    return best


@njit(nogil=True, cache=True)
def _closest(terms: Int64, size: int, one: int, count: int, best: Int64) -> None:
    """Fill `best` with the distance from term `one` to each other term of the first `count`."""
    best[:count] = size
    last = -1
    for at in range(size):
        if terms[at] == one:
            last = at
        elif last >= 0 and 0 <= terms[at] < count:
            best[terms[at]] = min(best[terms[at]], at - last)
    last = -1
    for at in range(size - 1, -1, -1):
        if terms[at] == one:
            last = at
        elif last >= 0 and 0 <= terms[at] < count:
            best[terms[at]] = min(best[terms[at]], last - at)


@njit(nogil=True, cache=True)
def proximity(
    found: Int64, query_numbers: Int64, title_numbers: Int64, lengths: Int32, title_lengths: Int32
) -> tuple[Int64, Int64, Int64, npt.NDArray[np.float64]]:
    """Shortest cover, and least, largest and mean distance of two query words, in every title.

    Distances are those of the first MOST_TERMS distinct query words that the title holds.

    Args:
        found: number of an equal title word for every query word, -1 for none.
        query_numbers: `number_words` of the queries.
        title_numbers: `number_words` of the titles.
        lengths: words per query.
        title_lengths: words per title.
    """
    rows = len(lengths)
    cover, least, largest, mean = (
        np.empty(rows, np.int64), np.empty(rows, np.int64), np.empty(rows, np.int64), np.empty(rows, np.float64)
    )  # fmt: skip
    most = 0
    for i in range(rows):
        most = max(most, title_lengths[i])
    term_of, terms = np.empty(most, np.int64), np.empty(most, np.int64)
    seen, best = np.empty(most, np.int64), np.empty(MOST_TERMS, np.int64)
    word, first = 0, 0
    for i in range(rows):
        size = title_lengths[i]
        term_of[:size] = -1
        count = 0
        for w in range(word, word + lengths[i]):
            if query_numbers[w] == w and found[w] >= 0:
                term_of[title_numbers[found[w]] - first] = count
                count += 1
        for at in range(size):
            terms[at] = term_of[title_numbers[first + at] - first]
        cover[i] = _shortest_cover(terms, size, count, seen) if count else size
        least[i], largest[i], total, pairs = size, size if count < 2 else 0, 0, 0
        limit = min(count, MOST_TERMS)
        for one in range(limit - 1):
            _closest(terms, size, one, limit, best)
            for other in range(one + 1, limit):
                least[i] = min(least[i], best[other])
                largest[i] = max(largest[i], best[other])
                total += best[other]
                pairs += 1
        mean[i] = total / pairs if pairs else size
        word += lengths[i]
        first += size
    return cover, least, largest, mean
