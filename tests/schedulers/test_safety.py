"""No string of a user's becomes a command, and no secret of a user's is shown, on any backend."""

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import DOLLARS, SECRETS, corpus, has_control
from safety import BACKENDS, Backend
from torchx.specs import VolumeMount

from tzx_schedulers._words import SchedulerError

DUMP = "import json,os,sys; json.dump([sys.argv[2:], dict(os.environ)], open(sys.argv[1], 'w'))"


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, home: Path) -> Backend:
    """Each backend, on its stand-in."""
    made: Backend = importlib.import_module(f"safety.{request.param}").make(request)
    return made


def possible(word: str) -> bool:
    """Whether a process can be given this word."""
    return "\0" not in word and not any("\ud800" <= char <= "\udfff" for char in word)


def escaped(word: str) -> str:
    """As it has to be written in an AppDef, where TorchX gives the dollar sign a meaning."""
    return word.replace("$", "$$")


def test_the_corpus_is_large(home: Path) -> None:
    words = corpus(home / "canary")
    assert len(set(words)) >= 200 and len(SECRETS) >= 20 and len(set(SECRETS.values())) == len(SECRETS)


def test_arguments_and_variables_arrive_as_they_are(backend: Backend, home: Path) -> None:
    canary, out = home / "canary", home / "seen.json"
    everything = [word for word in [*corpus(canary), *DOLLARS] if possible(word) and len(word) <= backend.longest]
    for start in range(0, len(everything), backend.at_once):
        words = everything[start : start + backend.at_once]
        env = {f"V{i}": escaped(word) for i, word in enumerate(words) if len(word) < 50_000}
        args = ["-S", "-c", DUMP, str(out), *map(escaped, words)]
        outcome = backend.run(backend.app(sys.executable, args, env=env), backend.options)
        assert outcome.state == "SUCCEEDED", outcome.logs
        seen, environment = json.loads(out.read_text())
        assert seen == words
        given = {name: words[int(name[1:])] for name in env}
        assert {name: environment.get(name) for name in env} == given
    assert not canary.exists()


def test_what_no_process_can_be_given_is_refused(backend: Backend) -> None:
    for app in (backend.app("true", ["a\0b"]), backend.app("true", [], env={"A": "a\0b"})):
        with pytest.raises((SchedulerError, ValueError), match=r"NUL|U\+0000|null"):
            backend.run(app, backend.options)


def option_values(backend: Backend, words: list[str]) -> Iterator[tuple[str, str, Any]]:
    """Every option that takes text, with every word in every place that it has."""
    for name, option in backend.scheduler.run_opts()._opts.items():
        kind = str(option.opt_type)
        for word in words:
            if option.opt_type is str:
                yield name, word, word
            elif "List" in kind or "list" in kind:
                yield name, word, [word]
            elif "Dict" in kind or "dict" in kind:
                yield from ((name, word, {word: "x"}), (name, word, {"x": word}))


def test_options_arrive_as_they_are_or_are_refused(backend: Backend, home: Path) -> None:
    canary = home / "canary"
    app = backend.app("true", [])
    arrived = refused = 0
    for name, word, value in option_values(backend, corpus(canary)):
        try:
            made = backend.plan(app, **{name: value})
            if arrived % 16 == 0:
                str(made)
        except SchedulerError as error:
            assert len(str(error).splitlines()) == 1 and str(error).isascii() and name in str(error), (name, word)
            refused += 1
            continue
        arrived += 1
        assert word == "" or not has_control(word), (name, word)
        for one in backend.words(made.request):
            if str(canary) in one:  # a folder of the user's becomes part of paths, everything else stays as it is
                assert one == word or one.endswith(f"={word}") or (name in ("log_dir", "job_dir") and word in one)
    assert refused + arrived > 150 and not canary.exists()


def test_names_images_and_mounts_stay_words(backend: Backend, home: Path) -> None:
    canary = home / "canary"
    for number, word in enumerate(corpus(canary)[::3]):
        app = backend.app("true", [], mounts=[VolumeMount(word or "x", word or "/y")])
        for one in (app, backend.app("true", [])):
            one.name = one.roles[0].name = word
            one.roles[0].image = word or backend.image
            try:
                backend.plan(one)
                if number % 16 == 0:
                    backend.run(one, backend.options)
            except (SchedulerError, ValueError):
                continue
    assert not canary.exists()


def test_secrets_are_nowhere_but_where_they_belong(
    backend: Backend, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = home / "seen.json"
    env = dict(SECRETS)
    if backend.secrets_from_files:
        with pytest.raises(SchedulerError, match="others can read it"):
            backend.plan(backend.app("true", [], env=env))
        for name, value in SECRETS.items():
            (home / name).write_text(value)
            env[name] = f"secret://{home / name}"
    app = backend.app(sys.executable, ["-S", "-c", DUMP, str(out)], env=env)
    shown = str(backend.plan(app)) + repr(backend.plan(app).request)
    outcome = backend.run(app, backend.options)
    environment = json.loads(out.read_text())[1]
    assert {name: environment[name] for name in SECRETS} == SECRETS
    printed = "".join(capfd.readouterr())
    for name, value in SECRETS.items():
        for what, text in {"dry run": shown, "sent": outcome.sent, "log": outcome.logs, "printed": printed}.items():
            assert value not in text, f"{name} stands in: {what}"


@pytest.mark.parametrize("argument", ["oss://me:{}@bucket/path", "--set=access_key_secret={}", '{{"token": "{}"}}'])
def test_secrets_in_arguments_are_not_shown(backend: Backend, argument: str) -> None:
    value = next(iter(SECRETS.values()))
    app = backend.app("true", [argument.format(value)])
    if backend.refuses_secrets_in_arguments:
        with pytest.raises(SchedulerError, match="password or key") as error:
            backend.plan(app)
        assert value not in str(error.value)
    else:
        assert value not in str(backend.plan(app))


def test_nobody_traces_a_script() -> None:
    folder = Path(importlib.import_module("tzx_schedulers").__file__ or "").parent
    for file in folder.iterdir():
        if file.suffix in (".py", ".sh"):
            assert "set -x" not in file.read_text() and "shell=True" not in file.read_text(), file
    assert os.path.isdir(folder)


@pytest.mark.parametrize("name", ["local", "slurm"])
def test_a_reference_to_a_secret_is_taken_from_the_own_environment(
    request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    found: Backend = importlib.import_module(f"safety.{name}").make(request)
    out = home / "seen.json"
    app = found.app(sys.executable, ["-S", "-c", DUMP, str(out)], env={"MY_KEY": "secret://oss/key"})
    with pytest.raises(SchedulerError, match="here set 'MY_KEY' in your own environment"):
        found.plan(app)
    monkeypatch.setenv("MY_KEY", "hunter2")
    assert "hunter2" not in str(found.plan(app)) + found.run(app, found.options).sent
    assert json.loads(out.read_text())[1]["MY_KEY"] == "hunter2"
