"""Finds the rows of CSV text that holds quotes, as Arrow's parser sees them; compiled by Numba on first use.

A quote opens a quoted field only at the start of a field; inside, line ends and delimiters are text, and two quotes
are one. Empty lines are no rows. Carriage return, line feed and both together end a line.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

LINE_START, FIELD_START, IN_FIELD, QUOTED, QUOTE_IN_QUOTED = range(5)

_CR, _LF, _QUOTE = 13, 10, 34


@njit(nogil=True, cache=True)
def row_starts(data: npt.NDArray[np.uint8], delimiter: int, state: int, out: npt.NDArray[np.int64]) -> tuple[int, int]:
    """Fill `out` with the places in `data` where rows start; returns their number and the state after `data`."""
    found = 0
    for at in range(len(data)):
        byte = data[at]
        if state == QUOTED:
            if byte == _QUOTE:
                state = QUOTE_IN_QUOTED
            continue
        if byte in (_LF, _CR):
            state = LINE_START
            continue
        if state == LINE_START:
            out[found] = at
            found += 1
            state = FIELD_START
        if byte == _QUOTE and state in (FIELD_START, QUOTE_IN_QUOTED):
            state = QUOTED
        elif byte == delimiter:
            state = FIELD_START
        else:
            state = IN_FIELD
    return found, state
