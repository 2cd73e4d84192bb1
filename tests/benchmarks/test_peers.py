"""Races between libraries: the protocol of turns, the table of results, and the rows that all of them read."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RACER = f"""
import sys
sys.path.insert(0, {str(BENCHMARKS)!r})
from turns import Turns
turns = Turns(window=2, waiting=True)
print("a library says hello")
for _ in range(5):
    turns.step()
    print(sys.argv[1], file=sys.stderr, flush=True)
print('{{"auc": 0.75, "log_loss": 0.5}}')
sys.exit(int(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def _commands(**codes: int) -> dict[str, list[str]]:
    return {name: [sys.executable, "-c", RACER, name, str(code)] for name, code in codes.items()}


def test_racers_take_turns(tmp_path: Path):
    from peers import race

    racers = race(_commands(a=0, b=0), {"a": {}, "b": {}}, tmp_path)
    for name, racer in racers.items():
        result = racer.result()
        assert len(result["seconds"]) == 2 and result["auc"] == 0.75 and result["peak_mib"] > 1
        assert 0 < result["first_step"] < 60
        assert (tmp_path / f"{name}.log").read_text() == f"{name}\n" * 5


def test_a_racer_waits_for_its_turn(tmp_path: Path):
    from peers import Racer

    racer = Racer(_commands(a=0)["a"], {}, tmp_path / "log")
    assert racer.running and (tmp_path / "log").read_text() == "a\n"
    racer.go()
    assert racer.running and len(racer.windows) == 2
    racer.go()
    assert not racer.running


def test_a_racer_that_fails_shows_its_log(tmp_path: Path):
    from peers import race

    with pytest.raises(SystemExit, match=r"(?s)-c.*broken\nbroken"):
        race(_commands(broken=3), {"broken": {}}, tmp_path)


def test_the_table_has_the_median_of_paired_windows():
    from peer_table import table, times_faster

    def result(*seconds: float, auc: float) -> dict:
        return {
            "seconds": seconds, "cpu": seconds, "first_step": 2.0, "peak_mib": 100.0, "auc": auc, "log_loss": 0.5,
        }  # fmt: skip

    rows = [
        {
            "case": "deepfm", "batch": 1000, "window": 10,
            "results": {"tzx": result(9, 1, 2, auc=0.7), "fuxictr": result(1, 3, 10, auc=0.8)},
        },
        {
            "case": "deepfm", "batch": 1000, "window": 10,
            "results": {"tzx": result(9, 1, auc=0.72), "fuxictr": result(1, 7, auc=0.8)},
        },
    ]  # fmt: skip
    assert times_faster(rows, "fuxictr") == 5  # of 3, 5 and 7: the first windows do not count
    ours, theirs = table(rows).splitlines()[2:]
    assert "| 10,000 |" in ours and "0.7100 ± 0.0141" in ours
    assert "| 5.00 x |" in theirs and "0.8000 ± 0.0000" in theirs


def test_ids_of_smaller_and_of_larger_tables(tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq
    from rows import smaller_tables, spread_ids

    for part in ("train", "test"):
        (tmp_path / "rows" / part).mkdir(parents=True)
        pq.write_table(pa.table({"cat_0": [3, 13], "int_0": [1.5, 13.0]}), tmp_path / "rows" / part / "a.parquet")
    out = smaller_tables(tmp_path / "rows", 10)
    assert pq.read_table(out / "test" / "a.parquet").to_pydict() == {"cat_0": [3, 3], "int_0": [1.5, 13.0]}
    spread = pq.read_table(spread_ids(tmp_path / "rows", "cat_0", 10**9) / "train" / "a.parquet").to_pydict()
    assert max(spread["cat_0"]) > 10**6 and spread["int_0"] == [1.5, 13.0]


@pytest.mark.slow
def test_every_case_is_a_config_and_its_rows_are_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    from alike import export_rows
    from peer_cases import CASES

    config = CASES["dlrm"].config(500)
    content = np.load(export_rows(config, tmp_path / "rows.npz"))
    assert content["train/dense"].shape == (500, 13) and content["test/label"].shape == (50,)
    specs = json.loads(str(content["specs"]))
    assert len(specs) == 26
    for name, spec in specs.items():
        ids = content[f"train/{name}"]
        assert ids.shape == (500, 1) and ids.min() >= 1 and ids.max() <= spec["rows"]
    for name, case in CASES.items():
        if case.is_criteo:
            model = case.config(500).model_config
            assert model.WhichOneof("model") and model.dense_init_fn, name
