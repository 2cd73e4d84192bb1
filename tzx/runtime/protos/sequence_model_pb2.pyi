from tzx.runtime.protos import module_pb2 as _module_pb2
from tzx.runtime.protos import tower_pb2 as _tower_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BSTTower(_message.Message):
    __slots__ = ("input", "max_seq_length", "num_layers", "num_heads", "hidden_dim", "dropout_ratio")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    MAX_SEQ_LENGTH_FIELD_NUMBER: _ClassVar[int]
    NUM_LAYERS_FIELD_NUMBER: _ClassVar[int]
    NUM_HEADS_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_DIM_FIELD_NUMBER: _ClassVar[int]
    DROPOUT_RATIO_FIELD_NUMBER: _ClassVar[int]
    input: str
    max_seq_length: int
    num_layers: int
    num_heads: int
    hidden_dim: int
    dropout_ratio: float
    def __init__(self, input: _Optional[str] = ..., max_seq_length: _Optional[int] = ..., num_layers: _Optional[int] = ..., num_heads: _Optional[int] = ..., hidden_dim: _Optional[int] = ..., dropout_ratio: _Optional[float] = ...) -> None: ...

class BST(_message.Message):
    __slots__ = ("towers", "bst_towers", "final")
    TOWERS_FIELD_NUMBER: _ClassVar[int]
    BST_TOWERS_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    towers: _containers.RepeatedCompositeFieldContainer[_tower_pb2.Tower]
    bst_towers: _containers.RepeatedCompositeFieldContainer[BSTTower]
    final: _module_pb2.MLP
    def __init__(self, towers: _Optional[_Iterable[_Union[_tower_pb2.Tower, _Mapping]]] = ..., bst_towers: _Optional[_Iterable[_Union[BSTTower, _Mapping]]] = ..., final: _Optional[_Union[_module_pb2.MLP, _Mapping]] = ...) -> None: ...

class DIENTower(_message.Message):
    __slots__ = ("input", "max_seq_length", "newest_first", "auxiliary_weight")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    MAX_SEQ_LENGTH_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIRST_FIELD_NUMBER: _ClassVar[int]
    AUXILIARY_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    input: str
    max_seq_length: int
    newest_first: bool
    auxiliary_weight: float
    def __init__(self, input: _Optional[str] = ..., max_seq_length: _Optional[int] = ..., newest_first: bool = ..., auxiliary_weight: _Optional[float] = ...) -> None: ...

class DIEN(_message.Message):
    __slots__ = ("towers", "dien_towers", "final")
    TOWERS_FIELD_NUMBER: _ClassVar[int]
    DIEN_TOWERS_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    towers: _containers.RepeatedCompositeFieldContainer[_tower_pb2.Tower]
    dien_towers: _containers.RepeatedCompositeFieldContainer[DIENTower]
    final: _module_pb2.MLP
    def __init__(self, towers: _Optional[_Iterable[_Union[_tower_pb2.Tower, _Mapping]]] = ..., dien_towers: _Optional[_Iterable[_Union[DIENTower, _Mapping]]] = ..., final: _Optional[_Union[_module_pb2.MLP, _Mapping]] = ...) -> None: ...

class SIMTower(_message.Message):
    __slots__ = ("input", "search", "top_k", "category", "category_sequence", "search_dim", "search_weight", "num_heads", "head_dim")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SEARCH_DIM_FIELD_NUMBER: _ClassVar[int]
    SEARCH_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    NUM_HEADS_FIELD_NUMBER: _ClassVar[int]
    HEAD_DIM_FIELD_NUMBER: _ClassVar[int]
    input: str
    search: str
    top_k: int
    category: str
    category_sequence: str
    search_dim: int
    search_weight: float
    num_heads: int
    head_dim: int
    def __init__(self, input: _Optional[str] = ..., search: _Optional[str] = ..., top_k: _Optional[int] = ..., category: _Optional[str] = ..., category_sequence: _Optional[str] = ..., search_dim: _Optional[int] = ..., search_weight: _Optional[float] = ..., num_heads: _Optional[int] = ..., head_dim: _Optional[int] = ...) -> None: ...

class SIM(_message.Message):
    __slots__ = ("towers", "sim_towers", "final")
    TOWERS_FIELD_NUMBER: _ClassVar[int]
    SIM_TOWERS_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    towers: _containers.RepeatedCompositeFieldContainer[_tower_pb2.Tower]
    sim_towers: _containers.RepeatedCompositeFieldContainer[SIMTower]
    final: _module_pb2.MLP
    def __init__(self, towers: _Optional[_Iterable[_Union[_tower_pb2.Tower, _Mapping]]] = ..., sim_towers: _Optional[_Iterable[_Union[SIMTower, _Mapping]]] = ..., final: _Optional[_Union[_module_pb2.MLP, _Mapping]] = ...) -> None: ...
