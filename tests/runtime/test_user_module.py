"""Importing the user's own code, here and in other processes."""

import pickle
import subprocess
import sys

import pyarrow as pa
import pytest
import warm

from tzx.runtime.config import parse_text
from tzx.runtime.errors import UserError
from tzx.runtime.features import FeatureSet
from tzx.runtime.features.operators.custom import user
from tzx.runtime.user_module import load_user_module

OPERATOR = """
import pyarrow.compute as pc
from tzx.runtime.features import CustomOperator, register_operator

class Twice(CustomOperator):
    def __call__(self, numbers):
        return pc.multiply(numbers, 2)

register_operator("Twice", Twice)
"""
CONFIG = """
train_input_path: "train" eval_input_path: "eval" model_dir: "model"
data_config { dataset_type: ParquetDataset fg_mode: FG_NORMAL }
feature_configs { custom_feature {
  feature_name: "f" operator_name: "Twice" operator_lib_file: "" expression: "user:a" } }
"""


@pytest.fixture(autouse=True)
def _restored(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(user, "_CLASSES", {})
    modules = dict(sys.modules)
    yield
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]


def test_a_file_registers_what_worker_processes_find_too(tmp_path):
    (tmp_path / "own_operators_1.py").write_text(OPERATOR)
    load_user_module(str(tmp_path / "own_operators_1.py"))
    config = parse_text(CONFIG, "x.config")
    features = FeatureSet.from_config(config.feature_configs, config.data_config)
    assert features.generate(pa.record_batch({"a": [3]}))["f"].values.tolist() == [[6]]
    (tmp_path / "features").write_bytes(pickle.dumps(features))
    code = (
        "import pickle, sys; sys.path[:] = sys.argv[2:]; import pyarrow as pa; "
        "print(pickle.load(open(sys.argv[1], 'rb')).generate(pa.record_batch({'a': [4]}))['f'].values.tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "features"), *sys.path], capture_output=True, text=True
    )
    assert done.stdout == "[[8.0]]\n", done.stderr


def test_a_module_of_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "operators.py").write_text(OPERATOR)
    monkeypatch.chdir(tmp_path)
    assert load_user_module("own_package.operators").Twice is user.registered("Twice")


def test_it_runs_once(tmp_path):
    file = tmp_path / "own_operators_2.py"
    file.write_text("runs = []\nruns.append(1)")
    assert load_user_module(str(file)) is load_user_module(str(file))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("nowhere.py", None, "nowhere.py: there is no such file"),
        ("no_such_module", None, "--user_module no_such_module: there is no module 'no_such_module'"),
        ("own_operators_3.py", "import no_such_package", "there is no module 'no_such_package'"),
        ("own_operators_4.py", "x = (", "own_operators_4.py: SyntaxError: "),
        ("own_operators_5.py", "1 / 0", "own_operators_5.py: ZeroDivisionError: "),
        ("json.py", "x = 1", "has the name 'json' already; rename your file"),
    ],
)
def test_errors(tmp_path, monkeypatch, name, content, problem):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as caught:
        load_user_module(name)
    assert problem in str(caught.value)


def test_apps_take_the_flag_and_load_before_the_config(tmp_path):
    (tmp_path / "own_operators_6.py").write_text("print('here')")
    (tmp_path / "x.config").write_text("nonsense")
    flags = ["--config", str(tmp_path / "x.config"), "--user_module"]
    for module, shown, problem in (("own_operators_6.py", "here\n", "nonsense"), ("none.py", "", "no such file")):
        done = warm.run(["-m", "tzx.apps.eval", *flags, tmp_path / module])
        assert (done.returncode, done.stdout) == (2, shown), done.stderr
        assert problem in done.stderr and "Traceback" not in done.stderr
