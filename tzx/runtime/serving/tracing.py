"""From a model to `model.pt2` and `weights.safetensors`.

Weights are stored once, in weights.safetensors. The archive keeps the graph and, where torch.export insists on a
tensor for a parameter, a single NaN seen in the parameter's shape: whoever runs the archive without filling in the
weights gets NaN, not a plausible wrong number.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as symbolic_shapes

from tzx.runtime.data.batch import Batch, BatchLayout, FeatureShape
from tzx.runtime.data.packing import pack
from tzx.runtime.errors import UserError
from tzx.runtime.features.arrays import DenseData, FeatureData, SequenceDenseData, SequenceSparseData, SparseData
from tzx.runtime.serving.manifest import GRAPH, WEIGHTS, Output
from tzx.runtime.serving.ops import find_op, is_check
from tzx.runtime.serving.tensors import FlatModel, dynamic_dims, flatten, tensor_names

_EXAMPLE_LENGTHS = np.array([2, 0, 3, 2], np.int32)


def example_batch(features: Sequence[FeatureShape], layout: BatchLayout) -> Batch:
    """Four rows, one without ids: enough for the tracer, which looks at no number but sizes of 0 and 1."""
    return pack({feature.name: _example(feature) for feature in features}, layout, len(_EXAMPLE_LENGTHS))


def _example(feature: FeatureShape) -> FeatureData:
    lengths = _EXAMPLE_LENGTHS
    total = int(lengths.sum())
    ids = np.zeros(total, np.int64)
    if feature.is_sequence and feature.is_sparse:
        return SequenceSparseData(ids, np.ones(total, np.int32), lengths)
    if feature.is_sequence:
        return SequenceDenseData(np.zeros((total, feature.value_dim), np.float32), lengths)
    if feature.is_sparse:
        return SparseData(ids, lengths, np.ones(total, np.float32) if feature.is_weighted else None)
    return DenseData(np.zeros((len(lengths), feature.value_dim), np.float32))


def trace(model: nn.Module, batch: Batch, outputs: Sequence[str]) -> ExportedProgram:
    """Trace `model.predict` for batches of any size.

    Args:
        model: a model in eval mode whose tables are ATen-only.
        batch: any batch with rows; only its kinds of tensors matter, not its sizes.
        outputs: the predictions to keep, in order.

    Raises:
        UserError: the model cannot be traced, bakes in a batch size, or uses operators that bundles may not use.
    """
    flat = FlatModel(model, batch.layout, outputs).eval()
    shapes = tuple(dict.fromkeys(dims, Dim.DYNAMIC) for dims in dynamic_dims(batch.layout))
    # Without "oblivious" sizes a graph traced with 32 rows would refuse one row.
    with torch.no_grad(), symbolic_shapes.patch(backed_size_oblivious=True), _quiet():  # type: ignore[attr-defined]
        try:
            program = torch.export.export(flat, tuple(flatten(batch)), dynamic_shapes=(shapes,), strict=False)
        except Exception as error:
            raise UserError(f"the model cannot be exported: {_first_lines(error)}") from error
        if _calls(program, _is_in_place):
            program = program.run_decompositions({})
    _check_sizes(program, batch)
    if refused := _calls(program, lambda target: not is_check(target) and find_op(target) is None):
        raise UserError(f"the model cannot be exported: bundles may not use {', '.join(refused)} (serving/ops.py)")
    return program


def output_shapes(program: ExportedProgram, names: Sequence[str]) -> tuple[Output, ...]:
    """What each output looks like, read from the traced graph."""
    node = next(n for n in program.graph.nodes if n.op == "output")
    values = [argument.meta["val"] for argument in node.args[0]]
    return tuple(
        Output(name, str(value.dtype).removeprefix("torch."), tuple(int(s) for s in value.shape[1:]))
        for name, value in zip(names, values, strict=True)
    )


def save_program(program: ExportedProgram, folder: Path) -> None:
    """Write model.pt2 and weights.safetensors; `program` loses its weights on the way."""
    save_file(_distinct({**program.state_dict, **program.constants}), folder / WEIGHTS)
    program._state_dict = {name: _hollow(tensor) for name, tensor in program.state_dict.items()}
    program._example_inputs = None
    for node in program.graph.nodes:  # where in whose source tree a node came from is nobody's business
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn"):
            node.meta.pop(key, None)
    with _quiet():
        torch.export.save(program, folder / GRAPH)
    (folder / WEIGHTS).chmod((folder / GRAPH).stat().st_mode)  # safetensors lets nobody else read, against the umask


def _check_sizes(program: ExportedProgram, batch: Batch) -> None:
    names = set(program.graph_signature.user_inputs)
    nodes = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in names]
    for node, dims, name in zip(nodes, dynamic_dims(batch.layout), tensor_names(batch.layout), strict=True):
        fixed = [dim for dim in dims if not isinstance(node.meta["val"].shape[dim], torch.SymInt)]
        if fixed:
            raise UserError(f"the model cannot be exported: it fixes the size of {name} in dimension {fixed[0]}")


def _calls(program: ExportedProgram, matches: Callable[[str], bool]) -> list[str]:
    targets = {_target_name(n.target) for n in program.graph.nodes if n.op == "call_function"}
    return sorted(t for t in targets if t != "_operator.getitem" and matches(t))


def _target_name(target: object) -> str:
    if isinstance(target, torch._ops.OpOverload):
        return f"torch.ops.{target}"
    module = getattr(target, "__module__", "")
    return f"{module}.{getattr(target, '__name__', target)}"


def _is_in_place(target: str) -> bool:
    parts = target.removeprefix("torch.ops.").split(".")
    found = getattr(getattr(getattr(torch.ops, parts[0], None), parts[1], None), parts[-1], None)
    return isinstance(found, torch._ops.OpOverload) and found._schema.is_mutable


def _hollow(tensor: Tensor) -> Tensor:
    filler = torch.full((), float("nan") if tensor.is_floating_point() else 0, dtype=tensor.dtype).expand(tensor.shape)
    return nn.Parameter(filler, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else filler


def _distinct(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors on the CPU, none sharing memory, as safetensors demands."""
    result, seen = {}, set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        pointer = plain.untyped_storage().data_ptr()
        result[name] = plain.clone() if pointer in seen else plain
        seen.add(pointer)
    return result


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3]) or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the tracer says to its own developers."""
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch._export", "torch.fx")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
