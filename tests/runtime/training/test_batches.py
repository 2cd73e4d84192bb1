"""Ranks that run out of batches at different times take part until the last one is done."""

from types import SimpleNamespace

import torch

from tzx.runtime.training.batches import LockstepBatches, Requests
from tzx.runtime.training.process import Process


def steps_of(rank, world_size, counts, stop_at, queue):
    process = Process(rank=rank, world_size=world_size)
    torch.distributed.init_process_group("gloo", init_method=queue[0], rank=rank, world_size=world_size)
    requests = Requests()
    batches = iter(
        SimpleNamespace(number=i, size=10 * rank + i + 1, event_time=1000 * rank + i + 1) for i in range(counts[rank])
    )
    lockstep = LockstepBatches(batches, SimpleNamespace(number="filler", size=1), process, requests)
    seen = []
    for batch, agreed in lockstep:
        seen.append((batch.number, batch.peer_size, batch.event_time, agreed.stop))
        if (rank, len(seen)) == stop_at:
            requests.stop = True
        if agreed.stop:
            break
    queue[1].put((rank, seen))
    torch.distributed.destroy_process_group()


def run(context, tmp_path, counts, stop_at=None):
    results = context.Queue()
    store = f"file://{tmp_path}/store"
    workers = [
        context.Process(target=steps_of, args=(rank, len(counts), counts, stop_at, (store, results)))
        for rank in range(len(counts))
    ]
    for worker in workers:
        worker.start()
    seen = dict(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    return seen


def test_a_rank_without_batches_takes_part_with_the_filler_and_all_know_the_largest_batch(server, tmp_path):
    seen = run(server, tmp_path, counts=[3, 0, 1])
    steps = [(21, 2001, False), (2, 2, False), (3, 3, False)]  # the time that half of those with rows have reached
    assert seen[0] == [(number, *step) for number, step in zip((0, 1, 2), steps, strict=True)]
    assert seen[1] == [("filler", *step) for step in steps]
    assert seen[2] == [(number, *step) for number, step in zip((0, "filler", "filler"), steps, strict=True)]


def test_a_stop_asked_for_by_one_rank_stops_all_in_the_same_step(server, tmp_path):
    seen = run(server, tmp_path, counts=[9, 9], stop_at=(1, 4))
    assert [len(s) for s in seen.values()] == [5, 5]
    assert all(s[-1][-1] and not s[-2][-1] for s in seen.values())
