"""Start with the parameters of another training, tzx's or TorchEasyRec's, and say what was taken and what was left.

TorchEasyRec keeps the same torch format in `model.ckpt-<step>/model`. Its names of parameters differ from ours in what
stands before a table's own name, and in a leading `model.`; where name and shape then agree, a tensor is taken.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from tzx.runtime.errors import UserError
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training import state
from tzx.runtime.training.session import Session
from tzx.runtime.training.storage import location, write_file
from tzx.runtime.training.tensor_files import read_metadata

logger = logging.getLogger("tzx")

REPORT = "fine_tuned_from.json"  # in the model directory
_TABLES = ("embedding_bags", "embeddings")  # what torchrec calls the tables of its two kinds of collections


def fine_tune(session: Session) -> None:
    """Fill parameters from `train_config.fine_tune_checkpoint`; steps and optimizers start afresh.

    Raises:
        UserError: there is no such checkpoint, or it has none of the model's parameters.
    """
    config = session.config.train_config
    source = find_source(config.fine_tune_checkpoint)
    saved = [str(name) for name in read_metadata(source / "model").state_dict_metadata]
    wanted = list(state.model_state(session))
    names = translate(wanted, saved)
    if config.fine_tune_ckpt_param_map:
        names |= read_parameter_map(config.fine_tune_ckpt_param_map)
    left = state.load_model(session, source, names)
    if session.process.is_chief:
        _report(session, source, names, left, saved)


def find_source(path: str) -> Path:
    """The checkpoint at `path`, or the newest below it; TorchEasyRec's have no marker, so their files go unchecked."""
    found = location(path)
    foreign = [found] if found in ckpt.foreign_checkpoints(found.parent) else ckpt.foreign_checkpoints(found)
    if foreign and ckpt.latest_checkpoint(found) is None and (foreign[-1] / "model" / ".metadata").is_file():
        logger.warning("%s was not made by tzx: there are no checksums to check its files against", foreign[-1])
        return foreign[-1]
    return ckpt.resolve_checkpoint(found)


def translate(wanted: Iterable[str], saved: Iterable[str]) -> dict[str, str]:
    """The saved name of each wanted parameter that is saved under another one which can only be its."""
    saved = set(saved)
    by_table: dict[str, list[str]] = {}
    for name in saved:
        by_table.setdefault(_table_key(name), []).append(name)
    names = {}
    for name in wanted:
        same_table = by_table.get(_table_key(name), []) if _table_key(name) else []
        if name in saved:
            continue
        if f"model.{name}" in saved:
            names[name] = f"model.{name}"
        elif len(same_table) == 1:
            names[name] = same_table[0]
    return names


def _table_key(name: str) -> str:
    """`<kind>.<table>.weight`, or nothing for what is no table."""
    parts = name.split(".")
    return ".".join(parts[-3:]) if len(parts) >= 3 and parts[-3] in _TABLES else ""


def _report(session: Session, source: Path, names: Mapping[str, str], left: list[str], saved: list[str]) -> None:
    reasons = dict(entry.split(" ", 1) for entry in left)
    taken = {name: names.get(name, name) for name in state.model_state(session) if name not in reasons}
    unused = sorted(set(saved) - set(taken.values()))
    content = {"checkpoint": str(source), "taken": taken, "left": reasons, "unused": unused}
    write_file(session.model_dir / REPORT, json.dumps(content, indent=1))
    logger.info(
        "%d parameters taken from %s, %d left, %d of the checkpoint not used (which: %s); counting from step 0",
        len(taken),
        source,
        len(reasons),
        len(unused),
        session.model_dir / REPORT,
    )


def read_parameter_map(path: str) -> dict[str, str]:
    """Read lines `new_name<TAB>old_name`."""
    names = {}
    try:
        lines = location(path).read_text().splitlines()
    except OSError as error:
        raise UserError(f"fine_tune_ckpt_param_map {path}: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) != 2:
            raise UserError(f"{path}:{number}: expected new_name<TAB>old_name, got {line!r}")
        names[fields[0].strip()] = fields[1].strip()
    return names
