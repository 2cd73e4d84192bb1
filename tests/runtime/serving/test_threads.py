import pytest
import torch

from tzx.runtime.serving.threads import scoring_threads, threads_of_a_batch


@pytest.mark.parametrize(
    ("wanted", "cores", "expected"),
    [(None, 1, (1, 1)), (None, 2, (2, 1)), (None, 8, (8, 1)), (None, 64, (8, 8)), (2, 8, (2, 4)), (16, 2, (16, 1))],
)
def test_cores_are_shared_by_batches(wanted, cores, expected):
    assert scoring_threads(wanted, cores) == expected


def test_torch_has_its_threads_back_afterwards():
    before = torch.get_num_threads()
    with threads_of_a_batch(before + 2, env={}):
        assert torch.get_num_threads() == before + 2
    assert torch.get_num_threads() == before
    with threads_of_a_batch(before + 2, env={"OMP_NUM_THREADS": "1"}):
        assert torch.get_num_threads() == before
