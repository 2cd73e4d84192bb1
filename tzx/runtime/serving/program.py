"""Run the graph of a `model.pt2` without trusting it.

`torch.export.load` is not used: it unpickles what the archive holds, passes strings of the archive to sympy's `eval`,
resolves dotted names anywhere below `torch`, and compiles the graph into Python source. Here the archive's JSON is
read as data and its nodes are called one by one; only operators of `ops.py` can be named.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tzx.runtime.errors import UserError
from tzx.runtime.serving.ops import find_op, is_check

SCHEMA_MAJOR = 8
# Numbers of torch/_export/serde/schema.py, written out because that module is not stable API.
_DTYPES = (
    None, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32,
    torch.float64, None, torch.complex64, torch.complex128, torch.bool, torch.bfloat16,
)  # fmt: skip
_MEMORY_FORMATS = (None, torch.contiguous_format, torch.channels_last, torch.channels_last_3d, torch.preserve_format)
_STRIDED = 7


class BundleError(UserError):
    """A bundle that is incomplete, changed, of another format, or that asks for something bundles may not do."""


@dataclass(frozen=True)
class _Slot:
    index: int


@dataclass(frozen=True)
class _Step:
    call: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[int, ...]
    unpack: bool
    last_uses: tuple[int, ...]  # slots no later step reads


def read_graph(archive: bytes) -> dict[str, Any]:
    """The JSON of the one program in a `.pt2` archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as members:
            names = [n for n in members.namelist() if n.endswith("/models/model.json")]
            document = json.loads(members.read(names[0]))
        major = document["schema_version"]["major"]
    except (zipfile.BadZipFile, IndexError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"model.pt2: not a torch.export archive ({error})") from None
    if major != SCHEMA_MAJOR:
        raise BundleError(
            f"model.pt2: graph format {major} is unknown, this version reads {SCHEMA_MAJOR}; export again"
        )
    return document["graph_module"]


class Program:
    """A graph with its weights, callable from any number of threads."""

    def __init__(self, archive: bytes, weights: Mapping[str, Tensor], device: torch.device) -> None:
        module = read_graph(archive)
        try:
            self._build(module["graph"], module["signature"], weights, device)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"model.pt2: malformed graph ({type(error).__name__}: {error})") from None

    def _build(
        self, graph: dict[str, Any], signature: dict[str, Any], weights: Mapping[str, Tensor], device: torch.device
    ) -> None:
        slots = _Slots(device)
        self._weights: list[tuple[int, Tensor]] = []
        inputs: list[int] = []
        for spec in signature["input_specs"]:
            kind, body = _only(spec)
            if kind == "user_input":
                inputs.append(slots.define(body["arg"]["as_tensor"]["name"]))
            else:
                self._weights.append((slots.define(body["arg"]["name"]), _weight(kind, body, weights).to(device)))
        calls = [_call(node, slots) for node in graph["nodes"] if not is_check(node["target"])]
        outputs = [_output(spec, slots) for spec in signature["output_specs"]]
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)
        self._steps = _with_last_uses(calls, {*outputs, *(slot for slot, _ in self._weights)})
        self._size = len(slots.names)

    @property
    def num_inputs(self) -> int:
        """Tensors a call takes."""
        return len(self._inputs)

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Outputs for `tensors`, which come in the order of the exported function's arguments."""
        values: list[Any] = [None] * self._size
        for slot, weight in self._weights:
            values[slot] = weight
        for slot, tensor in zip(self._inputs, tensors, strict=True):
            values[slot] = tensor
        for step in self._steps:
            result = step.call(*[_fetch(a, values) for a in step.args], **_fetch_named(step.kwargs, values))
            if step.unpack:
                for slot, value in zip(step.outputs, result, strict=True):
                    values[slot] = value
            else:
                values[step.outputs[0]] = result
            for slot in step.last_uses:
                values[slot] = None
        return [values[slot] for slot in self._outputs]


class _Slots:
    """Places of the graph's values by name, and the reading of arguments that refer to them."""

    def __init__(self, device: torch.device) -> None:
        self.names: dict[str, int] = {}
        self._device = device

    def define(self, name: str) -> int:
        return self.names.setdefault(name, len(self.names))

    def use(self, name: str) -> _Slot:
        return _Slot(self.names[name])

    def argument(self, argument: dict[str, Any]) -> Any:
        kind, value = _only(argument)
        if kind == "as_tensor":
            return self.use(value["name"])
        if kind == "as_tensors":
            return [self.use(item["name"]) for item in value]
        if kind in ("as_sym_int", "as_sym_float", "as_sym_bool", "as_optional_tensor"):
            return self._mixed(value)
        if kind in ("as_sym_ints", "as_sym_floats", "as_sym_bools", "as_optional_tensors"):
            return [self._mixed(item) for item in value]
        return self._constant(kind, value)

    def _mixed(self, item: dict[str, Any]) -> Any:
        kind, value = _only(item)
        if kind == "as_name":
            return self.use(value)
        return self.argument(item)

    def _constant(self, kind: str, value: Any) -> Any:
        if kind == "as_none":
            return None
        if kind == "as_float":
            return float(value)  # infinities and NaN are strings in this JSON
        if kind == "as_floats":
            return [float(item) for item in value]
        if kind in ("as_int", "as_ints", "as_bool", "as_bools", "as_string"):
            return value
        if kind == "as_scalar_type":
            return _DTYPES[value]
        if kind == "as_memory_format":
            return _MEMORY_FORMATS[value]
        if kind == "as_layout" and value == _STRIDED:
            return torch.strided
        if kind == "as_device":
            return self._device
        raise BundleError(f"model.pt2: the graph has an argument of kind {kind}, which bundles may not have")


def _only(union: Mapping[str, Any]) -> tuple[str, Any]:
    ((kind, value),) = union.items()
    return kind, value


def _weight(kind: str, body: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Tensor:
    field = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}.get(
        kind
    )
    if field is None:
        raise BundleError(f"model.pt2: the graph has an input of kind {kind}, which bundles may not have")
    if body[field] not in weights:
        raise BundleError(f"weights.safetensors: tensor {body[field]!r} is missing, the graph needs it")
    return weights[body[field]]


def _call(node: Mapping[str, Any], slots: _Slots) -> _Step:
    function = find_op(node["target"])
    if function is None:
        raise BundleError(
            f"model.pt2: the graph calls {node['target']!r}, which is not an operator that bundles may use"
        )
    positional = [slots.argument(i["arg"]) for i in node["inputs"] if i.get("kind") != 2]
    named = {i["name"]: slots.argument(i["arg"]) for i in node["inputs"] if i.get("kind") == 2}
    outputs, unpack = _defined(node["outputs"], slots)
    return _Step(function, tuple(positional), named, outputs, unpack, ())


def _defined(outputs: Sequence[Mapping[str, Any]], slots: _Slots) -> tuple[tuple[int, ...], bool]:
    names = [name for output in outputs for name in _names(*_only(output))]
    unpack = len(outputs) > 1 or "as_tensors" in outputs[0]
    return tuple(slots.define(name) for name in names), unpack


def _names(kind: str, value: Any) -> list[str]:
    if kind == "as_tensor":
        return [value["name"]]
    if kind == "as_tensors":
        return [item["name"] for item in value]
    if kind in ("as_sym_int", "as_sym_float", "as_sym_bool"):
        return [value["as_name"]]
    raise BundleError(f"model.pt2: the graph has a result of kind {kind}, which bundles may not have")


def _output(spec: Mapping[str, Any], slots: _Slots) -> int:
    kind, body = _only(spec)
    if kind != "user_output":
        raise BundleError(f"model.pt2: the graph has an output of kind {kind}, which bundles may not have")
    return slots.names[body["arg"]["as_tensor"]["name"]]


def _with_last_uses(steps: Sequence[_Step], kept: set[int]) -> list[_Step]:
    """Note at each step which values can be freed after it, so that memory holds only what is still needed."""
    seen, result = set(kept), []
    for step in reversed(steps):
        touched = {*step.outputs, *_slots_in((*step.args, *step.kwargs.values()))}
        free = tuple(touched - seen)
        seen |= touched
        result.append(_Step(step.call, step.args, step.kwargs, step.outputs, step.unpack, free))
    return result[::-1]


def _slots_in(arguments: Iterable[Any]) -> Iterable[int]:
    for argument in arguments:
        if isinstance(argument, _Slot):
            yield argument.index
        elif isinstance(argument, list):
            yield from _slots_in(argument)


def _fetch(argument: Any, values: list[Any]) -> Any:
    if type(argument) is _Slot:
        return values[argument.index]
    if type(argument) is list:
        return [_fetch(item, values) for item in argument]
    return argument


def _fetch_named(arguments: dict[str, Any], values: list[Any]) -> dict[str, Any]:
    return {name: _fetch(argument, values) for name, argument in arguments.items()}
