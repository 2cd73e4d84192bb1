"""The schema equals the compatible system's, message by message, and the generated code equals the .proto files."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from tzx.runtime.config.schema import fields_of

ROOT = Path(__file__).resolve().parents[3]
PROTOS = ROOT / "tzx" / "runtime" / "protos"
SCHEMA = json.loads(Path(__file__).with_name("config_schema.json").read_text())
OURS = 5000  # fields of our own have numbers from here on
MODULES = {
    path.stem: importlib.import_module(f"tzx.runtime.protos.{path.stem}_pb2") for path in sorted(PROTOS.glob("*.proto"))
}


def _messages() -> dict[str, Descriptor]:
    found: dict[str, Descriptor] = {}

    def add(descriptor: Descriptor, prefix: str) -> None:
        found[prefix + descriptor.name] = descriptor
        for nested in descriptor.nested_types:
            if not nested.GetOptions().map_entry:
                add(nested, f"{prefix}{descriptor.name}.")

    for module in MODULES.values():
        for descriptor in module.DESCRIPTOR.message_types_by_name.values():
            add(descriptor, "")
    return found


def _enums() -> dict[str, EnumDescriptor]:
    found = {e.name: e for module in MODULES.values() for e in module.DESCRIPTOR.enum_types_by_name.values()}
    for name, message in _messages().items():
        found |= {f"{name}.{enum.name}": enum for enum in message.enum_types}
    return found


MESSAGES = _messages()


def _default_text(field: FieldDescriptor) -> str:
    if field.enum_type is not None:
        return field.enum_type.values_by_number[field.default_value].name
    if isinstance(field.default_value, bool):
        return str(field.default_value).lower()
    return field.default_value


def _described(field: FieldDescriptor) -> dict[str, object]:
    spec = fields_of(field.containing_type)[field.name]
    if spec.is_map:
        entry = fields_of(field.message_type)
        return {"label": "map", "number": field.number, "key": entry["key"].type, "value": entry["value"].type}
    label = "required" if field.is_required else "repeated" if field.is_repeated else "optional"
    found: dict[str, object] = {"label": label, "number": field.number, "type": spec.type}
    type_ = field.message_type or field.enum_type
    if type_ is not None:
        found["type_name"] = type_.name
    if field.containing_oneof is not None:
        found["oneof"] = field.containing_oneof.name
    if field.has_default_value:
        found["default"] = _default_text(field)
    return found


def test_counts():
    assert len(SCHEMA["messages"]) == 168
    assert sum(len(message["fields"]) for message in SCHEMA["messages"].values()) == 1149
    assert set(MESSAGES) - _ours() == set(SCHEMA["messages"])


def _ours() -> set[str]:
    """Messages that no field of the compatible system leads to, but one of our own does."""

    def below(message: Descriptor, ours: bool) -> set[str]:
        inner = [f for f in message.fields if f.message_type is not None and not f.message_type.GetOptions().map_entry]
        found: set[str] = set()
        for field in inner:
            if ours or field.number >= OURS:
                found |= {field.message_type.name, *below(field.message_type, True)}
        return found

    return {name for message in MESSAGES.values() for name in below(message, False)} - set(SCHEMA["messages"])


@pytest.mark.parametrize("name", sorted(SCHEMA["messages"]))
def test_message(name: str):
    expected = {field: dict(facts) for field, facts in SCHEMA["messages"][name]["fields"].items()}
    found = {field.name: _described(field) for field in MESSAGES[name].fields if field.number < OURS}
    for field, facts in found.items():
        wanted = expected.get(field, {})
        if facts.get("type") in ("float", "double", "int32", "uint32", "int64", "uint64") and "default" in wanted:
            assert facts["default"] == pytest.approx(float(wanted.pop("default")), rel=1e-7)
            facts.pop("default")
    assert found == expected


@pytest.mark.parametrize("name", sorted(SCHEMA["enums"]))
def test_enum(name: str):
    found = {value.name: value.number for value in _enums()[name].values}
    assert found == SCHEMA["enums"][name]


def test_enum_names():
    fields = [field for message in MESSAGES.values() for field in message.fields]
    ours = {field.enum_type.name for field in fields if field.number >= OURS and field.enum_type}
    assert set(_enums()) - ours == set(SCHEMA["enums"])


def test_reserved_of_feature_store():
    proto = descriptor_pb2.DescriptorProto()
    MESSAGES["FeatureStoreConfig"].CopyToProto(proto)
    assert [(r.start, r.end) for r in proto.reserved_range] == [(4, 5), (16, 17)]
    assert list(proto.reserved_name) == ["feature_entity_name", "allow_custom_endpoint"]


def test_generated_code_is_up_to_date():
    run = subprocess.run([sys.executable, ROOT / "scripts" / "generate_protos.py", "--check"], capture_output=True)
    assert run.returncode == 0, run.stderr.decode()


def test_generated_code_equals_sources(tmp_path: Path):
    """With any compiler at hand, what it makes of the sources is what the committed code describes."""
    protoc = pytest.importorskip("grpc_tools.protoc")
    out = tmp_path / "set.binpb"
    include = Path(protoc.__file__).parent / "_proto"
    names = [str(path.relative_to(ROOT)) for path in sorted(PROTOS.glob("*.proto"))]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"-I{include}", f"--descriptor_set_out={out}", *names]
    subprocess.run(command, cwd=ROOT, check=True)
    compiled = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    assert len(compiled.file) == len(MODULES)
    for file in compiled.file:
        committed = descriptor_pb2.FileDescriptorProto()
        MODULES[Path(file.name).stem].DESCRIPTOR.CopyToProto(committed)
        for proto in (file, committed):
            _normalise(proto.message_type)
        assert file == committed, file.name


def _normalise(messages) -> None:
    """Take away what a descriptor loses or spells anew when it is read back."""
    for message in messages:
        for field in message.field:
            field.ClearField("json_name")
            if field.type == field.TYPE_FLOAT and field.default_value:
                field.default_value = f"{float(field.default_value):.6g}"
        _normalise(message.nested_type)


def test_import_is_silent():
    """No warning about versions of protobuf or anything else reaches the user."""
    code = "import tzx.runtime.protos.pipeline_pb2"
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
