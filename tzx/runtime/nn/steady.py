"""Forward passes in training that leave the running statistics of batch norms as they are."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def steady_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch norms use their running statistics within, whatever mode the rest of the module is in."""
    changed = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    for norm in changed:
        norm.eval()
    try:
        yield
    finally:
        for norm in changed:
            norm.train()
