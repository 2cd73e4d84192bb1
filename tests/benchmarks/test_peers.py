"""Races between libraries: the protocol of turns, the table of results, and the rows that all of them read."""

import json
import logging
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

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


def _row(**seconds: tuple[float, ...]) -> dict:
    """A race in which the AUC of a library is a hundredth of its first, untimed window."""
    results = {
        library.replace("_step", ", step only"): {
            "seconds": found, "cpu": found, "first_step": 2.0,
            "peak_mib": 100.0, "auc": found[0] / 100, "log_loss": 0.5,
        }
        for library, found in seconds.items()
    }  # fmt: skip
    return {"case": "deepfm", "batch": 1000, "window": 10, "results": results}


def test_the_table_has_the_median_of_paired_windows():
    from peer_table import table, times_faster

    rows = [_row(tzx=(70, 1, 2), fuxictr=(80, 3, 10)), _row(tzx=(72, 1), fuxictr=(80, 7))]
    assert times_faster(rows, "fuxictr") == 5  # of 3, 5 and 7: the first windows do not count
    ours, theirs = table(rows).splitlines()[2:]
    assert "| 10,000 |" in ours and "0.7100 ± 0.0141" in ours
    assert "| 5.00 x |  |" in theirs and "0.8000 ± 0.0000" in theirs


def test_steps_on_batches_in_memory_are_compared_with_such_steps():
    from peer_table import table, times_faster

    rows = [_row(tzx=(9, 4), tzx_step=(9, 2), fuxictr_step=(9, 3), torchrec_step=(9, 1), fuxictr=(9, 8))]
    assert times_faster(rows, "fuxictr, step only") == 1.5 and times_faster(rows, "torchrec, step only") == 0.5
    head, rule, *lines = table(rows).splitlines()
    assert head.count("|") == rule.count("|") == lines[0].count("|")
    assert [line.split("|")[2].strip() for line in lines] == [
        "tzx", "fuxictr", "tzx, step only", "fuxictr, step only", "torchrec, step only",
    ]  # fmt: skip
    column = [name.strip() for name in head.split("|")].index("tzx's step is faster")
    assert [line.split("|")[column].strip() for line in lines] == ["", "", "", "1.50 x", "0.50 x"]


def test_a_loader_stops_while_others_have_their_turn():
    from tzx_turns import Listener, gated

    class Turns:
        def window(self) -> None:
            waits.append(gate.is_set())

    gate, waits = threading.Event(), list[bool]()
    listener = Listener(Turns(), gate)
    for message in ("train  epoch 0  step 10  loss 0.5  1,000 samples/s", "eval: 1,000 samples/s"):
        listener.emit(logging.LogRecord("tzx", logging.INFO, "", 0, message, None, None))
    assert waits == [False] and gate.is_set()
    made, found = [], queue.SimpleQueue[int]()

    def produce() -> Iterator[int]:
        for number in range(3):
            made.append(number)
            yield number

    gate.clear()
    thread = threading.Thread(target=lambda: [found.put(batch) for batch in gated(produce, gate)()])
    thread.start()
    thread.join(timeout=0.2)
    assert found.empty() and len(made) <= 1
    gate.set()
    thread.join(timeout=30)
    assert [found.get() for _ in range(3)] == [0, 1, 2]


def test_batches_of_all_epochs_are_made_before_the_first_is_given_out():
    from tzx_turns import ready_made

    made = []

    def epoch(loader: SimpleNamespace, number: int = 0) -> Iterator[int]:
        made.append(number)
        yield from range(10 * number, 10 * number + 2)

    loader = SimpleNamespace(_options=SimpleNamespace(mode="train"))
    from_memory = ready_made(epoch, 2)
    first = from_memory(loader, 0, None, give_up=None)
    assert made == [0, 1] and [*first, *from_memory(loader, 1)] == [0, 1, 10, 11] and made == [0, 1]
    assert list(from_memory(SimpleNamespace(_options=SimpleNamespace(mode="eval")))) == [0, 1] and made == [0, 1, 0]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["DeepFM", "DLRM", "DCNV2"])
def test_torchrec_learns(tmp_path: Path, model: str):
    random = np.random.default_rng(1)
    arrays = {}
    for part, rows in (("train", 4096), ("test", 512)):
        label = random.integers(0, 2, rows)
        bags = np.stack([random.integers(0, 4, rows), 4 + label, np.zeros_like(label)], axis=1)  # 0 is no id
        columns = {"a": random.integers(1, 6, (rows, 1)), "bags": bags, "c": random.integers(1, 6, (rows, 1))}
        columns |= {"dense": random.normal(size=(rows, 3)).astype(np.float32), "label": label}
        arrays |= {f"{part}/{name}": column for name, column in columns.items()}
    specs = {name: {"rows": 5, "dim": 8, "steps": False} for name in ("a", "bags", "c")}
    np.savez(tmp_path / "rows.npz", specs=json.dumps(specs), **arrays)
    flags = ["--data", tmp_path / "rows.npz", "--model", model, "--batch", 64, "--window", 20, "--cross_rank", 4]
    command = [sys.executable, BENCHMARKS / "torchrec_peer.py", *flags]  # an interpreter without tzx in it
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout.splitlines()[-1])
    assert figures["auc"] > 0.99 and figures["samples_per_second"] > 0


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


def test_every_library_has_a_script_and_an_environment():
    from peer_cases import CASES
    from peers import PACKAGES, SCRIPTS

    assert {library for case in CASES.values() for library in case.libraries} == set(SCRIPTS)
    assert {environment for environment, *_ in SCRIPTS.values() if environment} == set(PACKAGES)
    for library, (environment, script, *_) in SCRIPTS.items():
        assert (BENCHMARKS / script).is_file() and library.startswith(environment)


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
