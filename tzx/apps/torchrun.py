"""torchrun that finds rank 0 by tzx's contract and ends with the exit code of the rank that failed."""

import logging
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Mapping
from typing import Protocol

from tzx.apps.command import run
from tzx.runtime.data.cores import cores_for_me

# Codes that say what happened. The ranks that only lost their peer end with others, sometimes sooner.
_TELLING = (2, 65, 74, 75, 143)


class Failure(Protocol):
    """What torch knows of a rank that failed."""

    exitcode: int
    error_file: str
    timestamp: int


def main(argv: list[str]) -> int:
    """Runs torch.distributed.run, and reports a failure in one line and one code."""
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # it repeats what the ranks say
    args = torchrun.parse_args([*rendezvous(argv, os.environ), *argv])
    processes = torchrun.determine_local_world_size(args.nproc_per_node)
    os.environ.setdefault("OMP_NUM_THREADS", str(cores_for_me(processes)))
    config, command, command_args = torchrun.config_from_args(args)
    try:
        elastic_launch(config, command)(*command_args)
    except ChildFailedError as error:
        rank, failure = root_failure(error.failures.items())
        return _report(rank, failure)
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


def rendezvous(argv: list[str], env: Mapping[str, str]) -> list[str]:
    """The flags that make the agents of all nodes find each other."""
    app_id = env.get("TORCHX_JOB_ID", "tzx").rpartition("/")[2]  # torchrun makes a directory of this name
    job = env.get("TZX_RUN_ID") or f"{app_id}-{env.get('TZX_RESTART_COUNT', '0')}"
    nodes = argv[argv.index("--nnodes") + 1] if "--nnodes" in argv else "1"
    if nodes in ("1", "1:1"):
        address, port = "localhost", "0"  # any port, as nobody else needs it
    else:
        address = env.get("TZX_MASTER_ADDR") or env.get(env.get("TZX_RANK0_ENV", "")) or "localhost"
        port = env.get("TZX_MASTER_PORT", "29500")
    flags = ["--rdzv_backend", "c10d", "--rdzv_id", job, "--rdzv_endpoint", f"{address}:{port}"]
    # All nodes on one host: its name need not resolve. Pods do not know each other's names.
    here = "127.0.0.1" if address in ("localhost", "127.0.0.1") else env.get("TZX_LOCAL_ADDR", "")
    flags += ["--local_addr", here] if here else []
    settings = _settings(env, pods=address not in ("localhost", "127.0.0.1") and bool(here))
    return flags + (["--rdzv_conf", settings] if settings else [])


def _settings(env: Mapping[str, str], pods: bool) -> str:
    """How long a node waits for the others: pods start minutes apart, and a stage waits for the work before it."""
    patience = env.get("TZX_PATIENCE") or ("900" if pods else "")
    first = [f"is_host={str(env.get('TORCHX_REPLICA_IDX') == '0').lower()}"] if pods else []
    return ",".join([*first, *([f"read_timeout={patience}", f"join_timeout={patience}"] if patience else [])])


def root_failure(failures: Iterable[tuple[int, Failure]]) -> tuple[int, Failure]:
    """The failure that explains the others: a telling code, else a signal, else what came first."""
    return min(failures, key=lambda item: (_rank_of_cause(item[1].exitcode), item[1].timestamp))


def _rank_of_cause(code: int) -> int:
    if code in _TELLING:
        return 0
    return 1 if code < 0 and code != -signal.SIGABRT else 2  # NCCL aborts the ranks that have lost their peer


def _report(rank: int, failure: Failure) -> int:
    target = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if target and os.path.isfile(failure.error_file):
        shutil.copyfile(failure.error_file, target)
    code = failure.exitcode
    how = f"exited with {code}" if code >= 0 else f"was killed by signal {-code}"
    print(f"error: rank {rank} {how}", file=sys.stderr)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    run(main)
