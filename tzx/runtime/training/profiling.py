"""The profiler switch of the config: a torch trace of a few steps, written beside the checkpoints."""

from types import TracebackType
from typing import Any

import torch

from tzx.runtime.training.session import Session


class StepProfiler:
    """Profiles 10 steps after 1 waiting and 1 warm-up step, into `model_dir/train_eval_trace`."""

    def __init__(self, session: Session, enabled: bool) -> None:
        self._profiler: Any = None
        if enabled:
            directory = str(session.model_dir / "train_eval_trace")
            self._profiler = torch.profiler.profile(
                schedule=torch.profiler.schedule(wait=1, warmup=1, active=10, repeat=1),
                on_trace_ready=torch.profiler.tensorboard_trace_handler(directory, f"rank{session.process.rank}"),
            )

    def __enter__(self) -> "StepProfiler":
        if self._profiler is not None:
            self._profiler.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._profiler is not None:
            self._profiler.__exit__(kind, error, trace)

    def step(self) -> None:
        """Tell the profiler that a step has ended."""
        if self._profiler is not None:
            self._profiler.step()
