import json

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tzx.runtime.errors import StorageError, UserError
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training.tensor_files import load_tensors, load_unsharded, save_tensors


def write(model_dir, step, tensors=None):
    path = model_dir / f"model.ckpt-{step}"
    tensors = tensors or {"w": torch.arange(6.0).view(2, 3)}
    ckpt.commit(ckpt.Snapshot(path, {"model": tensors}, {"meta": {"step": step}}))
    return path


def test_only_committed_checkpoints_count(tmp_path):
    write(tmp_path, 5)
    torn = write(tmp_path, 10)
    (torn / ckpt.MARKER).unlink()
    assert ckpt.latest_checkpoint(tmp_path) == tmp_path / "model.ckpt-5"
    assert ckpt.resolve_checkpoint(tmp_path) == tmp_path / "model.ckpt-5"
    with pytest.raises(UserError, match=r"model\.ckpt-10 was never finished"):
        ckpt.resolve_checkpoint(torn)


def test_a_torn_attempt_of_the_same_step_is_replaced(tmp_path):
    torn = tmp_path / "model.ckpt-1"
    torn.mkdir()
    (torn / "leftover").write_text("x")
    path = write(tmp_path, 1)
    assert not (path / "leftover").exists()
    assert json.loads((path / "meta").read_text()) == {"step": 1}


def test_steps_are_ordered_as_numbers(tmp_path):
    for step in (9, 10, 100):
        write(tmp_path, step)
    assert [ckpt.step_of(p) for p in ckpt.committed_checkpoints(tmp_path)] == [9, 10, 100]


def test_prune_keeps_the_newest_and_the_protected(tmp_path):
    paths = [write(tmp_path, step) for step in (1, 2, 3, 4)]
    ckpt.prune(tmp_path, keep=2, protected=[paths[0]])
    assert ckpt.committed_checkpoints(tmp_path) == [paths[0], paths[2], paths[3]]
    ckpt.prune(tmp_path, keep=0)
    assert len(ckpt.committed_checkpoints(tmp_path)) == 3


def test_a_checkpoint_that_is_half_removed_does_not_count(tmp_path, monkeypatch):
    path, _ = write(tmp_path, 1), write(tmp_path, 2)

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ckpt, "remove_tree", killed)
    with pytest.raises(KeyboardInterrupt):
        ckpt.prune(tmp_path, keep=1)
    assert path.is_dir() and ckpt.committed_checkpoints(tmp_path) == [tmp_path / "model.ckpt-2"]
    assert ckpt.foreign_checkpoints(tmp_path) == []


def test_load_fills_what_fits_and_names_what_does_not(tmp_path):
    path = write(tmp_path, 1, {"w": torch.arange(6.0), "old": torch.ones(2)})
    tensors = {"w": torch.zeros(6), "renamed": torch.zeros(2), "other": torch.zeros(1), "grown": torch.zeros(9)}
    left = load_tensors(path / "model", tensors, {"renamed": "old", "grown": "w"})
    assert tensors["w"].tolist() == list(range(6))
    assert tensors["renamed"].tolist() == [1, 1]
    assert left == ["other (not in the checkpoint)", "grown (shape (6,) in the checkpoint, (9,) in the model)"]


class _Operations(TorchDispatchMode):
    """Notes the operations that are called."""

    def __init__(self):
        super().__init__()
        self.called = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.called.add(func.overloadpacket)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parts_of_a_storage_are_saved_without_copies(tmp_path, dtype):
    whole = torch.arange(40, dtype=dtype)
    tensors = {"first": whole[:8], "second": whole[8:32].view(6, 4), "none": whole[3:3], "whole": whole}
    with _Operations() as operations:
        save_tensors(tmp_path / "model", tensors)
    assert torch.ops.aten.clone not in operations.called
    loaded = {name: torch.full_like(tensor, -1) for name, tensor in tensors.items()}
    assert load_tensors(tmp_path / "model", loaded) == []
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_columns_of_a_matrix_are_saved_as_they_are(tmp_path):
    matrix = torch.arange(12.0).view(3, 4)
    save_tensors(tmp_path / "model", {"columns": matrix[:, 1:3]})
    loaded = {"columns": torch.zeros(3, 2)}
    assert load_tensors(tmp_path / "model", loaded) == []
    assert torch.equal(loaded["columns"], matrix[:, 1:3])


def test_load_unsharded_fills_a_module_or_says_what_is_missing(tmp_path):
    source = nn.Linear(3, 2)
    path = write(tmp_path, 1, dict(source.state_dict()))
    target = nn.Linear(3, 2)
    load_unsharded(path, target)
    assert torch.equal(target.weight, source.weight)
    with pytest.raises(UserError, match=r"weight \(shape \(2, 3\) in the checkpoint, \(4, 3\) in the model\)"):
        load_unsharded(path, nn.Linear(3, 4))


def test_no_checkpoint_and_no_directory_are_told_apart(tmp_path):
    with pytest.raises(UserError, match="holds no finished checkpoint"):
        ckpt.resolve_checkpoint(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        ckpt.resolve_checkpoint(tmp_path / "nowhere")


def test_damaged_json_names_the_file(tmp_path):
    (tmp_path / "meta").write_text("{")
    with pytest.raises(StorageError, match="meta is damaged"):
        ckpt.read_json(tmp_path / "meta")
