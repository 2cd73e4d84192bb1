from tzx.runtime.protos import module_pb2 as _module_pb2
from tzx.runtime.protos import tower_pb2 as _tower_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class STEM(_message.Message):
    __slots__ = ("expert_mlp", "expert_num_per_task", "share_num", "gate_mlp", "task_towers")
    EXPERT_MLP_FIELD_NUMBER: _ClassVar[int]
    EXPERT_NUM_PER_TASK_FIELD_NUMBER: _ClassVar[int]
    SHARE_NUM_FIELD_NUMBER: _ClassVar[int]
    GATE_MLP_FIELD_NUMBER: _ClassVar[int]
    TASK_TOWERS_FIELD_NUMBER: _ClassVar[int]
    expert_mlp: _module_pb2.MLP
    expert_num_per_task: int
    share_num: int
    gate_mlp: _module_pb2.MLP
    task_towers: _containers.RepeatedCompositeFieldContainer[_tower_pb2.TaskTower]
    def __init__(self, expert_mlp: _Optional[_Union[_module_pb2.MLP, _Mapping]] = ..., expert_num_per_task: _Optional[int] = ..., share_num: _Optional[int] = ..., gate_mlp: _Optional[_Union[_module_pb2.MLP, _Mapping]] = ..., task_towers: _Optional[_Iterable[_Union[_tower_pb2.TaskTower, _Mapping]]] = ...) -> None: ...
