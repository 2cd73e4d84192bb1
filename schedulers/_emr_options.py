"""The options of the emr scheduler, and the Spark properties that they and a role become."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchx.specs import Role, runopts

from ._strict_opts import StrictOpts
from ._words import SchedulerError, plain, shortened

FLAVORS = ("serverless", "yarn", "aws")
_PROPERTY = re.compile(r"spark\.[A-Za-z0-9_.\-]+")
_LEAST_HEAP, _HEAP = 512, 1024  # MB for the JVM of an executor; the job's processes need the rest
TEXTS = {
    "queue": "queue: a resource queue of the workspace, or a YARN queue",
    "archives": "packed Python environment for the nodes, e.g. oss://bucket/env.tgz#env",
    "python": "Python on the nodes (default: ./NAME/bin/python of archives, else python3)",
    "files": "files for the working directory of every node, separated by commas",
    "cwd": "directory on the nodes to run in, if they share a file system (default: Spark's own, where files lie)",
    "conf_file": "file with more Spark properties, one a line: spark.name value",
    "region": "region, e.g. cn-hangzhou, or us-east-1 (serverless, aws; default: from the environment)",
    "workspace": "id of the workspace (serverless)",
    "release": "version of the engine, e.g. 'esr-4.3.0 (Spark 3.5.2, Scala 2.12)' (serverless)",
    "staging": "directory that the service reads, e.g. oss://bucket/tzx or s3://bucket/tzx (serverless, aws)",
    "endpoint": "address of the service, if it is not the region's public one (serverless, aws)",
    "application": "id of the application (aws)",
    "role": "ARN of the role that the job runs as (aws)",
    "log_group": "group of CloudWatch for the log (aws; default: /aws/emr-serverless)",
    "resourcemanager": "YARN web address, e.g. http://master-1:8088 (yarn; default: from yarn-site.xml)",
}


def declare() -> runopts:
    """All options with their defaults."""
    opts = StrictOpts()
    opts.add("flavor", type_=str, default="serverless", help=f"the kind of EMR: {', '.join(FLAVORS)}")
    for name, text in TEXTS.items():
        opts.add(name, type_=str, default=None, help=text)
    opts.add("spark_submit", type_=str, default="spark-submit", help="the program that submits (yarn)")
    opts.add("grace_seconds", type_=int, default=30, help="time to save work when a node is told to stop")
    opts.add("max_seconds", type_=int, default=0, help="time after which the service ends the job (serverless, aws)")
    return opts


def flavor(cfg: Mapping[str, Any]) -> str:
    """The kind of EMR; refuses options that no service would take."""
    for text in (*TEXTS, "spark_submit"):
        word(cfg, text)
    name = str(cfg.get("flavor") or "serverless")
    if name not in FLAVORS:
        raise SchedulerError(f"flavor={shortened(name)}: must be one of {', '.join(FLAVORS)}")
    return name


def needed(cfg: Mapping[str, Any], *names: str) -> list[str]:
    """Values of options that a flavor cannot do without."""
    missing = [name for name in names if not cfg.get(name)]
    if missing:
        raise SchedulerError(
            f"flavor={flavor(cfg)} needs {', '.join(missing)}: -cfg {missing[0]}=..., or .torchxconfig"
        )
    return [plain(str(cfg[name]), name) for name in names]


def word(cfg: Mapping[str, Any], name: str) -> str:
    """Value of an option, or an empty text."""
    return plain(str(cfg.get(name) or ""), name)


def grace_seconds(cfg: Mapping[str, Any]) -> int:
    """Seconds between the notice and the end."""
    value = cfg.get("grace_seconds")
    seconds = 30 if value is None else int(value)
    if not 1 <= seconds <= 3600:
        raise SchedulerError(f"grace_seconds={seconds}: must be 1 to 3600")
    return seconds


def properties(role: Role, cfg: Mapping[str, Any]) -> dict[str, str]:
    """Spark's properties: one executor per node, one barrier task per executor, and no second tries by Spark."""
    cores, memory, gpus = (int(role.resource.cpu), int(role.resource.memMB), int(role.resource.gpu))
    cores = max(1, cores)
    heap = max(_LEAST_HEAP, min(_HEAP, memory // 2)) if memory > 0 else _HEAP
    python = _python(cfg)
    found = {
        "spark.executor.instances": str(role.num_replicas),
        "spark.executor.cores": str(cores),
        "spark.task.cpus": str(cores),
        "spark.executor.memory": f"{heap}m",
        "spark.executor.memoryOverhead": f"{max(384, memory - heap)}m",
        "spark.dynamicAllocation.enabled": "false",
        "spark.speculation": "false",
        "spark.stage.maxConsecutiveAttempts": "1",
        "spark.task.maxFailures": "1",
        "spark.pyspark.python": python,
        "spark.pyspark.driver.python": python,
    }
    if gpus > 0:
        found["spark.executor.resource.gpu.amount"] = found["spark.task.resource.gpu.amount"] = str(gpus)
    return {**found, **_from_file(word(cfg, "conf_file"))}


def _python(cfg: Mapping[str, Any]) -> str:
    named = word(cfg, "python")
    archive = word(cfg, "archives").split(",")[0].partition("#")[2]
    if not re.fullmatch(r"[A-Za-z0-9_.-]*", archive):
        raise SchedulerError(f"archives: {shortened(archive)} is no name of a folder; e.g. oss://bucket/env.tgz#env")
    return named or (f"./{archive}/bin/python" if archive else "python3")


def _from_file(path: str) -> dict[str, str]:
    """Properties as spark-defaults.conf has them."""
    if not path:
        return {}
    try:
        lines = Path(path).expanduser().read_text().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SchedulerError(f"conf_file={shortened(path)}: {_why(error)}") from None
    found = {}
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, value = [*re.split(r"\s*=\s*|\s+", line.strip(), maxsplit=1), ""][:2]
            if not _PROPERTY.fullmatch(name):
                raise SchedulerError(
                    f"conf_file, {shortened(path)}:{number}: {shortened(name)} is no name of a Spark property"
                )
            found[name] = plain(value, f"conf_file, {shortened(path)}:{number}")
    return found


def _why(error: Exception) -> str:
    return error.strerror or "cannot be read" if isinstance(error, OSError) else "is no text"
