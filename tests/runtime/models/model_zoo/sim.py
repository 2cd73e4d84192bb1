"""SIM outside training, where the search predicts nothing."""

import numpy as np

from model_zoo.bst import REST, head
from model_zoo.configs import BCE, SEQ, TRIPS, TWO
from model_zoo.oracle import softmax

HARD = 'search: "hard" category: "city" category_sequence: "towns"'
TEXTS = {
    "sim": f"""{TWO} {SEQ} sim {{ {REST} sim_towers {{ input: "seq" top_k: 2 search_dim: 3 num_heads: 2
        head_dim: 3 }} }} {BCE}""",
    "sim_hard": f'{TWO} {TRIPS} sim {{ {REST} sim_towers {{ input: "trips" {HARD} top_k: 2 num_heads: 1 }} }} {BCE}',
}
BAD = {
    "sim search": (
        f'{TWO} {SEQ} sim {{ {REST} sim_towers {{ input: "seq" search: "sft" }} }} {BCE}',
        "search is 'sft'; allowed: soft and hard; did you mean \"soft\"?",
    ),
    "sim top_k": (
        f'{TWO} {SEQ} sim {{ {REST} sim_towers {{ input: "seq" top_k: 0 }} }} {BCE}',
        "model_config.sim: sim_towers: feature group 'seq': top_k is 0; allowed: 1 or more",
    ),
    "sim category": (
        f'{TWO} {TRIPS} sim {{ {REST} sim_towers {{ input: "trips" search: "hard" category: "town" }} }} {BCE}',
        "hard search: category is 'town', no feature of the query; known: item, city",
    ),
    "sim table": (
        f'{TWO} {TRIPS} sim {{ {REST} sim_towers {{ input: "trips" search: "hard" category: "city" '
        f'category_sequence: "seen" }} }} {BCE}',
        "hard search: city and seen must share an embedding table",
    ),
}


def attend(o, name, q, found, heads):
    if not len(found):
        return np.zeros(heads * found.shape[1])
    queries = np.split(o.p[f"{name}.query.weight"] @ q, heads)
    keys = np.split(found @ o.p[f"{name}.key.weight"].T, heads, axis=1)
    return np.concatenate([softmax(k_h @ q_h) @ found for q_h, k_h in zip(queries, keys, strict=True)])


def sim(o):
    name, out = "sim_towers.0", []
    for q, xs in zip(o.plain("item"), o.sequence(), strict=True):
        scores = (xs @ o.p[f"{name}.search_key.weight"].T) @ (o.p[f"{name}.search_query.weight"] @ q)
        out.append(attend(o, name, q, xs[np.argsort(-scores)[:2]], 2))
    return head(o, np.stack(out))


def sim_hard(o):
    name, out, towns = "sim_towers.0", [], o.arrays["towns"]
    ends = np.cumsum(towns.seq_lengths)
    rows = zip(o.plain("item", "city"), o.arrays["city"].values, o.sequence("towns"), ends, strict=True)
    for q, city, xs, end in rows:
        same = towns.values[end - len(xs) : end] == city
        out.append(attend(o, name, q, xs[same][:2], 1))
    return head(o, np.stack(out))


FORMULAS = [sim, sim_hard]
