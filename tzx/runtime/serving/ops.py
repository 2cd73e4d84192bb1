"""The operators a bundle's graph may call.

A graph is data, so it names operators from this closed list only: ATen functions that compute a tensor from tensors.
None of them draws random numbers, writes in place, opens a file or takes a callable.
"""

import operator
from collections.abc import Callable
from typing import Any

import torch

_SHAPE = """
    alias broadcast_to cat chunk clone constant_pad_nd contiguous detach diag_embed diagonal diff expand
    expand_as flatten flip gather hstack index index_add index_copy index_put index_select masked_fill
    masked_scatter movedim narrow pad permute ravel repeat repeat_interleave reshape reshape_as roll scatter
    scatter_add scatter_reduce segment_reduce select select_scatter slice slice_scatter split split_with_sizes
    squeeze stack swapaxes t take_along_dim tensor_split tile to transpose tril triu type_as unbind unflatten
    unfold unsqueeze view view_as vstack _to_copy _unsafe_view lift_fresh_copy copy
"""
_CREATE = """
    arange empty empty_like eye full full_like linspace new_empty new_full new_ones new_zeros one_hot ones
    ones_like scalar_tensor zeros zeros_like tril_indices triu_indices fill
"""
_ELEMENTWISE = """
    __and__ __or__ __xor__ abs acos add addcdiv addcmul asin atan atan2 bitwise_and bitwise_left_shift
    bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil clamp clamp_max clamp_min clip copysign cos cosh
    deg2rad div eq erf erfc erfinv exp exp2 expm1 floor floor_divide fmod frac ge greater greater_equal gt
    isfinite isinf isnan le lerp less less_equal lgamma log log10 log1p log2 logaddexp logical_and logical_not
    logical_or logical_xor lt maximum minimum mul multiply nan_to_num ne neg negative pow reciprocal relu relu6
    remainder round rsqrt rsub sgn sigmoid sign sin sinh sqrt square sub subtract tan tanh true_divide trunc
    where xlogy
"""
_NEURAL = """
    adaptive_avg_pool1d adaptive_max_pool1d alpha_dropout avg_pool1d batch_norm celu conv1d conv2d gru
    cosine_similarity dropout elu embedding embedding_bag gelu glu group_norm hardsigmoid hardswish hardtanh
    layer_norm leaky_relu linear log_sigmoid log_softmax max_pool1d mish pairwise_distance prelu rms_norm rrelu
    scaled_dot_product_attention selu silu softmax softplus softshrink threshold _embedding_bag _log_softmax
    _native_batch_norm_legit_no_training _softmax native_group_norm native_layer_norm _safe_softmax
"""
_REDUCE = """
    all amax amin aminmax any argmax argmin argsort bincount bucketize cummax cummin cumprod cumsum linalg_norm
    linalg_vector_norm logcumsumexp logsumexp max mean median min norm nonzero prod searchsorted sort std sum
    topk unique_consecutive var var_mean
"""
_MATRIX = "addbmm addmm addmv baddbmm bmm dot einsum matmul mm mv outer tensordot inner kron linalg_qr"
_SIZES = "sym_numel sym_size sym_storage_offset sym_stride"

TENSOR_OPS = frozenset(" ".join((_SHAPE, _CREATE, _ELEMENTWISE, _NEURAL, _REDUCE, _MATRIX, _SIZES)).split())
# Checks that the exporter puts into a graph; the values they check are the exporter's own, so serving skips them.
CHECKS = frozenset({"_assert_async", "_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range_for_size"})

_ARITHMETIC = (
    "add",
    "sub",
    "mul",
    "floordiv",
    "mod",
    "neg",
    "truediv",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "and_",
    "or_",
)
_SYMBOLIC = ("sym_max", "sym_min", "sym_not", "sym_int", "sym_float")
_NUMBER_OPS: dict[str, Callable[..., Any]] = {
    **{f"_operator.{name}": getattr(operator, name) for name in _ARITHMETIC},
    **{f"torch.{name}": getattr(torch, name) for name in _SYMBOLIC},
}
_PREFIX = "torch.ops.aten."


def is_check(target: str) -> bool:
    """Whether `target` only asserts something and yields nothing."""
    return target.startswith(_PREFIX) and target[len(_PREFIX) :].split(".")[0] in CHECKS


def find_op(target: str) -> Callable[..., Any] | None:
    """The function a graph names, such as `torch.ops.aten.linear.default`; None when graphs may not call it."""
    if target in _NUMBER_OPS:
        return _NUMBER_OPS[target]
    name, _, overload = target.removeprefix(_PREFIX).partition(".")
    if not target.startswith(_PREFIX) or name not in TENSOR_OPS or not overload.isidentifier():
        return None
    found = getattr(getattr(torch.ops.aten, name, None), overload, None)
    is_pure = isinstance(found, torch._ops.OpOverload) and not found._schema.is_mutable
    return found if is_pure else None
