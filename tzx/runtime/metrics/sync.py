"""Exchange of metric states between processes; does nothing in a single process. Legend: N rows."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes that compute metrics together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process decides where all must do the same."""
    return world_size() == 1 or dist.get_rank() == 0


def _exchange_device() -> torch.device:
    backends = str(dist.get_backend_config())
    return torch.device("cpu") if "cpu:" in backends else torch.device("cuda", torch.cuda.current_device())


def all_sum(state: Tensor) -> Tensor:
    """Sum of every process's `state`; a collective, `state` itself is left alone."""
    if world_size() == 1:
        return state
    total = state.to(_exchange_device(), copy=True)
    dist.all_reduce(total)
    return total


def route(owner_N: Tensor, columns: Sequence[Tensor]) -> list[Tensor]:
    """Send every row to the process that owns it; a collective.

    Args:
        owner_N: int64 [N], the rank each row goes to.
        columns: tensors [N] that make up the rows.

    Returns:
        The columns of the rows this process owns, in no particular order.
    """
    world = world_size()
    if world == 1:
        return list(columns)
    device = _exchange_device()
    owner_N = owner_N.to(device)
    order_N = torch.argsort(owner_N, stable=True)
    sent = torch.bincount(owner_N, minlength=world)
    received = torch.empty_like(sent)
    dist.all_to_all_single(received, sent)
    routed = []
    for column in columns:
        out = column.new_empty(int(received.sum()), device=device)
        dist.all_to_all_single(out, column.to(device)[order_N], received.tolist(), sent.tolist())
        routed.append(out)
    return routed
