"""TensorBoard scalars and histograms; the package is imported when the first value is written."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

_DEFAULT = ("loss", "learning_rate")


class Summaries:
    """Writes to `directory`; does nothing when disabled.

    Args:
        directory: where event files go.
        enabled: rank 0 with TensorBoard wanted.
        kinds: `tensorboard_summaries` of the config; empty means losses and learning rates.
    """

    def __init__(self, directory: Path, enabled: bool, kinds: Iterable[str] = ()) -> None:
        self._directory = directory
        self._enabled = enabled
        self._kinds = tuple(kinds) or _DEFAULT
        self._writer: Any = None

    def wants(self, kind: str) -> bool:
        """Whether values of this kind are to be written."""
        return self._enabled and kind in self._kinds

    def scalars(self, group: str, values: Mapping[str, float], step: int) -> None:
        """Write `<group>/<name>` for each value."""
        if not self._enabled:
            return
        for name, value in values.items():
            self._open().add_scalar(f"{group}/{name}", value, step)

    def parameters(self, named: Iterable[tuple[str, Tensor]], step: int) -> None:
        """Write histograms of parameters and gradients, and gradient norms, as far as they are wanted."""
        for name, parameter in named:
            if self.wants("parameter"):
                self._open().add_histogram(f"parameter/{name}", parameter.detach().float(), step)
            if parameter.grad is None:
                continue
            if self.wants("gradient"):
                self._open().add_histogram(f"gradient/{name}", parameter.grad.float(), step)
            if self.wants("gradient_norm"):
                self._open().add_scalar(f"{name}/gradient_norm", parameter.grad.norm().item(), step)

    def close(self) -> None:
        """Flush and close."""
        if self._writer is not None:
            self._writer.close()

    def _open(self) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._directory))
        return self._writer
