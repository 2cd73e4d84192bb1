"""Jagged rows to padded tensors and to sums per row, in plain aten operators.

torch.export traces these with every size dynamic, and serving runs them without FBGEMM.
Legend: B rows, M elements over all rows, T padded length, D width, N ids, S segments.
"""

import torch
from torch import Tensor


def pad(values_MD: Tensor, lengths_B: Tensor, positions_T: Tensor) -> Tensor:
    """Spread jagged elements over [B, T, D], zero where a row has fewer; elements beyond T are left out.

    Args:
        values_MD: elements, row after row.
        lengths_B: integer elements per row, summing to M.
        positions_T: int64 0..T-1; only its size matters, so that a traced graph takes T as an input shape.
    """
    M, D = values_MD.shape
    end_B = lengths_B.cumsum(0)
    start_B1 = (end_B - lengths_B).unsqueeze(1)
    index_BT = torch.where(valid_positions(lengths_B, positions_T), start_B1 + positions_T, M)
    with_zero_row = torch.cat([values_MD, values_MD.new_zeros(1, D)])
    return with_zero_row.index_select(0, index_BT.flatten()).view(lengths_B.shape[0], positions_T.shape[0], D)


def valid_positions(lengths_B: Tensor, positions_T: Tensor) -> Tensor:
    """Bool [B, T], true where a row has an element."""
    return positions_T.unsqueeze(0) < lengths_B.unsqueeze(1)


def segment_ids(lengths_S: Tensor, size: int) -> Tensor:
    """The segment of each of `size` ids: 0 repeated lengths[0] times, then 1 and so on; int64 [N]."""
    segments_S = torch.arange(lengths_S.shape[0], device=lengths_S.device)
    return torch.repeat_interleave(segments_S, lengths_S, output_size=size)


def segment_pool(values_ND: Tensor, lengths_S: Tensor, pooling: str, weights_N: Tensor | None = None) -> Tensor:
    """Sum or mean of consecutive rows, optionally weighted; an empty segment gives 0.

    The mean divides by the number of ids, not by the sum of their weights, as FBGEMM does.

    Args:
        values_ND: rows, segment after segment.
        lengths_S: integer rows per segment, summing to N.
        pooling: "sum" or "mean".
        weights_N: float factors of the rows.
    """
    if weights_N is not None:
        values_ND = values_ND * weights_N.unsqueeze(1)
    if _all_single(values_ND, lengths_S):
        return values_ND
    N, D = values_ND.shape
    sums_SD = values_ND.new_zeros(lengths_S.shape[0], D).index_add(0, segment_ids(lengths_S, N), values_ND)
    return mean_of_sums(sums_SD, lengths_S) if pooling == "mean" else sums_SD


def mean_of_sums(sums: Tensor, lengths: Tensor) -> Tensor:
    """Divide sums [..., D] by counts [...], leaving empty ones at 0."""
    return sums / lengths.clamp(min=1).unsqueeze(-1)


def _all_single(values_ND: Tensor, lengths_S: Tensor) -> bool:
    # Most segments hold one id, where a look at the lengths saves the sum; on a GPU the look would wait for it.
    if torch.compiler.is_compiling() or values_ND.device.type != "cpu" or values_ND.shape[0] != lengths_S.shape[0]:
        return False
    return bool((lengths_S == 1).all())
