"""Mixed precision and gradient clipping, as `train_config` asks for them."""

import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from tzx.runtime.embedding.tables import PooledTables, SequenceTables
from tzx.runtime.errors import ConfigError
from tzx.runtime.protos.train_pb2 import GradClipping, TrainConfig

logger = logging.getLogger("tzx")

_DTYPES = {"BF16": torch.bfloat16, "FP16": torch.float16}


def autocast(mixed_precision: str, device: torch.device) -> AbstractContextManager[None]:
    """The autocast context of `mixed_precision` ("", BF16 or FP16)."""
    if not mixed_precision:
        return nullcontext()
    if mixed_precision not in _DTYPES:
        raise ConfigError(f"mixed_precision {mixed_precision!r}: choose BF16, FP16 or leave it empty")
    return torch.autocast(device.type, dtype=_DTYPES[mixed_precision])


def warn_if_slower(mixed_precision: str, device: torch.device) -> None:
    """Measure a matrix product: on a CPU without instructions for it, half precision is many times slower."""
    if device.type != "cpu" or mixed_precision not in _DTYPES:
        return
    full, half = (_seconds(dtype) for dtype in (torch.float32, _DTYPES[mixed_precision]))
    if half > full:
        logger.warning(
            "mixed_precision: %s is %.0f times slower than float32 on this CPU (%.2f against %.2f ms for one product); "
            "leave mixed_precision out here",
            mixed_precision,
            half / full,
            half * 1e3,
            full * 1e3,
        )


def _seconds(dtype: torch.dtype) -> float:
    """CPU time of the fastest of three small matrix products."""
    one = torch.ones(128, 256, dtype=dtype)
    other = torch.ones(256, 256, dtype=dtype)
    times = []
    for _ in range(3):
        began = time.process_time()
        torch.mm(one, other)
        times.append(time.process_time() - began)
    return max(min(times), 1e-9)


def make_scaler(config: TrainConfig, device: torch.device) -> torch.amp.GradScaler:
    """A gradient scaler; disabled unless `grad_scaler` is set."""
    options = config.grad_scaler
    return torch.amp.GradScaler(
        device.type,
        init_scale=options.init_scale,
        growth_factor=options.growth_factor,
        backoff_factor=options.backoff_factor,
        growth_interval=options.growth_interval,
        enabled=config.HasField("grad_scaler"),
    )


def unscale_tables(model: nn.Module, scaler: torch.amp.GradScaler) -> None:
    """Undo the scale where gradients enter the tables, whose fused optimizers know of no scaler.

    A step whose gradients overflow leaves the tables as they are, as the scaler does with the dense parameters.
    """

    def unscaled(gradient: Tensor) -> Tensor:
        scale = scaler.scale(gradient.new_ones(()))  # get_scale() would wait for the accelerator
        return torch.nan_to_num(gradient / scale, nan=0.0, posinf=0.0, neginf=0.0)

    def hook(module: nn.Module, given: Any, outputs: Mapping[str, Tensor]) -> None:
        for output in outputs.values():
            if output.requires_grad:
                output.register_hook(unscaled)

    if scaler.is_enabled():
        for module in model.modules():
            if isinstance(module, (PooledTables, SequenceTables)):
                module.register_forward_hook(hook)


def set_tf32(config: TrainConfig) -> None:
    """Set TensorFloat-32 switches, but only those that the config sets."""
    if config.HasField("cudnn_allow_tf32"):
        torch.backends.cudnn.allow_tf32 = config.cudnn_allow_tf32
    if config.HasField("cuda_matmul_allow_tf32"):
        torch.backends.cuda.matmul.allow_tf32 = config.cuda_matmul_allow_tf32


def clip_gradients(config: GradClipping, parameters: Iterable[Tensor]) -> None:
    """Clip dense gradients; dense parameters are equal on all ranks, so local and global norms are the same."""
    if config.clipping_type == "norm":
        torch.nn.utils.clip_grad_norm_(parameters, config.max_gradient, norm_type=config.norm_type)
    elif config.clipping_type == "value":
        torch.nn.utils.clip_grad_value_(parameters, config.max_gradient)
    elif config.clipping_type not in ("", "none"):
        raise ConfigError(f"grad_clipping.clipping_type {config.clipping_type!r}: choose norm, value or none")
