"""docs/results.md from the rows that results.py collected."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence

BAR = 0.002

_HEAD = """# Results

Every ranking model on MovieLens-100K, beside the same model in FuxiCTR {fuxictr}. Both sides read the same rows,
cut into the same ids, with embeddings of the same width, the same hidden layers, three epochs of the same batch
size, Adagrad at 0.05 for embeddings and Adam at 0.001 for the rest, and the same initializers (`init_fn:
"nn.init.normal_,std=0.0001"`, for WuKong 0.01, and `dense_init_fn: "nn.init.xavier_normal_"`). AUC and log loss
are those of the test part: mean and standard deviation over seeds. MultiTowerDIN, BST, DIEN and SIM read histories,
from a split by time, which is harder; compare them with their peers, not with the others. A difference stands in bold
where tzx is more than 0.002 below; of two numbers of seeds the second is FuxiCTR's.

| model | AUC | log loss | FuxiCTR: AUC | log loss | difference of AUC | parameters | FuxiCTR: parameters | seeds |
|---|---|---|---|---|---|---|---|---|
"""
_SPEED = """
## Speed

samples/s of training, the median over windows of ten steps of one epoch on {threads} thread(s). tzx reads Parquet and
makes the features meanwhile, in a thread beside the steps; FuxiCTR gets batches that lie ready in memory. The load
average of the machine when the run began stands beside it: well above the number of cores a figure says little.

| model | samples/s | load | FuxiCTR: samples/s | load |
|---|---|---|---|---|
"""
_FOOT = """
## Made by

    python -m tzx.apps.prepare_data movielens
    python benchmarks/results.py train
    python -m venv fuxi && fuxi/bin/pip install fuxictr==2.3.10 torch
    git clone https://github.com/reczoo/FuxiCTR
    python benchmarks/results.py peer --python fuxi/bin/python --checkout FuxiCTR
    python benchmarks/results.py speed --python fuxi/bin/python --checkout FuxiCTR
    python benchmarks/results.py write

{versions}

The rows behind this page are in `benchmarks/results.csv`; with that file in place the commands train only what is
not in it. FuxiCTR's package holds its layers and training step; `benchmarks/fuxictr_peer.py` joins them as its model
zoo does, and takes the layers of AutoInt, BST, GDCN, MaskNet and WuKong from the model zoo in its repository. FuxiCTR
has no RocketLaunching. What differs within a model of one name:

- xDeepFM's CIN has tables of its own here, and reads those of the deep part in FuxiCTR, beside a linear part. They are
  4 wide: with the default of 16, twice the embeddings for as few rows, it overfits (0.782, log loss 0.569, two seeds);
- AutoInt maps what passes by a layer through a matrix, as its paper says, FuxiCTR only where the width changes
  (0.7813 with and 0.7808 without, three seeds);
- MaskNet normalises all embeddings of a row together here, and each by itself in FuxiCTR;
- WuKong combines whole vectors and normalises each by itself, as its paper says; FuxiCTR mixes all numbers of a row;
- BST adds a learned vector for each position to query and elements, where FuxiCTR puts one of 8 numbers beside each.
  Both read the newest 20 elements, pass on all positions, and have no hidden layer wider than an element;
- DIEN reads the newest 20 elements on both sides, without the auxiliary loss, which FuxiCTR's has not. Its attention
  starts as the plain product of interest and query there;
- SIM searches for 10 elements by inner products, without the attention over the newest elements that FuxiCTR has beside
  it. What teaches the search weighs the elements by a softmax and predicts by one layer here; in FuxiCTR the products
  are the weights and an MLP predicts. FuxiCTR's attention maps what it finds and mixes its heads.

FiBiNET stays more than 0.002 behind. FuxiCTR starts its bilinear matrices at a seventh of their size here, as it takes
the number of pairs for a width; started so, tzx reaches 0.7875 (log loss 0.5567, five seeds), 0.0015 behind.
MultiTowerDIN wants more seeds than five, which alone give a difference of -0.0032: the standard error of the one above
is about 0.001. From one set of weights, with the rows in one order, tzx reaches 0.7618 and FuxiCTR 0.7620 (one seed).

## How to read it

The settings were chosen once for both sides, with a look at the test part: read the table as two implementations
under equal settings, not as what either can reach. Three are not tzx's defaults, and matter on data this small:

- **Start of the layers** (`dense_init_fn`): an MLP reaches 0.786 to 0.787 when it starts as here, and 0.780 to 0.782
  when it starts as PyTorch's layers do, on both sides alike (three seeds).
- **Start of the embeddings** (`init_fn`): the default is uniform within 1/sqrt(rows). WuKong, whose norms blow up what
  is small, reaches 0.765 when embeddings start at 0.0001, 0.780 at 0.01 and 0.781 with the default (one seed).
- **Order of rows** (`shuffle_buffer_size`): here it holds the whole epoch; blocks of 32 batches cost DLRM 0.002 to
  0.003 (three seeds).
"""


def page(rows: Sequence[dict], names: Sequence[str]) -> str:
    """The document.

    Args:
        rows: what was collected; of a model only rows of its newest config count.
        names: models in the order in which they are listed.
    """
    quality, speed = (_by_model([r for r in rows if r["kind"] == kind]) for kind in ("auc", "speed"))
    peers = [r for found in quality.values() for r in found.get("fuxictr", [])]
    head = _HEAD.format(fuxictr=peers[0]["fuxictr"] if peers else "")
    lines = [_quality(name, quality[name]) for name in names if quality.get(name, {}).get("tzx")]
    text = head + "\n".join(lines) + "\n"
    measured = [name for name in names if speed.get(name, {}).get("tzx")]
    if measured:
        threads = speed[measured[0]]["tzx"][0]["threads"]
        text += _SPEED.format(threads=threads) + "\n".join(_speed(name, speed[name]) for name in measured) + "\n"
    return text + _FOOT.format(versions=_versions([r for f in quality.values() for r in f.get("tzx", [])], peers))


def _by_model(rows: Sequence[dict]) -> dict[str, dict[str, list[dict]]]:
    """Rows by model and suite, without those of older configs and without repeats of a seed."""
    newest = {row["model"]: row["config"] for row in rows if row["suite"] == "tzx"}
    found: dict[str, dict[str, dict[int, dict]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if row["config"] == newest.get(row["model"]):
            found[row["model"]][row["suite"]][row["seed"]] = row
    return {model: {suite: list(r.values()) for suite, r in suites.items()} for model, suites in found.items()}


def _quality(name: str, found: Mapping[str, list[dict]]) -> str:
    ours, theirs = found["tzx"], found.get("fuxictr", [])
    gap = _mean(ours, "auc") - _mean(theirs, "auc") if theirs else None
    shown = "" if gap is None else f"**{gap:+.4f}**" if gap < -BAR else f"{gap:+.4f}"
    seeds = str(len(ours)) + (f", {len(theirs)}" if theirs and len(theirs) != len(ours) else "")
    cells = [name, _spread(ours, "auc"), _spread(ours, "log_loss"), _spread(theirs, "auc"), _spread(theirs, "log_loss")]
    return _line([*cells, shown, _count(ours), _count(theirs), seeds])


def _speed(name: str, found: Mapping[str, list[dict]]) -> str:
    cells = [name]
    for suite in ("tzx", "fuxictr"):
        best = max(found.get(suite, []), key=lambda r: r["samples_per_second"], default=None)
        cells += [f"{best['samples_per_second']:,.0f}", str(best["load_average"])] if best else ["", ""]
    return _line(cells)


def _mean(rows: Sequence[dict], key: str) -> float:
    return statistics.mean(row[key] for row in rows)


def _spread(rows: Sequence[dict], key: str) -> str:
    if not rows:
        return ""
    deviation = f" \u00b1 {statistics.stdev(row[key] for row in rows):.4f}" if len(rows) > 1 else ""
    return f"{_mean(rows, key):.4f}{deviation}"


def _count(rows: Sequence[dict]) -> str:
    return f"{rows[0]['parameters']:,}" if rows else ""


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _versions(ours: Sequence[dict], theirs: Sequence[dict]) -> str:
    if not ours:
        return ""
    facts = ours[-1]
    packages = ("python", "torch", "torchrec", "fbgemm-gpu-cpu", "tzx")
    listed = ", ".join(f"{name} {facts[name]}" for name in packages if name in facts)
    days = sorted(row["date"][:10] for row in (*ours, *theirs))
    peer = f"; FuxiCTR {theirs[-1]['fuxictr']} on torch {theirs[-1]['torch']}" if theirs else ""
    span = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    return f"{span}, {facts['cpu']}, {facts['cores']} cores: {listed}{peer}."
