"""No file of a checkpoint can change without being noticed and named."""

import shutil

import pytest
import torch

from tzx.runtime.errors import StorageError
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training.manifest import MARKER, find_damage, read_marker
from tzx.runtime.training.storage import sum_file


def write(model_dir, step):
    tensors = {"w": torch.arange(600.0).view(20, 30), "b": torch.ones(3)}
    path = model_dir / f"model.ckpt-{step}"
    ckpt.commit(ckpt.Snapshot(path, {"model": tensors, "optimizer": tensors}, {"meta": {"step": step}, "plan": {}}))
    return path


def files_of(checkpoint):
    return sorted(p for p in checkpoint.rglob("*") if p.is_file() and p.name != ckpt.BEGUN)


def test_the_marker_lists_every_file_with_what_is_on_disk(tmp_path):
    path = write(tmp_path, 1)
    listed = read_marker(path)
    assert {str(p.relative_to(path)) for p in files_of(path)} == {*listed, MARKER}
    assert all(listed[name] == sum_file(path / name) for name in listed)
    assert len(listed) == 6 and find_damage(path) == []


def flipped(data, at):
    return data[: at // 8] + bytes([data[at // 8] ^ (1 << at % 8)]) + data[at // 8 + 1 :]


def mutations(data):
    """One bit at many places, and cuts from everything to one byte."""
    bits = 8 * len(data)
    yield from ((f"bit {at}", flipped(data, at)) for at in sorted({*range(0, bits, max(1, bits // 60)), bits - 1}))
    yield from ((f"cut at {size}", data[:size]) for size in sorted({0, 1, len(data) // 2, len(data) - 1}))
    yield "longer", data + b"\0"


def test_every_flipped_bit_and_every_cut_of_every_file_is_found_and_named(tmp_path):
    path, tried = write(tmp_path, 1), 0
    for file in files_of(path):
        good = file.read_bytes()
        for what, bad in mutations(good):
            file.write_bytes(bad)
            problems = find_damage(path)
            assert len(problems) == 1 and str(file) in problems[0], (file.name, what)
            tried += 1
        file.write_bytes(good)
    assert find_damage(path) == [] and tried > 400


@pytest.mark.parametrize("change", ["flip", "cut", "remove"])
def test_resuming_goes_back_to_the_checkpoint_before_and_says_why(tmp_path, caplog, change):
    older, newest = write(tmp_path / "run", 1), write(tmp_path / "run", 2)
    shutil.copytree(tmp_path / "run", tmp_path / "whole")
    for file in files_of(newest):
        good = file.read_bytes()
        if change == "flip":
            file.write_bytes(flipped(good, 4 * len(good)))
        elif change == "cut":
            file.write_bytes(good[:-1])
        elif file.name != MARKER:  # without it the checkpoint was never finished
            file.unlink()
        else:
            continue
        caplog.clear()
        assert ckpt.find_intact(tmp_path / "run") == older
        assert str(file) in caplog.text and "going back to the one before it" in caplog.text
        assert ckpt.committed_checkpoints(tmp_path / "run") == [older]  # nothing takes the damaged one again
        assert ckpt.foreign_checkpoints(tmp_path / "run") == []
        shutil.rmtree(newest)
        shutil.copytree(tmp_path / "whole" / newest.name, newest)


def test_a_damaged_checkpoint_asked_for_by_name_is_an_error(tmp_path):
    path = write(tmp_path, 1)
    (path / "meta").write_text("{}")
    with pytest.raises(StorageError, match=r"model\.ckpt-1 is damaged: .*meta has 2 bytes, .* name another"):
        ckpt.resolve_checkpoint(path)
    with pytest.raises(StorageError, match=r"every checkpoint is damaged \(model\.ckpt-1\)"):
        ckpt.find_intact(tmp_path)
    with pytest.raises(StorageError, match="was found to be damaged"):
        ckpt.resolve_checkpoint(path)


def test_ranks_share_the_reading(tmp_path):
    path = write(tmp_path, 1)
    for name in read_marker(path):
        (path / name).unlink()
    shares = [find_damage(path, part, 3) for part in range(3)]
    assert [len(share) for share in shares] == [2, 2, 2]
    assert len({problem for share in shares for problem in share}) == 6
