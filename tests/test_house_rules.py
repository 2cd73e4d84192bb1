"""The rules of CONTRIBUTING.md that a machine can check."""

import ast
import importlib.metadata
import importlib.util
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ("tzx", "schedulers", "scripts", "benchmarks", "tests")


def tracked() -> list[Path]:
    """Files under version control that are there."""
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def python_files(*folders: str) -> list[Path]:
    """Tracked Python files that people write."""
    files = [file for file in tracked() if file.suffix == ".py" and not file.name.endswith("_pb2.py")]
    return [file for file in files if file.relative_to(ROOT).parts[0] in (folders or SOURCE)]


def command(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=600)


def tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def freeze_cli() -> ModuleType:
    spec = importlib.util.spec_from_file_location("freeze_cli", ROOT / "scripts" / "freeze_cli.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


APPS = freeze_cli().app_names()

# ---- imports


@pytest.mark.slow
def test_import_floors_and_bans() -> None:
    done = command(tool("lint-imports"), "--no-cache")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "module", ["tzx", "tzx.components", "tzx.apps.command", "tzx.runtime.config", "tzx_schedulers.local"]
)
def test_light_modules_bring_no_torch_and_load_quickly(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{'torch', 'torchrec', 'numba', 'pyarrow'}} & set(sys.modules)))"
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = command(sys.executable, "-c", code)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr
    # CPU time, because the suite may run on a busy machine.
    assert min(seconds) < 0.5, seconds


@pytest.mark.parametrize("app", APPS)
def test_the_help_of_an_app_needs_no_torch(app: str) -> None:
    code = (
        f"import runpy, sys; sys.argv = ['{app}', '--help']\n"
        f"try: runpy.run_module('tzx.apps.{app}', run_name='__main__')\n"
        f"except SystemExit as end: print('code', end.code, 'torch' in sys.modules)"
    )
    done = command(sys.executable, "-c", code)
    assert done.stdout.splitlines()[-1] == "code 0 False", done.stderr


def test_every_imported_package_is_declared() -> None:
    provided = importlib.metadata.packages_distributions()
    requires = importlib.metadata.requires("tzx") or []
    # What only an extra brings is imported where it is needed, with an error that names the extra.
    users = [text for text in requires if not re.search(r"extra == .dev", text)]
    declared = {_canonical(re.split(r"[\s<>=!;\[(~]", text)[0]) for text in users}
    missing = set()
    for file in python_files("tzx", "schedulers"):
        for name in _imported(file):
            if name in sys.stdlib_module_names or name in ("tzx", "tzx_schedulers"):
                continue
            owners = {_canonical(owner) for owner in provided.get(name, [name])}
            if not owners & declared and name != "fbgemm_gpu":  # torchrec brings it, in a build for CPU or for GPU
                missing.add(f"{file.relative_to(ROOT)}: {name}")
    assert not missing


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


# ---- the command line


def test_the_command_line_is_what_it_was() -> None:
    kept = (ROOT / "tests" / "components" / "surface.txt").read_text()
    now = freeze_cli().surface()
    assert now == kept, (
        "flags changed; if they should: python scripts/freeze_cli.py --write, and say so in CHANGELOG.md"
    )


# Components whose flags are those of other apps, or of no app of tzx.
OF_OTHERS = ("pipeline", "tensorboard")


def test_what_components_pass_is_what_apps_take() -> None:
    frozen = freeze_cli()
    shared = {
        "args",
        "set",
        "j",
        "cpu",
        "gpu",
        "memMB",
        "h",
        "env",
        "mounts",
        "image",
        "name",
        "max_retries",
        "max_restarts",
    }
    lines = list(frozen.component_lines())
    app, checked = "", 0
    for line in lines:
        if line.startswith("component "):
            app = line.split()[1]
            if app in OF_OTHERS:
                continue
            known = frozen.parser_of(app)._option_string_actions
            continue
        flag = line.strip().split(":")[0].lstrip("-*")
        if flag not in shared and app not in OF_OTHERS:
            assert f"--{flag}" in known, f"component {app} has --{flag}, the app has not"
            checked += 1
    assert checked > 30


# ---- style


def test_ruff() -> None:
    done = command(tool("ruff"), "check", "--no-cache", ".")
    assert done.returncode == 0, done.stdout
    done = command(tool("ruff"), "format", "--check", "--no-cache", ".")
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_types() -> None:
    done = command(tool("mypy"))
    assert done.returncode == 0, done.stdout


def test_files_are_short() -> None:
    lengths = {str(f.relative_to(ROOT)): len(f.read_text().splitlines()) for f in python_files()}
    assert {name: lines for name, lines in lengths.items() if lines > 500} == {}
    own = sorted(lines for name, lines in lengths.items() if not name.startswith("tests/"))
    assert own[len(own) // 2] <= 150, "the median file should not exceed 150 lines"


def test_entry_files_are_thin() -> None:
    for app in APPS:
        assert len((ROOT / "tzx" / "apps" / f"{app}.py").read_text().splitlines()) <= 80, app


def test_functions_are_short_and_take_few_parameters() -> None:
    too_long, too_many, lengths = [], [], []
    for file in python_files("tzx", "schedulers", "scripts", "benchmarks"):
        where = str(file.relative_to(ROOT))
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                lengths.append(lines)
                if where == "tzx/components/__init__.py":
                    continue
                if lines > 80:
                    too_long.append(f"{where}:{node.lineno} {node.name}: {lines} lines")
                if _parameters(node) > 6 and node.name not in FOREIGN_SIGNATURES:
                    too_many.append(f"{where}:{node.lineno} {node.name}: {_parameters(node)} parameters")
    assert too_long == []
    assert too_many == []
    assert sorted(lengths)[len(lengths) // 2] <= 12


FOREIGN_SIGNATURES = ("log_iter",)  # given by TorchX


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    names = [arg.arg for arg in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]
    return len([name for name in names if name not in ("self", "cls")])


def test_there_is_no_drawer_for_everything() -> None:
    names = [f for f in python_files("tzx", "schedulers") if re.search(r"utils?|helpers?|misc|common", f.stem)]
    assert names == []


# Messages between a loader and the worker processes it has started itself.
OWN_PIPES = ("tzx/runtime/data/channel.py", "tzx/runtime/data/worker.py")


def test_no_code_from_data() -> None:
    found = []
    for file in python_files("tzx", "schedulers"):
        if str(file.relative_to(ROOT)) in OWN_PIPES:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                unsafe_load = name == "torch.load" and not any(k.arg == "weights_only" for k in node.keywords)
                if name in ("eval", "exec", "pickle.load", "pickle.loads", "marshal.loads") or unsafe_load:
                    found.append(f"{file.relative_to(ROOT)}:{node.lineno} {name}")
    assert found == []


# ---- what must not be in the repository


FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.$}])/(?:work|root|home/\w+|opt/pypi[\w-]*|Users)/"),
    "a registry's host": re.compile(r"https?://[\w.-]*(?:pypi|mirror|nexus|artifactory|jfrog)[\w.-]*", re.IGNORECASE),
    "an issue's number": re.compile(r"\b(?:issue|issues show|pull request|PR)\s*#?\d+\b", re.IGNORECASE),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_repository_speaks_of_no_single_machine_or_day(what: str) -> None:
    found = []
    for file in tracked():
        if file == Path(__file__) or file.suffix in (".parquet", ".png", ".gz", ".npz"):
            continue
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
            if FORBIDDEN[what].search(line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_text_is_ascii() -> None:
    allowed = re.compile(r"tests/|docs/")
    found = []
    for file in tracked():
        name = str(file.relative_to(ROOT))
        if file.suffix in (".py", ".md", ".sh", ".cfg", ".toml", ".proto") and not allowed.match(name):
            found += [f"{name}:{n}" for n, line in enumerate(file.read_text().splitlines(), 1) if not line.isascii()]
    assert found == []


def test_no_data_is_committed() -> None:
    large = [f"{f.relative_to(ROOT)}: {f.stat().st_size}" for f in tracked() if f.stat().st_size > 400_000]
    assert large == []


def test_the_papers_are_there() -> None:
    for name in ("README.md", "LICENSE", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/install.md"):
        assert (ROOT / name).is_file(), name
    assert "Apache License" in (ROOT / "LICENSE").read_text() and "Version 2.0" in (ROOT / "LICENSE").read_text()
