from tzx.runtime.protos import module_pb2 as _module_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AutoInt(_message.Message):
    __slots__ = ("dense_mlp", "num_layers", "num_heads", "head_dim", "deep")
    DENSE_MLP_FIELD_NUMBER: _ClassVar[int]
    NUM_LAYERS_FIELD_NUMBER: _ClassVar[int]
    NUM_HEADS_FIELD_NUMBER: _ClassVar[int]
    HEAD_DIM_FIELD_NUMBER: _ClassVar[int]
    DEEP_FIELD_NUMBER: _ClassVar[int]
    dense_mlp: _module_pb2.MLP
    num_layers: int
    num_heads: int
    head_dim: int
    deep: _module_pb2.MLP
    def __init__(self, dense_mlp: _Optional[_Union[_module_pb2.MLP, _Mapping]] = ..., num_layers: _Optional[int] = ..., num_heads: _Optional[int] = ..., head_dim: _Optional[int] = ..., deep: _Optional[_Union[_module_pb2.MLP, _Mapping]] = ...) -> None: ...

class FiBiNET(_message.Message):
    __slots__ = ("dense_mlp", "reduction_ratio", "bilinear_type", "deep", "wide_embedding_dim", "wide_init_fn")
    DENSE_MLP_FIELD_NUMBER: _ClassVar[int]
    REDUCTION_RATIO_FIELD_NUMBER: _ClassVar[int]
    BILINEAR_TYPE_FIELD_NUMBER: _ClassVar[int]
    DEEP_FIELD_NUMBER: _ClassVar[int]
    WIDE_EMBEDDING_DIM_FIELD_NUMBER: _ClassVar[int]
    WIDE_INIT_FN_FIELD_NUMBER: _ClassVar[int]
    dense_mlp: _module_pb2.MLP
    reduction_ratio: int
    bilinear_type: str
    deep: _module_pb2.MLP
    wide_embedding_dim: int
    wide_init_fn: str
    def __init__(self, dense_mlp: _Optional[_Union[_module_pb2.MLP, _Mapping]] = ..., reduction_ratio: _Optional[int] = ..., bilinear_type: _Optional[str] = ..., deep: _Optional[_Union[_module_pb2.MLP, _Mapping]] = ..., wide_embedding_dim: _Optional[int] = ..., wide_init_fn: _Optional[str] = ...) -> None: ...

class FinalMLPStream(_message.Message):
    __slots__ = ("mlp", "gate_mlp", "gate_input")
    MLP_FIELD_NUMBER: _ClassVar[int]
    GATE_MLP_FIELD_NUMBER: _ClassVar[int]
    GATE_INPUT_FIELD_NUMBER: _ClassVar[int]
    mlp: _module_pb2.MLP
    gate_mlp: _module_pb2.MLP
    gate_input: str
    def __init__(self, mlp: _Optional[_Union[_module_pb2.MLP, _Mapping]] = ..., gate_mlp: _Optional[_Union[_module_pb2.MLP, _Mapping]] = ..., gate_input: _Optional[str] = ...) -> None: ...

class FinalMLP(_message.Message):
    __slots__ = ("first", "second", "num_heads")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    SECOND_FIELD_NUMBER: _ClassVar[int]
    NUM_HEADS_FIELD_NUMBER: _ClassVar[int]
    first: FinalMLPStream
    second: FinalMLPStream
    num_heads: int
    def __init__(self, first: _Optional[_Union[FinalMLPStream, _Mapping]] = ..., second: _Optional[_Union[FinalMLPStream, _Mapping]] = ..., num_heads: _Optional[int] = ...) -> None: ...

class GDCN(_message.Message):
    __slots__ = ("cross", "deep", "structure")
    CROSS_FIELD_NUMBER: _ClassVar[int]
    DEEP_FIELD_NUMBER: _ClassVar[int]
    STRUCTURE_FIELD_NUMBER: _ClassVar[int]
    cross: _module_pb2.Cross
    deep: _module_pb2.MLP
    structure: str
    def __init__(self, cross: _Optional[_Union[_module_pb2.Cross, _Mapping]] = ..., deep: _Optional[_Union[_module_pb2.MLP, _Mapping]] = ..., structure: _Optional[str] = ...) -> None: ...
