"""Rules about training, evaluation and export."""

import re

from tzx.runtime.config.checks.context import Context
from tzx.runtime.config.checks.registry import rule
from tzx.runtime.config.problems import listing, quoted
from tzx.runtime.config.schema import fields_of

_SUMMARIES = ("loss", "learning_rate", "parameter", "global_gradient_norm", "gradient_norm", "gradient")
_METRIC_NAMES = {"recall_at_k": "recall@"}


@rule()
def steps_or_epochs(c: Context) -> None:
    """Training ends after num_steps or after num_epochs."""
    if not c.config.HasField("train_config"):
        return
    steps, epochs = c.train.num_steps, c.train.num_epochs
    if any(path[:2] in (("train_config", "num_steps"), ("train_config", "num_epochs")) for path in c.damaged):
        return
    if steps and epochs:
        where = c.where(("train_config", "num_steps"))
        path = ("train_config", "num_epochs")
        c.error(
            path, f"num_epochs {epochs} and num_steps {steps} ({where}) are both set; clear one, as in num_steps: 0"
        )
    elif not steps and not epochs:
        c.error(("train_config",), "train_config needs num_steps or num_epochs")


@rule()
def mixed_precision_values(c: Context) -> None:
    """Half precision comes in two forms."""
    for section in ("train_config", "export_config"):
        value = getattr(c.config, section).mixed_precision
        if value not in ("", "BF16", "FP16"):
            path = (section, "mixed_precision")
            c.error(path, f'mixed_precision must be "BF16", "FP16" or "", not {quoted(value)}')
    if c.train.HasField("grad_scaler") and c.train.mixed_precision == "":
        c.warn(("train_config", "grad_scaler"), "grad_scaler is for mixed_precision, which is not set")


@rule()
def clipping_type(c: Context) -> None:
    """Gradients are clipped by norm or by value."""
    clipping = c.train.grad_clipping
    path = ("train_config", "grad_clipping")
    if clipping.clipping_type not in ("norm", "value", "none"):
        message = f'clipping_type must be "norm", "value" or "none", not {quoted(clipping.clipping_type)}'
        c.error((*path, "clipping_type"), message)
    if clipping.clipping_type == "value" and clipping.enable_global_grad_clip:
        c.error((*path, "enable_global_grad_clip"), 'enable_global_grad_clip works with clipping_type "norm" only')


@rule()
def dense_only(c: Context) -> None:
    """Tables are updated within the backward pass, where neither the clipped norm nor accumulated gradients exist."""
    if c.train.grad_clipping.enable_global_grad_clip:
        path = ("train_config", "grad_clipping", "enable_global_grad_clip")
        advice = "clip those of tables by gradient_clipping and max_gradient of sparse_optimizer"
        c.warn(path, f"enable_global_grad_clip takes the norm of dense gradients, the same on every process; {advice}")
    if c.train.gradient_accumulation_steps > 1:
        every = c.train.gradient_accumulation_steps
        message = (
            f"tables are still updated in every step, with 1/{every} of the gradient; the rest every {every} steps"
        )
        c.warn(("train_config", "gradient_accumulation_steps"), message)


@rule()
def planner_numbers(c: Context) -> None:
    """A share to keep free leaves something, and memory and networks are not nothing."""
    planner, path = c.train.sharding_planner, ("train_config", "sharding_planner")
    if not 0 <= planner.reserve < 1:
        c.error((*path, "reserve"), f"reserve is a share of memory, from 0 to less than 1, not {planner.reserve:g}")
    for field in ("gpu_memory_gib", "host_memory_gib", "intra_node_gib_per_s", "inter_node_gib_per_s"):
        if planner.HasField(field) and not getattr(planner, field) > 0:
            c.error((*path, field), f"{field} must be more than 0, not {getattr(planner, field):g}")


@rule()
def optimizer_missing(c: Context) -> None:
    """Each optimizer config names one; without a schedule the learning rate stays as it is."""
    for node in c.of_type("SparseOptimizer", "DenseOptimizer", "PartOptimizer"):
        lost = c.broken(node.path)
        if node.message.WhichOneof("optimizer") is None and not lost:
            specs = fields_of(node.message.DESCRIPTOR).values()
            names = [spec.name for spec in specs if spec.oneof == "optimizer"]
            c.error(node.path, f"no optimizer is set; write one of {listing(names, 10)}")
        if (
            node.message.WhichOneof("learning_rate") is None
            and node.message.DESCRIPTOR.name != "PartOptimizer"
            and not lost
        ):
            c.warn(node.path, "no learning rate schedule is set; the rate stays constant (constant_learning_rate {})")


@rule()
def sparse_optimizer_unavailable(c: Context) -> None:
    """Two sparse optimizers exist in the schema and nowhere else."""
    member = c.train.sparse_optimizer.WhichOneof("optimizer")
    if member in ("adadelta_optimizer", "rmsprop_optimizer"):
        path = ("train_config", "sparse_optimizer", member)
        c.error(path, f"{member} does not exist for embedding tables; use adagrad_optimizer or adam_optimizer")


@rule()
def schedule_sizes(c: Context) -> None:
    """Schedules have the lengths they need."""
    for node in c.of_type("ManualStepLR"):
        sizes, rates = list(node.message.schedule_sizes), list(node.message.learning_rates)
        if len(sizes) != len(rates):
            c.error(
                node.path, f"schedule_sizes has {len(sizes)} values and learning_rates {len(rates)}; they go in pairs"
            )
        if sizes != sorted(set(sizes)):
            c.error((*node.path, "schedule_sizes", 0), "schedule_sizes must rise from one to the next")
    lengths = {"ExponentialDecayLR": "decay_size", "CosineAnnealingLR": "T_max", "CosineAnnealingWarmRestartsLR": "T_0"}
    for kind, field in lengths.items():
        for node in c.of_type(kind):
            if not getattr(node.message, field):
                c.error((*node.path, field), f"{node.path[-1]} needs {field} of at least 1")


@rule()
def parameter_pattern(c: Context) -> None:
    """regex_pattern is a regular expression."""
    for node in c.of_type("PartOptimizer"):
        try:
            re.compile(node.message.regex_pattern)
        except (re.error, RecursionError, OverflowError) as error:
            message = f"regex_pattern {quoted(node.message.regex_pattern)} is not a regular expression: {error}"
            c.error((*node.path, "regex_pattern"), message)


@rule()
def summary_names(c: Context) -> None:
    """What can be written to TensorBoard."""
    for index, name in enumerate(c.train.tensorboard_summaries):
        if name not in _SUMMARIES:
            path = ("train_config", "tensorboard_summaries", index)
            c.error(path, f"summary {quoted(name)} is not known{c.hint(name, _SUMMARIES)}")


@rule()
def fine_tune_map(c: Context) -> None:
    """A parameter map translates names of a checkpoint."""
    if c.train.fine_tune_ckpt_param_map and not c.train.fine_tune_checkpoint:
        path = ("train_config", "fine_tune_ckpt_param_map")
        c.warn(path, "fine_tune_ckpt_param_map has no effect without fine_tune_checkpoint")


@rule()
def event_time_saves(c: Context) -> None:
    """Saves by the time of events need to know it, and a column of event times is for them alone."""
    fields = ("save_checkpoints_timestamp_interval", "save_checkpoints_timestamps")
    wanted = [field for field in fields if getattr(c.train, field)]
    if not c.data.event_time_field:
        for field in wanted:
            c.warn(
                ("train_config", field) if field == fields[0] else ("train_config", field, 0),
                f"{field} has no effect without data_config.event_time_field, a column with event times",
            )
    elif not wanted:
        path = ("data_config", "event_time_field")
        c.warn(path, f"event_time_field has no effect without {' or '.join(fields)} in train_config")
    if not c.data.event_time_ticks_per_second:
        path = ("data_config", "event_time_ticks_per_second")
        c.error(path, "event_time_ticks_per_second is 0; give 1 for seconds or 1000 for milliseconds")


@rule("model_config")
def exporter(c: Context) -> None:
    """Export takes the latest checkpoint, or the best by a metric that is computed."""
    export = c.config.export_config
    if export.exporter_type not in ("latest", "best"):
        path = ("export_config", "exporter_type")
        c.error(path, f'exporter_type must be "latest" or "best", not {quoted(export.exporter_type)}')
    if export.exporter_type != "best" or not c.model:
        return
    known = _result_names(c)
    if known and not any(export.best_exporter_metric.startswith(name) for name in known):
        path = ("export_config", "best_exporter_metric")
        advice = c.hint(export.best_exporter_metric, known)
        c.warn(path, f"evaluation does not compute {quoted(export.best_exporter_metric)}{advice}")


def _result_names(c: Context) -> list[str]:
    """Keys of the evaluation result, losses included, that the config implies."""
    names = []
    for task in c.tasks:
        tower = getattr(task.message, "tower_name", "") or getattr(task.message, "task_name", "")
        suffix = f"_{tower}" if tower else ""
        kinds = [metric.WhichOneof("metric") or "" for metric in task.message.metrics]
        kinds += [loss.WhichOneof("loss") or loss.WhichOneof("sid_loss") or "" for loss in task.message.losses]
        names += [_METRIC_NAMES[kind] if kind in _METRIC_NAMES else kind + suffix for kind in kinds if kind]
    return names
