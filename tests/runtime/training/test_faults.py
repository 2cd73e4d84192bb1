"""Every operation of a save fails once: the checkpoint is absent or whole, the one before stays, the error says what.

Operations are counted in a first, good save: what opens, writes, syncs, renames, makes or removes. Each of them then
fails in turn, with each error, and in another round the process "dies" there, as after kill -9.
"""

import builtins
import contextlib
import errno
import io
import os
import stat
from pathlib import Path

import pytest
import torch

from tzx.runtime.errors import StorageError
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training.manifest import MARKER, find_damage
from tzx.runtime.training.tensor_files import load_tensors

ERRORS = [errno.ENOSPC, errno.EIO, errno.EACCES]
TENSORS = {"w": torch.arange(6.0).view(2, 3), "b": torch.ones(3)}


class Died(BaseException):
    """What a killed process would not survive either."""


class Written:
    """A file whose writes count too."""

    def __init__(self, file, faults):
        self.file, self.faults = file, faults

    def write(self, data):
        self.faults.step("write")
        return self.file.write(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)


class Faults:
    """Counts file operations below a directory and breaks one of them."""

    def __init__(self, root, monkeypatch):
        self.root, self.seen, self.broken, self.error = str(root), [], None, None
        for module, names in ((os, ("fsync", "replace", "mkdir", "unlink", "rmdir", "link")), (builtins, ("open",))):
            for name in names:
                monkeypatch.setattr(module, name, self.wrapped(getattr(module, name), name))
        monkeypatch.setattr(io, "open", builtins.open)

    def wrapped(self, function, name):
        def broken_once(*args, **kwargs):
            reads = name == "open" and not set("wax") & set(str((*args, "r")[1]))
            outside = name in ("open", "mkdir") and not str(args[0]).startswith(self.root)
            if reads or outside:
                return function(*args, **kwargs)
            self.step(name)
            result = function(*args, **kwargs)
            return Written(result, self) if name == "open" else result

        return broken_once

    def step(self, name):
        self.seen.append(name)
        if len(self.seen) == self.broken:
            raise self.error if isinstance(self.error, Died) else OSError(self.error, os.strerror(self.error))

    def during(self, broken, error, action):
        self.seen, self.broken, self.error = [], broken, error
        try:
            return action()
        finally:
            self.broken = None


def save(model_dir, step, scale):
    tensors = {name: tensor * scale for name, tensor in TENSORS.items()}
    path = model_dir / f"model.ckpt-{step}"
    ckpt.commit(ckpt.Snapshot(path, {"model": tensors, "optimizer": tensors}, {"meta": {"step": step}, "plan": {}}))


def values(checkpoint):
    tensors = {name: torch.zeros_like(tensor) for name, tensor in TENSORS.items()}
    assert load_tensors(checkpoint / "model", tensors) == []
    assert ckpt.read_json(checkpoint / "meta") == {"step": ckpt.step_of(checkpoint)}
    return float(tensors["w"][1, 2] / TENSORS["w"][1, 2])


def operations_of_a_save(faults, model_dir):
    """How many there are when a torn directory of the same step is in the way."""
    (model_dir / "model.ckpt-9" / "model").mkdir(parents=True)
    (model_dir / "model.ckpt-9" / "model" / "left").touch()
    faults.during(None, None, lambda: save(model_dir, 9, 1.0))
    return len(faults.seen)


def everything_is_as_before_or_whole(model_dir):
    newest = ckpt.find_intact(model_dir)
    assert ckpt.foreign_checkpoints(model_dir) == []
    assert find_damage(newest) == []
    assert (ckpt.step_of(newest), values(newest)) in ((1, 1.0), (2, 2.0))
    return newest


@pytest.mark.parametrize("error", [*ERRORS, Died()], ids=["ENOSPC", "EIO", "EACCES", "killed"])
def test_each_operation_of_a_save_broken_once(tmp_path, monkeypatch, error):
    faults = Faults(tmp_path, monkeypatch)
    total = operations_of_a_save(faults, tmp_path / "count")
    assert total > 25
    survived = set()
    for number in range(1, total + 1):
        model_dir = tmp_path / str(number)
        save(model_dir, 1, 1.0)
        (model_dir / "model.ckpt-2" / "model").mkdir(parents=True)
        (model_dir / "model.ckpt-2" / "WRITING").touch()
        (model_dir / "model.ckpt-2" / "model" / "left").touch()
        try:
            faults.during(number, error, lambda where=model_dir: save(where, 2, 2.0))
            survived.add(faults.seen[number - 1])
        except StorageError as failure:
            if not isinstance(error, Died):  # torch turns it into an error of its own
                assert os.strerror(error) in str(failure) and str(model_dir) in str(failure)
        except Died:
            pass
        everything_is_as_before_or_whole(model_dir)
        save(model_dir, 2, 2.0)  # and the next attempt succeeds
        assert everything_is_as_before_or_whole(model_dir).name == "model.ckpt-2"
    assert survived <= {"unlink", "rmdir", "mkdir"}  # only removing what is in the way, or making what is there


class Synced:
    """What a power cut would leave: by inode, the names in a directory, or nothing for a file, when last synced."""

    def __init__(self, monkeypatch):
        self.seen, self.fsync, self.replace, self.unsynced = {}, os.fsync, os.replace, None
        monkeypatch.setattr(os, "fsync", self.note)
        monkeypatch.setattr(os, "replace", self.look)

    def note(self, descriptor):
        status = os.fstat(descriptor)
        self.seen[status.st_ino] = set(os.listdir(descriptor)) if stat.S_ISDIR(status.st_mode) else set()
        self.fsync(descriptor)

    def missing(self, top):
        """What lies below `top`, itself included, and is not on the disk as it is."""
        entries = [top, *top.rglob("*")]
        names = {path: {entry.name for entry in path.iterdir()} if path.is_dir() else set() for path in entries}
        return {path.name for path, there in names.items() if self.seen.get(path.stat().st_ino) != there}

    def look(self, old, new):
        if os.path.basename(new) == MARKER:
            self.unsynced = self.missing(Path(new).parent)
        self.replace(old, new)


def test_all_is_on_the_disk_before_the_marker_and_then_the_marker_too(tmp_path, monkeypatch):
    synced = Synced(monkeypatch)
    save(tmp_path / "run", 1, 1.0)
    assert synced.unsynced == {"model.ckpt-1"}  # whose list of names lacks nothing but the marker
    assert synced.missing(tmp_path / "run") == set()


def test_a_full_disk_says_how_much_room_is_missing(tmp_path, monkeypatch):
    faults = Faults(tmp_path, monkeypatch)
    faults.during(None, None, lambda: save(tmp_path, 1, 1.0))
    first = faults.seen.index("write", faults.seen.index("mkdir", 4)) + 1  # of a tensor
    with pytest.raises(StorageError, match=r"No space left on device; this rank needs about 36 bytes .* are free"):
        faults.during(first, errno.ENOSPC, lambda: save(tmp_path, 2, 1.0))


@pytest.mark.parametrize("error", [errno.EIO, Died()], ids=["EIO", "killed"])
def test_each_operation_of_removing_old_checkpoints_broken_once(tmp_path, monkeypatch, error):
    faults = Faults(tmp_path, monkeypatch)
    for number in range(1, 40):
        model_dir = tmp_path / str(number)
        for step in (1, 2):
            save(model_dir, step, float(step))
        with contextlib.suppress(Died):
            faults.during(number, error, lambda where=model_dir: ckpt.prune(where, keep=1))
        assert everything_is_as_before_or_whole(model_dir).name == "model.ckpt-2"
        if len(faults.seen) < number:
            break
    assert 5 < number < 39
