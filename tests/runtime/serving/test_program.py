"""The graph of a bundle computes what the model computes, and nothing else can be made to run."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tzx.runtime.serving.ops import TENSOR_OPS, find_op
from tzx.runtime.serving.program import BundleError, Program
from tzx.runtime.serving.tensors import flatten, unflatten
from tzx.runtime.serving.tracing import output_shapes, save_program, trace

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def saved(hand_model, make_batch, tmp_path_factory):
    """Folder with model.pt2 and weights.safetensors of the hand-written model."""
    folder = tmp_path_factory.mktemp("saved")
    save_program(trace(hand_model, make_batch(5), hand_model.output_names), folder)
    return folder


def load(folder: Path) -> Program:
    return Program((folder / "model.pt2").read_bytes(), load_file(folder / "weights.safetensors"), CPU)


def rewritten(folder: Path, change) -> bytes:
    """model.pt2 with its JSON changed by `change`."""
    out = io.BytesIO()
    with zipfile.ZipFile(folder / "model.pt2") as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("models/model.json"):
                document = json.loads(data)
                change(document)
                data = json.dumps(document).encode()
            new.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize("size", [1, 2, 7, 5, 4096])
@pytest.mark.parametrize("longest", [0, 1, 6])
def test_any_batch_size_scores_like_the_model(saved, hand_model, make_batch, size, longest):
    program = load(saved)
    batch = make_batch(size, longest, seed=size)
    with torch.inference_mode():
        wanted = hand_model.predict(batch)
        for name, got in zip(hand_model.output_names, program(flatten(batch)), strict=True):
            torch.testing.assert_close(got, wanted[name], rtol=0, atol=0)


def test_flatten_and_unflatten_are_inverse(make_batch):
    batch = make_batch(9)
    again = unflatten(flatten(batch), batch.layout)
    assert again.size == 9
    for one, other in zip(flatten(batch), flatten(again), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(again.weighted_ids.weights, batch.weighted_ids.weights)
    assert torch.equal(again.sequences["clicks"].key_lengths, batch.sequences["clicks"].key_lengths)
    assert again.sequences["dwell"].key_lengths is None


def test_output_shapes_leave_out_the_rows(hand_model, make_batch):
    outputs = output_shapes(trace(hand_model, make_batch(3), hand_model.output_names), hand_model.output_names)
    assert [(o.name, o.dtype, o.shape) for o in outputs] == [
        ("logits", "float32", (2,)),
        ("probs", "float32", (2,)),
        ("probs1", "float32", ()),
    ]


def test_weights_are_stored_once(saved, hand_model):
    """The archive itself holds no weight; filled in by hand it works in torch's own loader, unfilled it gives NaN."""
    total = sum(t.numel() * t.element_size() for t in hand_model.state_dict().values())
    with zipfile.ZipFile(saved / "model.pt2") as archive:
        weights = [i for i in archive.infolist() if "/weights/weight_" in i.filename]
    assert weights
    assert sum(i.file_size for i in weights) < total / 10
    program = torch.export.load(saved / "model.pt2")
    assert torch.isnan(program.state_dict["model.table"]).all()


def test_archive_holds_no_paths_of_this_machine(saved):
    with zipfile.ZipFile(saved / "model.pt2") as archive:
        for name in archive.namelist():
            assert b"conftest" not in archive.read(name)


class Payload:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_pickles_in_the_archive_are_never_read(saved, make_batch, tmp_path):
    mark = tmp_path / "executed"
    out = io.BytesIO()
    with zipfile.ZipFile(saved / "model.pt2") as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            if not name.endswith("sample_inputs/model.pt"):
                new.writestr(name, old.read(name))
        new.writestr("model/data/sample_inputs/model.pt", pickle.dumps(Payload(mark)))
        new.writestr("model/data/weights/model.pt", pickle.dumps(Payload(mark)))
        new.writestr("model/data/constants/opaque_obj_0", pickle.dumps(Payload(mark)))
    hostile = out.getvalue()
    program = Program(hostile, load_file(saved / "weights.safetensors"), CPU)
    program(flatten(make_batch(3)))
    assert not mark.exists()
    # The same archive in torch's loader shows that the payload is a live one.
    with pytest.raises(Exception):  # noqa: B017
        torch.export.load(io.BytesIO(hostile))
    assert mark.exists()


def test_strings_in_the_archive_are_never_evaluated(saved, make_batch, tmp_path):
    mark = tmp_path / "executed"
    code = f"open({str(mark)!r}, 'w')"

    def poison(document):
        document["guards_code"] = [code]
        for meta in document["graph_module"]["graph"]["tensor_values"].values():
            meta["sizes"] = [{"as_expr": {"expr_str": f"__import__('builtins').{code}", "hint": None}}]
        for node in document["graph_module"]["graph"]["nodes"]:
            node["metadata"] = {"nn_module_stack": code, "stack_trace": code}

    program = Program(rewritten(saved, poison), load_file(saved / "weights.safetensors"), CPU)
    program(flatten(make_batch(3)))
    assert not mark.exists()


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.add_.Tensor",
        "torch.ops.aten.bernoulli.default",
        "torch.ops.aten.linear.__class__",
        "torch.ops.aten.linear",
        "torch.ops.prim.device.default",
        "torch.serialization.load",
        "_operator.call",
        "_operator.attrgetter",
        "_operator.pow",
        "builtins.eval",
        "#namespace:op",
        "torch.ops.aten.linear.default.__call__",
    ],
)
def test_only_listed_operators_can_be_called(saved, target):
    assert find_op(target) is None

    def poison(document):
        document["graph_module"]["graph"]["nodes"][-1]["target"] = target

    with pytest.raises(BundleError, match="not an operator that bundles may use"):
        Program(rewritten(saved, poison), load_file(saved / "weights.safetensors"), CPU)


def test_listed_operators_exist_and_compute_only():
    missing = [name for name in TENSOR_OPS if not hasattr(torch.ops.aten, name)]
    assert missing == []
    for name in TENSOR_OPS:
        packet = getattr(torch.ops.aten, name)
        for overload in packet.overloads():
            op = find_op(f"torch.ops.aten.{name}.{overload}")
            if op is not None:
                assert not op._schema.is_mutable
                assert not any("file" in a.name for a in op._schema.arguments)


def test_a_missing_weight_is_named(saved):
    weights = load_file(saved / "weights.safetensors")
    del weights["model.linear.bias"]
    with pytest.raises(BundleError, match=r"'model\.linear\.bias' is missing"):
        Program((saved / "model.pt2").read_bytes(), weights, CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["schema_version"].update(major=99), "graph format 99 is unknown"),
        (lambda d: d["graph_module"].pop("signature"), "malformed graph|not a torch.export archive"),
        (lambda d: d["graph_module"]["graph"].update(nodes=[{"target": 1}]), "malformed graph"),
        (
            lambda d: d["graph_module"]["signature"]["output_specs"].append({"buffer_mutation": {}}),
            "output of kind buffer_mutation",
        ),
        (
            lambda d: d["graph_module"]["graph"]["nodes"][-1]["inputs"].append(
                {"name": "x", "arg": {"as_custom_obj": {}}, "kind": 1}
            ),
            "argument of kind as_custom_obj",
        ),
    ],
)
def test_a_malformed_graph_is_refused(saved, change, message):
    with pytest.raises(BundleError, match=message):
        Program(rewritten(saved, change), load_file(saved / "weights.safetensors"), CPU)


def test_not_an_archive():
    with pytest.raises(BundleError, match=r"not a torch\.export archive"):
        Program(b"\x80\x02pickle", {}, CPU)


class InPlace(nn.Module):
    def predict(self, batch):
        x = batch.dense.clone()
        x.mul_(2).add_(1)
        x[:, 0] = 0.5
        return {"y": x.sum(1)}


def test_in_place_operators_become_functions(make_batch, tmp_path):
    save_program(trace(InPlace(), make_batch(3), ["y"]), tmp_path)
    batch = make_batch(11)
    torch.testing.assert_close(load(tmp_path)(flatten(batch))[0], InPlace().predict(batch)["y"])


class Random(nn.Module):
    def predict(self, batch):
        return {"y": batch.dense.sum(1) + torch.randn(batch.size)}


def test_refused_operators_are_named_at_export(make_batch):
    with pytest.raises(Exception, match=r"torch\.ops\.aten\.randn"):
        trace(Random(), make_batch(3), ["y"])


class Baked(nn.Module):
    def predict(self, batch):
        return {"y": batch.dense.view(int(batch.size), -1).sum(1) + torch.zeros(4)}


def test_a_model_for_one_batch_size_only_is_refused(make_batch):
    with pytest.raises(Exception, match="cannot be exported"):
        trace(Baked(), make_batch(4), ["y"])


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = nn.Linear(3, 3)
        self.b.weight = self.a.weight

    def predict(self, batch):
        parts = self.b(self.a(batch.dense)).split([1, 2], 1)
        return {"y": parts[0].squeeze(1) + parts[1].amax(1), "count": batch.ids.lengths.view(2, batch.size).sum(0)}


def test_tied_weights_lists_and_integers(make_batch, tmp_path):
    model = Tied().eval()
    save_program(trace(model, make_batch(3), ["y", "count"]), tmp_path)
    batch = make_batch(8)
    y, count = load(tmp_path)(flatten(batch))
    wanted = model.predict(batch)
    torch.testing.assert_close(y, wanted["y"])
    assert torch.equal(count, wanted["count"])


def test_values_are_freed_after_their_last_use(saved):
    program = load(saved)
    freed = [slot for step in program._steps for slot in step.last_uses]
    assert len(freed) == len(set(freed))
    kept = {slot for slot, _ in program._weights} | set(program._outputs)
    assert not kept & set(freed)
