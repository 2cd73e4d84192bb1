"""The schema as the reader needs it: one small record for each field, made once for each message type."""

from dataclasses import dataclass
from functools import cache

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

PACKAGE = "tzx.protos"
TYPES = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_SINT64: "int64",
    FieldDescriptor.TYPE_SFIXED64: "int64",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_FIXED64: "uint64",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_SINT32: "int32",
    FieldDescriptor.TYPE_SFIXED32: "int32",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_FIXED32: "uint32",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_ENUM: "enum",
    FieldDescriptor.TYPE_MESSAGE: "message",
}


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field. `type` is a scalar type name, "enum" or "message"; a map is repeated messages with `is_map` set."""

    name: str
    type: str
    is_repeated: bool
    is_map: bool
    is_required: bool
    has_default: bool
    oneof: str | None
    message: Descriptor | None
    enum: EnumDescriptor | None


def is_any(descriptor: Descriptor) -> bool:
    """Whether a message type is google.protobuf.Any, in which a config holds messages of the user's own."""
    return bool(descriptor.full_name == "google.protobuf.Any")


def type_name(descriptor: Descriptor) -> str:
    """Name of a message type of tzx; of others the full name, for they may be called alike."""
    return str(descriptor.name if descriptor.file.package == PACKAGE else descriptor.full_name)


@cache
def fields_of(descriptor: Descriptor) -> dict[str, FieldSpec]:
    """Specs of all fields of a message type by name; an Any has none, it stands for the message inside."""
    return {} if is_any(descriptor) else {field.name: _spec(field) for field in descriptor.fields}


def _spec(field: FieldDescriptor) -> FieldSpec:
    message = field.message_type
    return FieldSpec(
        name=field.name,
        type=TYPES[field.type],
        is_repeated=field.is_repeated,
        is_map=message is not None and message.GetOptions().map_entry,
        is_required=field.is_required,
        has_default=field.has_default_value,
        oneof=field.containing_oneof.name if field.containing_oneof else None,
        message=message,
        enum=field.enum_type,
    )
