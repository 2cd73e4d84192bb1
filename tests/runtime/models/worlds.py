"""Worlds of generated rows, each with a signal that one kind of structure reaches, and a trainer.

A world says which features there are, draws rows, and names a plain network that sees the same features.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from google.protobuf import text_format
from sklearn.metrics import roc_auc_score

from tzx.runtime.data.batch import BatchLayout
from tzx.runtime.data.packing import pack
from tzx.runtime.features import FeatureSet
from tzx.runtime.features.arrays import DenseData, SequenceSparseData, SparseData
from tzx.runtime.models import build_model
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

BCE = "losses { binary_cross_entropy {} }"
FINAL = 'final { hidden_units: 8 activation: "nn.LeakyReLU" }'
DEEP = "deep { hidden_units: [16, 8] }"
PLAIN = f'multi_tower {{ towers {{ input: "deep" mlp {{ hidden_units: [16, 8] }} }} {FINAL} }} {BCE}'


@dataclass(frozen=True)
class World:
    """Features, feature groups, the plain network, a drawer of (arrays, labels), and how long to train.

    Of several labels the last is the one that counts.
    """

    features: str
    groups: str
    draw: Callable
    plain: str = PLAIN
    labels: tuple[str, ...] = ("click",)
    rows: int = 40_000
    steps: int = 200
    rate: float = 0.02


def id_feature(name, rows, dim=8, more=""):
    text = f'feature_name: "{name}" num_buckets: {rows} embedding_dim: {dim} {more}'
    return f"feature_configs {{ id_feature {{ {text} }} }}"


def sequence(name, rows, table, dim=8):
    return (
        f'feature_configs {{ sequence_id_feature {{ feature_name: "{name}" num_buckets: {rows} embedding_dim: {dim} '
        f'sequence_length: 500 embedding_name: "{table}_emb" }} }}'
    )


def group(name, features, kind="DEEP", more=""):
    listed = ", ".join(f'"{feature}"' for feature in features)
    return f'feature_groups {{ group_name: "{name}" feature_names: [{listed}] group_type: {kind} {more} }}'


def pooled(features, sequence_features):
    """The group of a plain network that sees the mean of a sequence."""
    listed = ", ".join(f'"{feature}"' for feature in sequence_features)
    more = (
        f'sequence_groups {{ feature_names: [{listed}] }} sequence_encoders {{ pooling_encoder {{ input: "deep" }} }}'
    )
    return group("deep", features, more=more)


def ids(column):
    return SparseData(column, np.ones(len(column), np.int32))


def steps(columns_BT):
    size, length = columns_BT.shape
    return SequenceSparseData(columns_BT.ravel(), np.ones(columns_BT.size, np.int32), np.full(size, length, np.int32))


def coin(rng, logits):
    return (rng.random(len(logits)) < 1 / (1 + np.exp(-logits))).astype(np.int64)


def auc_of(world, text):
    """Train on the world's rows in batches of 2,000 and order 4,000 fresh ones by the last task's probability."""
    data = ", ".join(f'"{label}"' for label in world.labels)
    config = text_format.Parse(
        f"data_config {{ dataset_type: ParquetDataset fg_mode: FG_NONE label_fields: [{data}] }} {world.features} "
        f"model_config {{ {world.groups} {text} }}",
        EasyRecConfig(),
    )
    features = FeatureSet.from_config(config.feature_configs, config.data_config)
    layout = BatchLayout.from_features(features.features)

    def batch_of(size, seed):
        arrays, labels = world.draw(size, np.random.default_rng(seed), np.random.default_rng(99))
        batch = pack(arrays, layout, size)
        batch.labels = {name: torch.tensor(labels[name]) for name in world.labels}
        return batch

    torch.manual_seed(0)
    model = build_model(config, features)
    optimizer = torch.optim.Adam(model.parameters(), lr=world.rate)
    batches = [batch_of(2000, seed) for seed in range(world.rows // 2000)]
    for step in range(world.steps):
        batch = batches[step % len(batches)]
        loss = sum(model.loss(model.predict(batch), batch).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fresh = batch_of(4000, 1000)
    with torch.no_grad():
        predictions = model.eval().predict(fresh)
    name = [name for name in model.output_names if name.startswith("probs")][-1]
    return roc_auc_score(fresh.labels[world.labels[-1]], predictions[name])


# ---- the product of hidden vectors of user and item decides


def draw_match(size, rng, hidden):
    columns = {"user": rng.integers(0, 200, size), "item": rng.integers(0, 200, size), "day": rng.integers(0, 16, size)}
    of_user, of_item = hidden.normal(size=(200, 4)), hidden.normal(size=(200, 4))
    label = coin(rng, 2 * (of_user[columns["user"]] * of_item[columns["item"]]).sum(1))
    return {name: ids(column) for name, column in columns.items()}, {"click": label}


MATCH = World(
    id_feature("user", 200) + id_feature("item", 200) + id_feature("day", 16),
    group("deep", ["user", "item", "day"]),
    draw_match,
)

# ---- the item at hand was among those seen


def draw_seen(size, rng, hidden):
    seen, item = rng.integers(0, 60, (size, 6)), rng.integers(0, 60, size)
    again = rng.random(size) < 0.5
    item[again] = seen[again, rng.integers(0, 6, size)[again]]
    found = (seen == item[:, None]).any(1)
    return {"item": ids(item), "seen": steps(seen)}, {"click": coin(rng, np.where(found, 2.0, -2.0))}


ITEMS = id_feature("item", 60, more='embedding_name: "item_emb"') + sequence("seen", 60, "item")
SEEN = World(ITEMS, pooled(["item"], ["item", "seen"]) + group("seq", ["item", "seen"], "SEQUENCE"), draw_seen)

# ---- it was seen, but when decides


def draw_order(size, rng, hidden):
    seen = np.argsort(rng.random((size, 60)), axis=1)[:, :6]
    at = rng.integers(0, 6, size)
    label = coin(rng, np.where(at < 3, 2.0, -2.0))
    return {"item": ids(seen[np.arange(size), at]), "seen": steps(seen)}, {"click": label}


ORDER = World(ITEMS, SEEN.groups, draw_order)

# ---- what elements of the same kind were worth, far back in a long sequence


def draw_long(size, rng, hidden):
    kinds, worth = rng.integers(0, 8, (size, 40)), rng.integers(0, 2, (size, 40))
    kind = rng.integers(0, 8, size)
    score = ((kinds == kind[:, None]) * (2 * worth - 1)).sum(1)
    arrays = {"kind": ids(kind), "kinds": steps(kinds), "worth": steps(worth)}
    return arrays, {"click": coin(rng, 2.0 * score)}


LONG = World(
    id_feature("kind", 8, 8, 'embedding_name: "kind_emb"')
    + sequence("kinds", 8, "kind")
    + sequence("worth", 2, "worth", 4),
    pooled(["kind"], ["kind", "kinds", "worth"]) + group("seq", ["kind", "kinds", "worth"], "SEQUENCE"),
    draw_long,
    rows=20_000,
    steps=100,
    rate=0.03,
)

# ---- clicks are plenty, purchases few: what clicks teach about users and items helps to foresee purchases


def draw_scarce(size, rng, hidden):
    user, item = rng.integers(0, 400, size), rng.integers(0, 400, size)
    of_user, of_item = hidden.normal(size=400), hidden.normal(size=400)
    logits = 2 * of_user[user] + 2 * of_item[item]
    known = rng.random(size) < 0.01
    labels = {"click": coin(rng, logits), "known": known.astype(np.int64), "buy": coin(rng, logits)}
    return {"user": ids(user), "item": ids(item)}, labels


TOWER = f"mlp {{ hidden_units: [16, 8] }} {BCE}"
CTR = f'task_towers {{ tower_name: "ctr" label_name: "click" {TOWER} }}'
BUY = f"""tower_name: "buy" label_name: "buy" {TOWER} task_space_indicator_label: "known" in_task_space_weight: 1
    out_task_space_weight: 0"""
SCARCE = World(
    id_feature("user", 400) + id_feature("item", 400),
    group("deep", ["user", "item"]),
    draw_scarce,
    f"simple_multi_task {{ task_towers {{ {BUY} }} }}",
    ("click", "known", "buy"),
    steps=100,
)

# ---- what an item is worth depends on the domain


def draw_domains(size, rng, hidden):
    item, domain = rng.integers(0, 300, size), rng.integers(0, 40, size)
    of_item, of_domain = hidden.normal(size=(300, 4)), hidden.normal(size=(40, 4))
    label = coin(rng, 2 * (of_item[item] * of_domain[domain]).sum(1))
    return {"item": ids(item), "domain": ids(domain)}, {"click": label}


DOMAINS = World(
    id_feature("item", 300) + id_feature("domain", 40),
    group("all", ["item", "domain"]) + group("domain", ["domain"]) + group("deep", ["item", "domain"]),
    draw_domains,
    steps=100,
)

# ---- what a row's numbers are worth depends on the person


def draw_persons(size, rng, hidden):
    person, numbers = rng.integers(0, 50, size), rng.normal(size=(size, 6))
    worth = hidden.normal(size=(50, 6)) / 6**0.5
    arrays = {"person": ids(person), "numbers": DenseData(numbers.astype(np.float32))}
    return arrays, {"click": coin(rng, 3 * (worth[person] * numbers).sum(1))}


def numbers(name, count):
    return f'feature_configs {{ raw_feature {{ feature_name: "{name}" value_dim: {count} }} }}'


PERSONS = World(
    id_feature("person", 50) + numbers("numbers", 6),
    group("all", ["numbers", "person"]) + group("uia", ["person"]) + group("deep", ["numbers", "person"]),
    draw_persons,
    steps=60,
)

# ---- what counts on one side has nothing to do with the other, and there are few rows to find that out


def draw_sides(size, rng, hidden):
    of_user, of_item = rng.normal(size=(size, 12)), rng.normal(size=(size, 12))
    label = coin(rng, 2 * of_user[:, 0] * of_user[:, 1] + 2 * of_item[:, 0] * of_item[:, 1])
    arrays = {"user": DenseData(of_user.astype(np.float32)), "item": DenseData(of_item.astype(np.float32))}
    return arrays, {"click": label}


SIDES = World(
    numbers("user", 12) + numbers("item", 12),
    group("deep", ["user", "item"]) + group("user", ["user"]) + group("item", ["item"]),
    draw_sides,
    rows=2000,
    steps=100,
)

# ---- every id counts for itself, and there is little time to learn them

SINGLE = World(
    SCARCE.features,
    group("deep", ["user", "item"]) + group("wide", ["user", "item"], "WIDE"),
    draw_scarce,
    steps=30,
)
