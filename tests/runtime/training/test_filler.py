"""A rank that has run out of data takes part in the steps of the others without moving anything itself."""

from itertools import islice

import pytest
import torch
import torch.distributed as dist
from comparing import pieces
from rank_runner import Job, into

from tzx.runtime.config import parse_text
from tzx.runtime.data.loader import DataLoader
from tzx.runtime.training.loop import TrainingLoop
from tzx.runtime.training.process import Process
from tzx.runtime.training.session import build_session
from tzx.runtime.training.settings import RunSettings

OPTIMIZERS = {
    "sgd": "",
    "adagrad": "",
    "rowwise_adagrad": "weight_decay: 0.1 weight_decay_mode: DECOUPLE",
    "adam": "weight_decay: 0.1",
    "partial_rowwise_adam": "weight_decay: 0.1",
    "lamb": "weight_decay: 0.1",
    "partial_rowwise_lamb": "weight_decay: 0.1",
    "lars_sgd": "weight_decay: 0.1 momentum: 0.9",
}

SEQUENCE = """
feature_configs { sequence_id_feature { feature_name: "seen" expression: "item:item" hash_bucket_size: 64
  embedding_dim: 8 sequence_length: 5 embedding_constraints { sharding_types: "row_wise" } } }
feature_configs { raw_feature { feature_name: "price\""""
ENCODED = """feature_groups { sequence_groups { group_name: "past" feature_names: ["item", "seen"] }
  sequence_encoders { pooling_encoder { input: "past" } }"""


def moved_rows(before, after):
    """Rows of each table that differ in any piece."""
    rows = {}
    for (table, _, first), old in before.items():
        differs = (after[table, _, first] != old).reshape(old.shape[0], -1).any(1).nonzero().flatten() + first
        rows.setdefault(table.removesuffix("_wide"), set()).update(differs.tolist())
    return rows


def buffers(session):
    return {n: b.clone() for n, b in session.model.named_buffers() if "running" in n or "num_batches" in n}


def uneven_ends(job: Job) -> None:
    """Rank 0 has two batches, rank 1 one: the second step moves the rows of rank 0's second batch and no other."""
    process = Process.from_env()
    epoch, step = DataLoader.epoch, TrainingLoop._step
    DataLoader.epoch = lambda self, *a, **k: islice(epoch(self, *a, **k), 2 - process.rank)
    checked = []

    def watched(loop, batch):
        session = loop._session
        old, statistics = pieces(session), buffers(session)
        losses = step(loop, batch)
        touched = [None, None]
        ids = {name: batch.ids_of(name)[0] for name in ("user", "item")} | {"seen": batch.sequences["seen"].values}
        own = {name: set() if batch.is_filler else set(values.tolist()) for name, values in ids.items()}
        dist.all_gather_object(touched, own)
        moved = moved_rows(old, pieces(session))
        for table in own:
            wanted = touched[0][table] | touched[1][table]
            assert moved[f"{table}_emb"] <= wanted, (table, moved, wanted)
            everywhere = [None, None]
            dist.all_gather_object(everywhere, moved[f"{table}_emb"])
            assert everywhere[0] | everywhere[1] == wanted, "a batch moves its own rows"
        same = all(torch.equal(b, statistics[n]) for n, b in buffers(session).items())
        assert same == batch.is_filler and statistics
        checked.append(batch.is_filler)
        return losses

    TrainingLoop._step = watched
    for kind, options in OPTIMIZERS.items():
        config = parse_text(job.config.replace("KIND", kind).replace("OPTIONS", options), "job.config")
        session = build_session(config, process, RunSettings(), training=True)
        TrainingLoop(session, session.loader(config.train_input_path, "train"), lambda: None).run()
    assert checked == [False, process.rank == 1] * len(OPTIMIZERS)


@pytest.mark.slow
def test_no_row_state_or_statistic_moves_for_a_rank_without_data(runner, config_text, tmp_path):
    for old, new in {
        "adagrad_optimizer { lr: 0.2 }": "KIND_optimizer { lr: 0.2 OPTIONS }",
        "num_epochs: 2": "num_epochs: 1 use_tensorboard: false",
        "hidden_units: [32, 16]": "hidden_units: [8] use_bn: true",
        "num_buckets: 50": 'num_buckets: 50 embedding_constraints { sharding_types: "row_wise" }',
        "hash_bucket_size: 64": 'hash_bucket_size: 64 embedding_constraints { sharding_types: "data_parallel" }',
        'feature_configs { raw_feature { feature_name: "price"': SEQUENCE,
        'feature_groups { group_name: "deep"': f'{ENCODED} group_name: "deep"',
        "batch_size: 100": "batch_size: 5",
    }.items():
        assert old in config_text
        config_text = config_text.replace(old, new)
    assert runner.run(into(config_text, tmp_path / "KIND"), 2, action=uneven_ends) == [0, 0], runner.log()
