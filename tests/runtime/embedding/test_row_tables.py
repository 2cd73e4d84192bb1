"""Row tables against a float64 oracle that loops over rows, and against FBGEMM where it has a CPU kernel."""

import numpy as np
import pytest
import torch
from fbgemm_gpu.split_embedding_configs import EmbOptimType, SparseType
from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation, PoolingMode
from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
    ComputeDevice,
    SplitTableBatchedEmbeddingBagsCodegen,
    WeightDecayMode,
)

from tzx.runtime.embedding.row_tables import RowTables
from tzx.runtime.embedding.row_updates import RULES
from tzx.runtime.errors import DataError

BATCH = 7
OPTIMIZERS = {
    "sgd": EmbOptimType.EXACT_SGD,
    "adagrad": EmbOptimType.EXACT_ADAGRAD,
    "rowwise_adagrad": EmbOptimType.EXACT_ROWWISE_ADAGRAD,
    "adam": EmbOptimType.ADAM,
    "partial_rowwise_adam": EmbOptimType.PARTIAL_ROWWISE_ADAM,
    "lamb": EmbOptimType.LAMB,
    "partial_rowwise_lamb": EmbOptimType.PARTIAL_ROWWISE_LAMB,
    "lars_sgd": EmbOptimType.LARS_SGD,
}
DECAYING = set(OPTIMIZERS) - {"sgd", "adagrad"}
TABLES = [(11, 8), (6, 8), (9, 1), (5, 3)]
FEATURES = [0, 0, 1, 2, 3]  # the first table has two features


def make(kernel, optimizer, tables=TABLES, features=FEATURES, pooled=True, **options):
    tables = kernel(
        embedding_specs=[(rows, dim, EmbeddingLocation.HOST, ComputeDevice.CPU) for rows, dim in tables],
        feature_table_map=features,
        pooling_mode=PoolingMode.SUM if pooled else PoolingMode.NONE,
        optimizer=optimizer,
        device=torch.device("cpu"),
        **options,
    )
    generator = torch.Generator().manual_seed(1)
    for weight in tables.split_embedding_weights():
        weight.copy_(torch.randn(weight.shape, generator=generator))
    return tables


def batch(rng, tables=TABLES, features=FEATURES):
    """Ids with repetitions and empty bags, offsets, weights, and each id's feature and row of the batch."""
    lengths = rng.integers(0, 4, (len(features), BATCH))
    owners = [(f, b) for f in range(len(features)) for b in range(BATCH) for _ in range(lengths[f, b])]
    ids = np.array([rng.integers(0, tables[features[f]][0]) for f, _ in owners])
    offsets = np.concatenate([[0], lengths.reshape(-1).cumsum()])
    return torch.from_numpy(ids), torch.from_numpy(offsets), torch.rand(len(ids)), owners


def expected_outputs(weights, ids, scale, owners):
    sums = [np.zeros((BATCH, weights[t].shape[1])) for t in FEATURES]
    for i, (f, b) in zip(ids.tolist(), owners, strict=True):
        sums[f][b] += weights[FEATURES[f]][i] * next(scale)
    return np.concatenate(sums, axis=1)


def gradients(weights, ids, scale, owners, upstream):
    starts = np.concatenate([[0], np.cumsum([weights[t].shape[1] for t in FEATURES])])
    found, touched = [np.zeros_like(w) for w in weights], [set() for _ in weights]
    for i, (f, b) in zip(ids.tolist(), owners, strict=True):
        found[FEATURES[f]][i] += upstream[b, starts[f] : starts[f + 1]] * next(scale)
        touched[FEATURES[f]].add(i)
    return found, touched


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_optimizer_follows_its_formula_on_touched_rows(kit, kind, decay, weighted):
    if decay and kind not in DECAYING:
        pytest.skip("has no weight decay")
    options = {"lr": 0.05} | ({"weight_decay": decay} if decay else {})
    mode = {"weight_decay_mode": WeightDecayMode.L2} if decay and kind == "rowwise_adagrad" else {}
    tables = make(
        RowTables, OPTIMIZERS[kind], learning_rate=0.05, **{k: v for k, v in options.items() if k != "lr"}, **mode
    )
    options |= {"weight_decay_mode": "L2"} if mode else {}
    weights = [w.numpy().astype(np.float64) for w in tables.split_embedding_weights()]
    states = [{} for _ in weights]
    rng = np.random.default_rng(0)
    for _ in range(4):
        ids, offsets, scale, owners = batch(rng)
        upstream = rng.normal(size=(BATCH, sum(TABLES[t][1] for t in FEATURES)))
        output = tables(ids, offsets, scale if weighted else None)
        factors = scale.tolist() if weighted else [1.0] * len(ids)
        assert np.abs(output.detach().numpy() - expected_outputs(weights, ids, iter(factors), owners)).max() < 1e-4
        output.backward(torch.from_numpy(upstream).float())
        found, touched = gradients(weights, ids, iter(factors), owners, upstream)
        for table, gradient, rows, state in zip(weights, found, touched, states, strict=True):
            kit.update_table(kind, table, gradient, rows, state, options)
        for actual, table in zip(tables.split_embedding_weights(), weights, strict=True):
            np.testing.assert_allclose(actual.numpy(), table, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("clipped", [False, True])
@pytest.mark.parametrize("mode", ["NONE", "L2", "DECOUPLE"])
@pytest.mark.parametrize("kind", ["sgd", "adagrad", "rowwise_adagrad"])
def test_what_fbgemm_fuses_on_cpu_gives_the_same(kind, mode, clipped, pooled):
    if mode != "NONE" and (kind != "rowwise_adagrad" or pooled):
        pytest.skip("has no weight decay, or forgets it when it pools")
    options = {"learning_rate": 0.1, "gradient_clipping": clipped, "max_gradient": 0.3}
    if mode != "NONE":
        options |= {"weight_decay": 0.2, "weight_decay_mode": WeightDecayMode[mode]}
    shape = [(11, 8), (6, 4)] if pooled else [(11, 4), (6, 4)]
    ours = make(RowTables, OPTIMIZERS[kind], shape, [0, 0, 1], pooled, **options)
    theirs = make(SplitTableBatchedEmbeddingBagsCodegen, OPTIMIZERS[kind], shape, [0, 0, 1], pooled, **options)
    rng = np.random.default_rng(0)
    for _ in range(3):
        ids, offsets, scale, _ = batch(rng, shape, [0, 0, 1])
        one, two = (t(ids, offsets, scale if pooled else None) for t in (ours, theirs))
        torch.testing.assert_close(one, two)
        upstream = torch.randn(one.shape)
        one.backward(upstream)
        two.backward(upstream)
    for one, two in zip(ours.split_embedding_weights(), theirs.split_embedding_weights(), strict=True):
        torch.testing.assert_close(one, two)
    for one, two in zip(ours.get_optimizer_state(), theirs.get_optimizer_state(), strict=True):
        assert list(one) == list(two)
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_untouched_rows_and_a_zero_gradient_leave_no_trace(kind):
    tables = make(RowTables, OPTIMIZERS[kind], learning_rate=0.5)
    before = [w.clone() for w in tables.split_embedding_weights()]
    ids, offsets, _, _ = batch(np.random.default_rng(0))
    tables(ids, offsets).backward(torch.zeros(BATCH, sum(TABLES[t][1] for t in FEATURES)))
    for old, new in zip(before, tables.split_embedding_weights(), strict=True):
        assert torch.equal(old, new)


def test_halves_are_summed_as_floats():
    tables = make(RowTables, EmbOptimType.ADAM, weights_precision=SparseType.FP16)
    ids, offsets, scale, owners = batch(np.random.default_rng(0))
    output = tables(ids, offsets, scale)
    weights = [w.numpy().astype(np.float64) for w in tables.split_embedding_weights()]
    assert output.dtype == torch.float32
    assert np.abs(output.detach().numpy() - expected_outputs(weights, ids, iter(scale.tolist()), owners)).max() < 1e-5
    output.sum().backward()
    assert all(w.dtype == torch.float16 for w in tables.split_embedding_weights())


def test_an_id_beyond_its_table_is_an_error_not_a_row_of_the_next_table():
    tables = make(RowTables, EmbOptimType.ADAM, table_names=["a", "b", "c", "d"])
    ids, offsets, _, owners = batch(np.random.default_rng(0))
    ids[next(n for n, (f, _) in enumerate(owners) if f == 2)] = 6
    with pytest.raises(DataError, match="table 'b': id 6 is outside its rows 0 to 5"):
        tables(ids, offsets)


def test_a_batch_without_ids_changes_nothing():
    for pooled in (True, False):
        shape = TABLES if pooled else [(11, 4), (6, 4)]
        tables = make(RowTables, EmbOptimType.ADAM, shape, range(len(shape)), pooled)
        before = tables.weights_host.clone()
        output = tables(torch.zeros(0, dtype=torch.int64), torch.zeros(len(shape) * BATCH + 1, dtype=torch.int64))
        assert output.shape == ((BATCH, sum(d for _, d in shape)) if pooled else (0, 4))
        output.sum().backward()
        assert torch.equal(tables.weights_host, before)


def test_only_optimizers_that_look_at_whole_rows_mind_split_columns():
    assert {name for name, rule in RULES.items() if not rule.sees_whole_rows} == {"exact_sgd", "exact_adagrad", "adam"}


def wide_batch(seed):
    """Enough ids for several threads, most of them in a few rows of one table, in bags of 0 to 3."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 4, 3 * 1500)
    ids = rng.zipf(1.3, lengths.sum()) % np.repeat([50_000, 50_000, 70], lengths.reshape(3, -1).sum(axis=1))
    return torch.from_numpy(ids), torch.from_numpy(np.concatenate([[0], lengths.cumsum()]))


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("kind", ["sgd", "adagrad", "rowwise_adagrad", "adam"])
def test_results_do_not_depend_on_the_number_of_threads(kind, pooled):
    outputs = []
    for threads in (1, 2, 5):
        tables = make(RowTables, OPTIMIZERS[kind], [(50_000, 16), (70, 16)], [0, 0, 1], pooled)
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            for seed in (1, 2):
                output = tables(*wide_batch(seed))
                output.backward(torch.randn(output.shape, generator=torch.Generator().manual_seed(seed)))
        finally:
            torch.set_num_threads(before)
        states = [s for of_table in tables.get_optimizer_state() for s in of_table.values()]
        outputs.append([output.detach(), *tables.split_embedding_weights(), *states])
    for other in outputs[1:]:
        assert all(map(torch.equal, outputs[0], other))


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("kind", ["sgd", "adagrad", "rowwise_adagrad", "adam"])
def test_compiled_loops_equal_tensor_operations(kind, pooled, monkeypatch):
    found = []
    for compiled in (True, False):
        monkeypatch.setattr(RowTables, "_is_host", property(lambda self, compiled=compiled: compiled))
        tables = make(RowTables, OPTIMIZERS[kind], [(50_000, 16), (70, 16)], [0, 0, 1], pooled, learning_rate=0.05)
        for seed in (1, 2):
            output = tables(*wide_batch(seed))
            output.backward(torch.randn(output.shape, generator=torch.Generator().manual_seed(seed)))
        found.append([output.detach(), *tables.split_embedding_weights()])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("pooled", [True, False])
def test_an_id_of_another_threads_share_that_has_no_row_is_named(pooled):
    tables = make(
        RowTables, OPTIMIZERS["sgd"], [(50_000, 16), (70, 16)], [0, 0, 1], pooled, table_names=["big", "small"]
    )
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for bad, place in ((70, -1), (-1, -1), (50_000, 5)):
            ids, offsets = wide_batch(1)
            ids[place] = bad
            name, last = ("small", 69) if place == -1 else ("big", 49_999)
            with pytest.raises(DataError, match=f"table '{name}': id {bad} is outside its rows 0 to {last}"):
                tables(ids, offsets)
    finally:
        torch.set_num_threads(before)
