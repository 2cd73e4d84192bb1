"""One rank of a training run that says what is known of every live id before and after; see test_id_maps.py.

Rank 0 prints a JSON line for each moment: for each id map how many ids live, and a digest of all of them with their
rows, counters, weights and optimizer state.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from tzx.runtime.config import load_config
from tzx.runtime.data.batch import Batch, BatchLayout, Jagged
from tzx.runtime.embedding.dynamic import id_map, kernels
from tzx.runtime.embedding.dynamic.id_map import NO_COUNTS, Eviction, Part
from tzx.runtime.embedding.dynamic.id_table import IdTable
from tzx.runtime.embedding.dynamic.ids import DynamicIds
from tzx.runtime.embedding.dynamic.specs import IdMapSpec, Threshold
from tzx.runtime.training import jobs
from tzx.runtime.training.loop import TrainingLoop
from tzx.runtime.training.session import Session

id_map._ROWS_PER_BUCKET = 8  # so that small tables have parts enough for every rank


def pieces(session: Session) -> Iterator[tuple[str, str, int, int, np.ndarray]]:
    """Weights and optimizer state on this rank: table, what it is, first row, first column, values."""
    optimizer: Any = session.table_optimizer.optimizer
    states = optimizer.state_dict()["state"]
    for name, weight in session.sharded.state_dict().items():
        if ".collection." in name:
            for what, value in {"weight": weight, **states.get(name, {})}.items():
                for shard in value.local_shards() if hasattr(value, "local_shards") else []:
                    offsets = [*shard.metadata.shard_offsets, 0]
                    yield name.split(".")[-2], what.split(".")[-1], offsets[0], offsets[1], shard.tensor.numpy().copy()


def whole(session: Session) -> dict[str, list[np.ndarray]]:
    """Weights and optimizer state of each table, put together."""
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, list(pieces(session)))
    shapes = {name: (t.rows, t.dim) for name, t in session.model.tables.items()}
    found: dict[tuple[str, str], np.ndarray] = {}
    for table, what, row, column, values in sorted((p for own in everyone for p in own), key=lambda p: p[:4]):
        shape = shapes[table][: values.ndim]
        full = found.setdefault((table, what), np.full(shape, np.nan))
        full[tuple(slice(o, o + n) for o, n in zip((row, column), values.shape, strict=False))] = values
    return {table: [v for (t, _), v in sorted(found.items()) if t == table] for table in shapes}


def describe(session: Session) -> dict[str, Any]:
    maps: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(
        maps, {t.spec.name: {n: (m.start, m.state()) for n, m in t.maps.items()} for t in session.id_maps.ids.tables}
    )
    tables, found = whole(session), {}
    for name in maps[0]:
        following = [t.name for t in session.model.tables.values() if t.id_map == name]
        digest, live = hashlib.sha256(), 0
        for kind in maps[0][name]:
            entries = []
            for own in maps:
                start, state = own[name][kind]
                for row in np.flatnonzero(state["counts"]):
                    values = [state[k][row] for k in ("ids", "counts", "last_steps")]
                    entries.append((int(values[0]), start + int(row), int(values[1]), int(values[2])))
            assert len({e[0] for e in entries}) == len({e[1] for e in entries}) == len(entries), "ids share a row"
            for entry in sorted(entries):
                digest.update(repr(entry).encode())
                if kind == "live":
                    digest.update(b"".join(v[entry[1]].tobytes() for t in following for v in tables[t]))
            live = live or len(entries)
        assert not any(np.isnan(v).any() for t in following for v in tables[t])
        found[name] = {"live": live, "digest": digest.hexdigest()}
    return found


def check_exchange() -> None:
    """What ranks learn together is what one process learns that gets their different ids, rank after rank."""
    rank, world = dist.get_rank(), dist.get_world_size()
    layout = BatchLayout(ids=("a",))
    spec = IdMapSpec("a", 65, Eviction(kernels.LFU), 2, Threshold("count", 2), 64, None, None, ("a",))
    together, alone = DynamicIds([spec], layout), IdTable(spec)
    together.place(Part(rank, world), 0)
    for now in range(1, 30):
        every = [np.random.default_rng((now, r)).integers(0, 150, (r * now) % 40) for r in range(world)]
        distinct = [kernels.distinct(ids, NO_COUNTS) for ids in every]
        alone.learn(*(np.concatenate(parts) for parts in list(zip(*distinct, strict=True))[:2]), now)
        values = torch.from_numpy(every[rank])
        nothing = Jagged(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int32))
        ids = Jagged(values, torch.tensor([len(values)], dtype=torch.int32))
        batch = Batch(1, layout, torch.zeros(1, 0), ids, nothing, nothing)
        rows = together.learn(batch, now).ids.values.numpy()
        assert (rows == alone.find(every[rank])).all(), (now, rank)
        assert (together(batch).ids.values.numpy() == rows).all()
    tallies = torch.tensor([[t.seen, t.hits, t.misses, t.admitted, t.evicted] for t in [together.tables[0].tally]])
    dist.all_reduce(tallies)
    mine = alone.tally
    assert tallies[0].tolist() == [mine.seen, mine.hits, mine.misses, mine.admitted, mine.evicted]


def main(config_path: str, *sets: str) -> None:
    run = TrainingLoop.run

    def run_and_describe(loop: TrainingLoop) -> None:
        moments = {"before": describe(loop._session)}
        run(loop)
        moments["after"] = describe(loop._session)
        check_exchange()
        if dist.get_rank() == 0:
            print(json.dumps(moments))

    TrainingLoop.run = run_and_describe  # type: ignore[method-assign]
    jobs.train(load_config(config_path, list(sets)), jobs.TrainOptions(continue_train=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
