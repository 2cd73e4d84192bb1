"""How every entry file behaves as a command: flags, messages and exit codes. Imports no torch."""

import argparse
import difflib
import errno
import gc
import json
import logging
import os
import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from tzx.apps.memory import keep_freed_memory
from tzx.apps.openmp import set_wait_policy
from tzx.runtime.errors import ConfigError, TzxError

INTERRUPTED = 130
# What a user mistyped shows up as these; every other OSError is the machine's fault and worth a retry.
_USER_OS_ERRORS = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, FileExistsError)
# What gloo and NCCL say on the ranks that are left when one has ended.
_LOST_PEER = re.compile(r"Connection (closed|reset) by peer|a remote process exit")


class Parser(argparse.ArgumentParser):
    """argparse that takes no abbreviations and answers an unknown flag with the nearest known one, exit 2."""

    def __init__(self, description: str, prog: str | None = None) -> None:
        super().__init__(
            prog=prog or _module_prog(),
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parses strictly: what is not a known flag or its value is an error."""
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(self._unknown_message(unknown))
        return known

    def _unknown_message(self, words: list[str]) -> str:
        flags = [word.split("=", 1)[0] for word in words if word.startswith("-")]
        if not flags:
            return f"unexpected {' '.join(words)!r}: values are given as --name value"
        return "; ".join(f"unknown flag {flag}{self._hint(flag)}" for flag in flags)

    def _hint(self, flag: str) -> str:
        known = {name.lstrip("-"): name for name in self._option_string_actions}
        near = difflib.get_close_matches(flag.lstrip("-").replace("-", "_"), known, n=1)
        return f", did you mean {known[near[0]]}?" if near else ""

    def error(self, message: str) -> NoReturn:
        """Prints one line and where to read on, leaves it for the launcher, then exits with 2."""
        _write_error_file(ValueError(message), message, 2)
        self.exit(2, f"{self.prog}: error: {message}\n(all flags: {self.prog} --help)\n")


def add_config_flags(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Adds what all apps that read a config share: config, sets (list of K=V), edit_config_json, user_module, debug."""
    parser.add_argument(
        "--config",
        "--pipeline_config_path",
        required=required,
        metavar="FILE",
        help="config file, protobuf text or JSON",
    )
    parser.add_argument(
        "--set",
        dest="sets",
        action="append",
        default=[],
        metavar="K=V",
        help="override one config field, e.g. train_config.num_steps=10; may be repeated",
    )
    parser.add_argument(
        "--edit_config_json", metavar="JSON", help="override config fields with a JSON object of path to value"
    )
    add_user_module_flag(parser)
    add_debug_flag(parser)


def add_user_module_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --user_module, which imports code of the user's own."""
    parser.add_argument(
        "--user_module",
        action=_Load,
        metavar="FILE",
        help="Python file, or module, that registers operators and models of your own; may be repeated",
    )


class _Load(argparse.Action):
    """Imports the module as soon as it is read: what it registers is there before a config is looked at."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        from tzx.runtime.user_module import load_user_module

        load_user_module(values)
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or []), values])


def add_debug_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --debug, which `run` itself acts on."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error and debug log lines")


def run(main: Callable[[list[str]], int | None]) -> NoReturn:
    """Calls main with the command line and ends the process with the exit code its outcome stands for."""
    argv = sys.argv[1:]
    debug = "--debug" in argv
    _log_to_stderr(debug)
    set_wait_policy(os.environ)
    keep_freed_memory()
    try:
        code = main(argv) or 0
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
        print("interrupted", file=sys.stderr)
    except BrokenPipeError:
        # The reader of our output went away; Python would complain again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + 13
    except SystemExit:
        raise
    except BaseException as error:
        code = _report(error, debug)
    gc.freeze()  # the interpreter's last collection walks all of torch, which takes most of a second for nothing
    sys.exit(code)


def _report(error: BaseException, debug: bool) -> int:
    """Prints the error for a person, leaves it for the launcher, and returns the exit code."""
    error = _root(error)
    code, message, expected = _explain(error)
    if debug or not expected:
        traceback.print_exception(error, file=sys.stderr)
    rank = f"[rank {os.environ.get('RANK')}] " if os.environ.get("WORLD_SIZE", "1") != "1" else ""
    # A screen of config problems starts with file:line:col, which terminals and editors make clickable.
    prefix = "" if isinstance(error, ConfigError) and "\n" in message else f"{rank}error: "
    print(f"{prefix}{message}", file=sys.stderr, flush=True)
    _write_error_file(error, message, code)
    return code


def _explain(error: BaseException) -> tuple[int, str, bool]:
    """Exit code, message, and whether this is an error that speaks for itself without a traceback."""
    if isinstance(error, TzxError):
        return error.exit_code, str(error), True
    if isinstance(error, _USER_OS_ERRORS) and error.filename is not None:
        return 2, f"{error.filename}: {error.strerror}", True
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
        where = f"{error.filename}: " if error.filename else ""
        return 74, f"{where}{error.strerror}", True
    if os.environ.get("WORLD_SIZE", "1") != "1" and _LOST_PEER.search(str(error)):
        return 1, "lost the connection to another rank, whose own error says why", True
    return 1, f"{type(error).__name__}: {error}", False


def _root(error: BaseException) -> BaseException:
    """Looks inside torch's CheckpointException (a BaseException that holds one exception for each failed rank)."""
    failures = getattr(error, "failures", None)
    if type(error).__name__ == "CheckpointException" and isinstance(failures, dict) and failures:
        first = failures[min(failures)]
        return first[0] if isinstance(first, tuple) else first
    return error


def _write_error_file(error: BaseException, message: str, code: int) -> None:
    """Leaves the error where torchrun and `torchx status` look for it."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not path:
        return
    stack = "".join(traceback.format_exception(error))
    extra = {"py_callstack": stack, "timestamp": str(int(time.time()))}
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w") as file:
            json.dump({"message": {"message": message, "errorCode": code, "extraInfo": extra}}, file)
    except OSError as failure:
        print(f"could not write {path}: {failure}", file=sys.stderr)


class _Line(logging.Formatter):
    """Time and message; the level only where it is not the usual one."""

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        rank = "" if _is_chief() else f"[rank {os.environ['RANK']}] "
        return f"{self.formatTime(record, '%H:%M:%S')} {level}{rank}{super().format(record)}"


def _log_to_stderr(debug: bool) -> None:
    """All log lines of rank 0, warnings of the others, and nothing of what libraries tell their developers."""
    if not logging.getLogger().handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(_Line())
        logging.getLogger().addHandler(handler)
    usual = logging.INFO if _is_chief() else logging.WARNING
    logging.getLogger("tzx").setLevel(logging.DEBUG if debug else usual)
    if not debug:
        for kind in (FutureWarning, DeprecationWarning):  # what a library announces to whoever calls it
            warnings.filterwarnings("ignore", category=kind)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"(torch|torchrec|fbgemm_gpu|torchmetrics)\b.*")


def _is_chief() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _module_prog() -> str | None:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return f"python -m {spec.name}" if spec is not None and spec.name else None
