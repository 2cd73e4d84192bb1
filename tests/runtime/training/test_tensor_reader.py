import os
import pickle
import pickletools

import pytest
import torch
import torch.distributed.checkpoint as dcp

from tzx.runtime.errors import StorageError
from tzx.runtime.training.tensor_files import load_tensors, read_metadata, save_tensors
from tzx.runtime.training.tensor_reader import TensorReader

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool]


class Payload:
    """Runs a command when unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


@pytest.fixture
def folder(tmp_path):
    tensors = {str(dtype): torch.ones(3, 2).to(dtype) for dtype in DTYPES} | {"scalar": torch.tensor(1.5)}
    save_tensors(tmp_path / "model", tensors)
    return tmp_path / "model"


def test_every_dtype_round_trips(folder):
    loaded = {str(dtype): torch.zeros(3, 2).to(dtype) for dtype in DTYPES} | {"scalar": torch.tensor(0.0)}
    assert load_tensors(folder, loaded) == []
    assert all((loaded[str(dtype)] == 1).all() for dtype in DTYPES) and loaded["scalar"] == 1.5


def test_the_index_equals_what_torch_reads(folder):
    assert TensorReader(folder).read_metadata().state_dict_metadata == (
        dcp.FileSystemReader(folder).read_metadata().state_dict_metadata
    )


def test_a_malicious_index_is_refused_and_runs_nothing(folder, tmp_path):
    canary = tmp_path / "canary"
    (folder / ".metadata").write_bytes(pickle.dumps(Payload(canary)))
    with pytest.raises(StorageError, match=r"refused to read .*\.metadata: it names posix\.system"):
        read_metadata(folder)
    assert not canary.exists()


def test_a_damaged_index_never_escapes_as_another_error(folder):
    good = (folder / ".metadata").read_bytes()
    ends = [position for _, _, position in pickletools.genops(good)]
    for cut in [0, 1, *ends[:: len(ends) // 20], len(good) - 1]:
        (folder / ".metadata").write_bytes(good[:cut])
        with pytest.raises(StorageError):
            read_metadata(folder)


def test_a_missing_index_names_the_directory(tmp_path):
    with pytest.raises(StorageError, match=r"cannot read checkpoint .*nowhere"):
        read_metadata(tmp_path / "nowhere")
