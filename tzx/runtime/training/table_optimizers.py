"""Sparse optimizers: fused into the backward pass of embedding tables, by FBGEMM or by our own row tables.

Frozen tables get SGD with rate 0.
"""

from collections.abc import Iterable
from typing import Any

import torch
from google.protobuf.message import Message
from torch import nn
from torch.distributed.optim import _apply_optimizer_in_backward
from torchrec import optim as fused
from torchrec.distributed.utils import optimizer_type_to_emb_opt_type

from tzx.runtime.embedding.row_tables import RowTables
from tzx.runtime.embedding.row_updates import RULES, Rule
from tzx.runtime.errors import ConfigError
from tzx.runtime.protos.optimizer_pb2 import SparseOptimizer, WeightDecayMode

_CLASSES: dict[str, type[torch.optim.Optimizer]] = {
    "sgd_optimizer": fused.SGD,
    "adagrad_optimizer": fused.Adagrad,
    "rowwise_adagrad_optimizer": fused.RowWiseAdagrad,
    "adam_optimizer": fused.Adam,
    "lars_sgd_optimizer": fused.LarsSGD,
    "lamb_optimizer": fused.LAMB,
    "partial_rowwise_lamb_optimizer": fused.PartialRowWiseLAMB,
    "partial_rowwise_adam_optimizer": fused.PartialRowWiseAdam,
}


def check_table_optimizer(config: SparseOptimizer, device_type: str) -> str:
    """Return the name of the configured optimizer, or raise ConfigError when this device cannot run it."""
    which = config.WhichOneof("optimizer")
    if which is None:
        raise ConfigError(f"sparse_optimizer: choose one of {', '.join(_CLASSES)}")
    if which not in _CLASSES:
        raise ConfigError(f"sparse_optimizer.{which} has no fused kernel; choose one of {', '.join(_CLASSES)}")
    if which == "lars_sgd_optimizer" and device_type != "cpu":
        raise ConfigError(f"sparse_optimizer.{which} runs on CPU only: TorchRec cannot save its state on GPU")
    return which


def rule_of(which: str) -> Rule:
    """States and formula of an optimizer, by its field."""
    kind = optimizer_type_to_emb_opt_type(_CLASSES[which])
    assert kind is not None, which
    return RULES[kind.value]


def fuse_table_optimizer(config: SparseOptimizer, tables: Iterable[tuple[nn.Parameter, bool]], which: str) -> None:
    """Attach the optimizer to table weights, given with whether they are trainable, before they are sharded."""
    options = getattr(config, which)
    for weight, trainable in tables:
        cls, arguments = (_CLASSES[which], _arguments(options)) if trainable else (fused.SGD, {"lr": 0.0})
        _apply_optimizer_in_backward(cls, [weight], arguments)


def _arguments(options: Message) -> dict[str, Any]:
    values = {f.name: getattr(options, f.name) for f in options.DESCRIPTOR.fields}
    values.pop("initial_accumulator_value", None)  # filled in after sharding, see `initialise_accumulators`
    if not values.pop("gradient_clipping", False):
        values.pop("max_gradient", None)
    else:
        values["gradient_clipping"] = True
    if "weight_decay_mode" in values:
        values["weight_decay_mode"] = _decay_mode(values["weight_decay_mode"])
    return values


def _decay_mode(mode: int) -> Any:
    from fbgemm_gpu.split_table_batched_embeddings_ops_training import WeightDecayMode as FusedMode

    return getattr(FusedMode, {"DECOUPLE": "DECOUPLE", "L2": "L2"}.get(WeightDecayMode.Name(mode), "NONE"))


def initial_accumulator(config: SparseOptimizer) -> float:
    """What the optimizer state of a row starts from: 0, but for Adagrad's accumulators."""
    which = config.WhichOneof("optimizer")
    return config.adagrad_optimizer.initial_accumulator_value if which == "adagrad_optimizer" else 0.0


def set_table_steps(optimizer: Any, steps: int) -> None:
    """Tell the kernels how many updates their tables have had; Adam and LAMB correct for it.

    Kernels count for themselves, but lose count when a run resumes, and FBGEMM's also count evaluation.
    """
    for _, part in getattr(optimizer, "optimizers", ()):
        set_table_steps(part, steps)
    kernels = [optimizer._emb_module] if hasattr(optimizer, "_emb_module") else getattr(optimizer, "kernels", ())
    for kernel in kernels:
        if isinstance(kernel, RowTables):
            kernel.set_optimizer_step(steps)
        elif hasattr(kernel, "iter_cpu"):
            kernel.iter_cpu.fill_(steps)  # what it computes with; its counter on the device only goes into its buffers


def initialise_accumulators(config: SparseOptimizer, optimizer: Any) -> None:
    """Fill Adagrad's accumulators with `initial_accumulator_value`, which the fused kernels start at 0."""
    value = initial_accumulator(config)
    if value == 0:
        return
    for state in optimizer.state.values():
        for tensor in state.values():
            for shard in _local_tensors(tensor):
                shard.fill_(value)


def _local_tensors(value: Any) -> list[torch.Tensor]:
    if hasattr(value, "local_shards"):
        return [shard.tensor for shard in value.local_shards()]
    return [value] if isinstance(value, torch.Tensor) else []
