"""What each component turns its flags into, and how it answers when they are wrong."""

from dataclasses import asdict
from pathlib import Path
from pprint import pformat
from typing import Any

import pytest
from torchx import specs
from torchx.specs.builders import materialize_appdef
from torchx.specs.finder import get_components

from tzx import components
from tzx.launch.stages import Stage, parse_stage

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "examples" / "deepfm_movielens.config")
NAMES = ("train", "eval", "export", "predict", "generate_features", "pipeline", "tensorboard")


def build(name: str, *words: str) -> specs.AppDef:
    """As `torchx run` does it: flags are text."""
    return materialize_appdef(getattr(components, name), list(words))


def role(name: str, *words: str) -> specs.Role:
    return build(name, *words).roles[0]


def test_all_are_found_under_their_names_beside_those_of_torchx() -> None:
    found = get_components()
    assert {f"tzx.components.{name}" for name in NAMES} == {name for name in found if name.startswith("tzx.")}
    assert {"dist.ddp", "utils.echo", "utils.sh"} <= set(found)


@pytest.mark.parametrize("name", NAMES)
def test_every_flag_is_documented(name: str) -> None:
    from torchx.specs.file_linter import get_fn_docstring

    description, flags = get_fn_docstring(getattr(components, name))
    assert description and "TIP" not in description
    assert [flag for flag, text in flags.items() if not text.strip()] == []


def test_one_process_runs_the_app_itself() -> None:
    app = build("train", "--config", CONFIG, "--model_dir", "m", "--continue_train", "True")
    assert app.name == "train-deepfm-movielens"
    found = app.roles[0]
    assert (found.name, found.entrypoint, found.num_replicas, found.min_replicas) == ("trainer", "python", 1, None)
    assert found.args == ["-m", "tzx.apps.train", "--config", CONFIG, "--model_dir", "m", "--continue_train"]
    assert "OMP_NUM_THREADS" not in found.env


def test_a_plan_is_handed_on() -> None:
    found = role("train", "--config", CONFIG, "--plan", "runs/a/model.ckpt-9/plan")
    assert found.args[-2:] == ["--plan", "runs/a/model.ckpt-9/plan"]


def test_several_processes_go_through_torchrun() -> None:
    found = role("train", "--config", CONFIG, "-j", "1:4x2", "--max_restarts", "3", "--max_retries", "2", "--cpu", "8")
    assert found.args[:9] == [
        *["-m", "tzx.apps.torchrun", "--nnodes", "1:4", "--nproc_per_node", "2", "--max_restarts", "3"],
        "-m",
    ]
    assert found.args[9] == "tzx.apps.train"
    assert (found.num_replicas, found.min_replicas, found.max_retries) == (4, 1, 2)
    assert found.env["OMP_NUM_THREADS"] == "4" and found.env["TZX_RANK0_ENV"] == "${rank0_env}"


def test_restarts_need_torchrun_even_for_one_process() -> None:
    assert "tzx.apps.torchrun" in role("train", "--config", CONFIG, "--max_restarts", "1").args


def test_set_and_pass_through() -> None:
    sets = "train_config.num_epochs=2,data_config.batch_size=512"
    found = role(
        "train", "--config", CONFIG, "--set", sets, "--debug", "True", "--", "--seed", "7", "--set=model_dir=x,y"
    )
    assert found.args[4:] == [
        *["--set", "train_config.num_epochs=2", "--set", "data_config.batch_size=512"],
        *["--debug", "--seed", "7", "--set=model_dir=x,y"],
    ]
    assert found.env["TORCH_DISTRIBUTED_DEBUG"] == "DETAIL"


def test_env_wins_and_secrets_do_not_show() -> None:
    found = role("train", "--config", CONFIG, "--cpu", "4", "--env", "OMP_NUM_THREADS=1,OSS_ACCESS_KEY_SECRET=hunter2")
    assert found.env["OMP_NUM_THREADS"] == "1"
    assert found.env["OSS_ACCESS_KEY_SECRET"] == "hunter2"
    assert "hunter2" not in repr(found) and "hunter2" not in repr(found.env)


@pytest.mark.parametrize(
    "words",
    [
        ("--train_input_path", "oss://me:hunter2@bucket/train"),
        ("--set", "data_config.odps_data_quota_name=access_key_secret=hunter2"),
        ("--edit_config_json", '{"model_dir": "oss://me:hunter2@bucket/m"}'),
        ("--env", "URL=redis://me:hunter2@host"),
        ("--", "--token=hunter2"),
    ],
)
@pytest.mark.parametrize("name", ["train", "pipeline"])
def test_passwords_in_arguments_do_not_show(name: str, words: tuple[str, ...]) -> None:
    needed = ["--config", CONFIG, *(["--export_dir", "b"] if name == "pipeline" else [])]
    app = build(name, *needed, *words)
    shown = pformat(asdict(app), width=80)  # as `torchx run --dryrun` prints it
    assert "hunter2" not in shown and "***" in shown
    assert any("hunter2" in str.__str__(text) for text in (*app.roles[0].args, *app.roles[0].env.values()))


def test_user_module(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("1 / 0  # nobody runs it here")
    flags = ["--config", CONFIG, "--user_module", str(mine)]
    assert role("train", *flags).args[-2:] == ["--user_module", str(mine)]
    stages = [word for word in role("pipeline", *flags, "--export_dir", "b").args if word.startswith(("train", "eval"))]
    assert len(stages) == 2 and all(f"--user_module {mine}" in stage for stage in stages)
    assert role("eval", "--config", CONFIG, "--user_module", "my.package").args[-1] == "my.package"
    assert (
        role("eval", "--config", CONFIG, "--user_module", "/in/image.py", "--image", "a:1").args[-1] == "/in/image.py"
    )


def test_mounts_image_and_name() -> None:
    found = build(
        "train",
        "--config",
        "/in/image.config",
        "--image",
        "repo/tzx:1",
        "--name",
        "My Job",
        "--mounts",
        "type=bind,src=/a,dst=/b",
    )
    assert found.name == "my-job" and found.roles[0].image == "repo/tzx:1"
    assert found.roles[0].mounts == [specs.BindMount(src_path="/a", dst_path="/b", read_only=False)]


def test_eval_export_and_predict() -> None:
    assert role("eval", "--config", CONFIG, "--checkpoint_path", "m", "-j", "1x2").args[6:] == [
        *["--max_restarts", "0", "-m", "tzx.apps.eval", "--config", CONFIG, "--checkpoint_path", "m"]
    ]
    assert role("export", "--config", CONFIG, "--export_dir", "b").args == [
        *["-m", "tzx.apps.export", "--config", CONFIG, "--export_dir", "b"]
    ]
    words = [
        "--predict_input_path",
        "a",
        "--predict_output_path",
        "b",
        "--batch_size",
        "64",
        "--reserved_columns",
        "x,y",
    ]
    app = build("predict", "--bundle", "out/my_bundle", *words)
    assert app.name == "predict-my-bundle"
    assert app.roles[0].args == [
        "-m",
        "tzx.apps.predict",
        "--bundle",
        "out/my_bundle",
        *words[:4],
        *words[6:],
        *words[4:6],
    ]
    assert role("predict", "--scripted_model_path", "x", *words).args[2:4] == ["--bundle", "x"]


def refused(capsys: pytest.CaptureFixture[str], *words: str, name: str = "train") -> str:
    with pytest.raises(SystemExit) as exit_:
        build(name, *words)
    assert exit_.value.code == 2
    return capsys.readouterr().err


def test_a_missing_config_is_found_before_anything_is_submitted(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "--config", "no.config") == "error: --config no.config: no such file\n"
    assert "is a directory" in refused(capsys, "--config", str(ROOT))
    text = refused(capsys, "--config", CONFIG, "--user_module", "no.py")
    assert text == "error: --user_module no.py: there is no such file\n"


def test_a_bad_config_is_one_screen(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = Path(CONFIG).read_text()
    bad = tmp_path / "bad.config"
    bad.write_text(text.replace("batch_size", "batch_sise", 1))
    err = refused(capsys, "--config", str(bad))
    assert "batch_sise" in err and "batch_size" in err and "Traceback" not in err and f"{bad}:" in err
    assert "num_stepz" in refused(capsys, "--config", CONFIG, "--set", "train_config.num_stepz=1")


def test_overrides_and_paths_count_when_the_config_is_checked(tmp_path: Path) -> None:
    import re

    text = re.sub(r"(?m)^train_input_path:.*$", "", Path(CONFIG).read_text())
    config = tmp_path / "x.config"
    config.write_text(text)
    assert role("train", "--config", str(config), "--train_input_path", "a.parquet").args[4:6] == [
        *["--train_input_path", "a.parquet"]
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["--config", "/only/in/the/image.config", "--image", "repo/tzx:1"],
        ["--config", "/mnt/x.config", "--mounts", "type=bind,src=/a,dst=/mnt"],
        ["--config", "oss://bucket/x.config"],
        ["--config", "${img_root}/x.config"],
    ],
)
def test_a_config_that_cannot_be_seen_from_here_is_left_to_the_job(words: list[str]) -> None:
    assert role("train", *words).args[3] == words[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-j", "2y2"], "error: -j 2y2: expected NODESxPROCESSES"),
        (["-h", "gpu.smal"], "Did you mean `gpu.small`"),
        (["--mounts", "src=/a"], "--mounts src=/a: type must be specified first"),
        (["stray"], "unexpected 'stray': values are given as --name value"),
        (["--gpu", "1", "-j", "1x2"], "2 processes on a node with 1 GPUs"),
    ],
)
def test_wrong_flags(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert message in refused(capsys, "--config", CONFIG, *words)


def test_a_component_called_from_python() -> None:
    app: Any = components.train("--seed", "3", config=CONFIG, j="2x1", env={"A": "b"})
    assert app.roles[0].num_replicas == 2 and app.roles[0].args[-2:] == ["--seed", "3"]


def test_features_are_made_by_as_many_processes_as_asked_for() -> None:
    words = ["--config", CONFIG, "--output_path", "out", "--no_labels", "True"]
    found = role("generate_features", *words, "-j", "2x2")
    own = found.args[found.args.index("tzx.apps.generate_features") :]
    assert found.num_replicas == 2 and found.name == "generator"
    assert own[1:] == [*words[:4], "--form", "none", "--writer_type", "parquet", "--no_labels"]


SCORED = ("--predict_input_path", "a b", "--predict_output_path", "out")


def stages(found: specs.Role) -> list[Stage]:
    words = found.args[2:]
    return [parse_stage(text) for flag, text in zip(words[::2], words[1::2], strict=True) if flag == "--stage"]


def test_a_pipeline_is_the_apps_one_after_the_other() -> None:
    words = ["--config", CONFIG, "--model_dir", "m", "--export_dir", "b/", *SCORED, "-j", "2x2", "--max_retries", "3"]
    found = role("pipeline", *words, "--set", "train_config.num_epochs=2", "--", "--seed", "7")
    assert found.args[:2] == ["-m", "tzx.apps.pipeline"] and found.args[-2:] == ["--record", "b.stages.json"]
    assert (found.num_replicas, found.max_retries) == (2, 3)
    parts = stages(found)
    assert [(one.name, one.first_only) for one in parts] == [
        *[("train", False), ("eval", False), ("export", True), ("predict", False)]
    ]
    own = {
        one.name: list(one.argv[one.argv.index("-m", 1) :] if "tzx.apps.torchrun" in one.argv else one.argv)
        for one in parts
    }
    alone = {
        "train": role(
            "train", "--config", CONFIG, "--model_dir", "m", "--set", "train_config.num_epochs=2", "--", "--seed", "7"
        ),
        "eval": role("eval", "--config", CONFIG, "--model_dir", "m", "--set", "train_config.num_epochs=2"),
        "predict": role("predict", "--bundle", "b/", *SCORED),
    }
    assert {name: sorted(one.args) for name, one in alone.items()} == {name: sorted(own[name]) for name in alone}
    assert own["export"][:2] == ["-m", "tzx.apps.export"] and parts[0].argv[:4] == (
        "-m",
        "tzx.apps.torchrun",
        "--nnodes",
        "2",
    )


def test_stages_of_a_pipeline_are_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--config", CONFIG, "--export_dir", "b"]
    assert [one.name for one in stages(role("pipeline", *words))] == ["train", "eval", "export"]
    assert [one.name for one in stages(role("pipeline", *words, "--stages", "export,train"))] == ["train", "export"]
    for more, message in [
        (["--stages", "train,serve"], "serve is none of train, eval, export, predict"),
        (["--predict_input_path", "a"], "--predict_output_path is missing"),
        (["--stages", "predict"], "needs --predict_input_path and --predict_output_path"),
        (["-j", "1:2x2"], "fixed"),
    ]:
        assert message in refused(capsys, *words, *more, name="pipeline")


def test_tensorboard() -> None:
    found = role("tensorboard", "--logdir", "runs", "--port", "7000", "--", "--reload_interval", "5")
    assert found.args == [
        *["-m", "tensorboard.main", "--logdir", "runs", "--port", "7000", "--host", "localhost"],
        *["--reload_interval", "5"],
    ]
    assert found.port_map == {"http": 7000} and (found.resource.cpu, found.resource.memMB) == (1, 2048)
