"""Rules about labels, losses and metrics of the tasks of a model."""

from tzx.runtime.config.checks.context import Context, Node
from tzx.runtime.config.checks.registry import rule
from tzx.runtime.config.problems import listing, quoted
from tzx.runtime.config.schema import fields_of

_MATCH = {"DSSM", "DSSMV2", "DAT", "HSTUMatch", "MIND"}
_SID = {"SidRqvae", "SidRqkmeans"}
_CLASSES = {
    "binary_cross_entropy": (1, 1),
    "binary_focal_loss": (1, 1),
    "softmax_cross_entropy": (2, None),
    "jrc_loss": (2, 2),
}
_TWO_CLASSES = {
    "auc",
    "calibration",
    "expected_calibration_error",
    "grouped_auc",
    "grouped_recall_at_k",
    "normalized_entropy",
    "precision",
    "recall",
}
_ON_PROBS = _TWO_CLASSES | {"multiclass_auc", "accuracy", "log_loss"}
_ON_VALUES = {"mean_absolute_error", "mean_squared_error"}


def _losses(task: Node) -> list[tuple[str, tuple[str | int, ...]]]:
    """Names of the losses of a task, with their paths."""
    found = []
    for index, loss in enumerate(task.message.losses):
        name = loss.WhichOneof("loss")
        if name:
            found.append((name, (*task.path, "losses", index, name)))
    return found


@rule()
def losses_given(c: Context) -> None:
    """Each task has something to minimise."""
    if c.model_name in _SID or c.model is None:
        return
    for task in c.tasks:
        lost = c.broken((*task.path, "losses"))
        if not task.message.losses and not lost:
            name = getattr(task.message, "tower_name", "") or getattr(task.message, "task_name", "") or c.model_name
            c.error(task.path, f"{name} has no losses; add one, such as losses {{ binary_cross_entropy {{}} }}")


@rule()
def empty_loss_or_metric(c: Context) -> None:
    """Each entry of losses and metrics names one."""
    for kind, oneofs in (
        ("LossConfig", ("loss", "sid_loss")),
        ("MetricConfig", ("metric",)),
        ("TrainMetricConfig", ("metric",)),
    ):
        for node in c.of_type(kind):
            lost = c.broken(node.path)
            if not lost and not any(node.message.WhichOneof(oneof) for oneof in oneofs):
                names = [name for name, spec in fields_of(node.message.DESCRIPTOR).items() if spec.oneof]
                c.error(node.path, f"nothing is set; write one of {listing(names, 10)}")


@rule()
def loss_and_num_class(c: Context) -> None:
    """Each loss works on its own number of classes."""
    if c.model_name in _MATCH:
        return
    for task in c.tasks:
        count = task.message.num_class
        for name, path in _losses(task):
            low, high = _CLASSES.get(name, (1, None))
            if count < low or (high is not None and count > high):
                wanted = f"num_class {low}" if high == low else f"num_class of at least {low}"
                c.error(path, f"{name} needs {wanted}, but num_class is {count}")


@rule()
def match_loss(c: Context) -> None:
    """Two-tower models learn by one softmax over positives and negatives."""
    if c.model_name not in _MATCH:
        return
    names = [name for name, _ in _losses(Node(c.model_config, ("model_config",)))]
    if names and names != ["softmax_cross_entropy"]:
        c.error(("model_config", "losses", 0), f"{c.model_name} takes exactly one loss, softmax_cross_entropy")


@rule()
def metric_without_prediction(c: Context) -> None:
    """Metrics read what some loss of the task predicts."""
    for task in c.tasks:
        losses = {name for name, _ in _losses(task)}
        if not losses or c.model_name in _SID:
            continue
        for field in ("metrics", "train_metrics"):
            for index, metric in enumerate(getattr(task.message, field)):
                name = metric.WhichOneof("metric")
                if problem := _metric_problem(name, losses, task.message.num_class, c.model_name in _MATCH):
                    c.error((*task.path, field, index, name), problem)


def _metric_problem(name: str | None, losses: set[str], count: int, is_match: bool) -> str | None:
    if name is None:
        return None
    if is_match != (name == "recall_at_k"):
        return (
            f"{name} is not for two-tower models; use recall_at_k"
            if is_match
            else f"{name} is for two-tower models only"
        )
    if name in _ON_PROBS and losses == {"l2_loss"}:
        return f"{name} needs probabilities, but the task has l2_loss only"
    if name in _ON_VALUES and "l2_loss" not in losses:
        return f"{name} needs a predicted value, which only l2_loss gives"
    if name in _TWO_CLASSES and count > 2:
        remedy = "; use multiclass_auc" if name == "auc" else ""
        return f"{name} is for two classes, but num_class is {count}{remedy}"
    return None


@rule("data_config", "feature_configs")
def task_label_unknown(c: Context) -> None:
    """Labels that tasks name are label_fields."""
    labels = list(c.data.label_fields)
    for tower in c.towers:
        for field in ("label_name", "task_space_indicator_label"):
            name = getattr(tower.message, field, "")
            if name and name not in labels:
                c.error((*tower.path, field), f"{quoted(name)} is not among the label_fields{c.hint(name, labels)}")
    unnamed = [tower for tower in c.towers if not tower.message.label_name]
    if unnamed and c.model_name in ("DBMTL", "DC2VR") and len(c.towers) > len(labels):
        c.error(
            unnamed[0].path,
            f"label_name is missing, and there are {len(labels)} label_fields for {len(c.towers)} towers",
        )
    domain = c.model.message.domain_input_name if c.model and "domain_input_name" in c.model_fields else ""
    if domain and domain not in labels and c.find_feature(domain) is None and c.model:
        path = (*c.model.path, "domain_input_name")
        c.error(path, f"{quoted(domain)} is neither a label nor a feature{c.hint(domain, [*labels, *c.by_name])}")


@rule("data_config")
def sample_weight_unknown(c: Context) -> None:
    """Weights that tasks name are sample_weight_fields."""
    weights = list(c.data.sample_weight_fields)
    for tower in c.towers:
        name = getattr(tower.message, "sample_weight_name", "")
        if name and name not in weights:
            path = (*tower.path, "sample_weight_name")
            c.error(path, f"{quoted(name)} is not among the sample_weight_fields{c.hint(name, weights)}")


@rule("model_config")
def tower_name_twice(c: Context) -> None:
    """Predictions and metrics of a task end with its name."""
    seen: dict[str, Node] = {}
    for tower in c.towers:
        field = "tower_name" if "tower_name" in fields_of(tower.message.DESCRIPTOR) else "task_name"
        name = getattr(tower.message, field)
        first = seen.setdefault(name, tower)
        if first is not tower and name:
            c.error((*tower.path, field), f"task {quoted(name)} exists already ({c.where((*first.path, field))})")


@rule("model_config")
def relation_order(c: Context) -> None:
    """Towers build on towers that were declared before them."""
    names = [getattr(tower.message, "tower_name", "") for tower in c.towers]
    for number, tower in enumerate(c.towers):
        for field in ("relation_tower_names", "intervention_tower_names"):
            for index, name in enumerate(getattr(tower.message, field, ())):
                path = (*tower.path, field, index)
                if name not in names:
                    c.error(path, f"no task tower is called {quoted(name)}{c.hint(name, names)}")
                elif name not in names[:number]:
                    c.error(path, f"{quoted(name)} must be declared before the tower that builds on it")


@rule()
def intervention_rank(c: Context) -> None:
    """A tower that others intervene in says by how many dimensions."""
    for node in c.of_type("InterventionTaskTower"):
        if node.message.intervention_tower_names and not node.message.low_rank_dim:
            c.error((*node.path, "low_rank_dim"), "intervention_tower_names need a low_rank_dim of at least 1")


@rule("feature_configs")
def grouping_key_unknown(c: Context) -> None:
    """Grouped metrics and the session of jrc_loss read a feature of ids, or a label."""
    labels = list(c.data.label_fields)
    keys = dict.fromkeys(("GroupedAUC", "GroupedXAUC", "GroupedRecallAtK"), "grouping_key") | {
        "JRCLoss": "session_name"
    }
    for kind, field in keys.items():
        for node in c.of_type(kind):
            name = getattr(node.message, field)
            feature = c.find_feature(name)
            path = (*node.path, field)
            if feature is None and name and name not in labels:
                c.error(path, f"no feature is called {quoted(name)}{c.hint(name, [*c.by_name, *labels])}")
            elif feature is not None and not feature.is_sparse:
                c.error(path, f"{field} must be a feature of ids, but {name} is a number")


@rule()
def pareto_weights(c: Context) -> None:
    """Lower bounds of Pareto weights leave something to share out."""
    bounds = [getattr(tower.message, "pareto_min_loss_weight", 0.0) for tower in c.towers]
    if c.model_config.use_pareto_loss_weight and sum(bounds) >= 1:
        path = (*c.towers[-1].path, "pareto_min_loss_weight")
        c.error(path, f"pareto_min_loss_weight of all towers sum to {sum(bounds):.6g}; they must stay below 1")


@rule()
def loss_weighting(c: Context) -> None:
    """Losses are weighed against each other in one way."""
    names = ["use_pareto_loss_weight", "use_uncertainty_loss_weight", "use_pcgrad"]
    chosen = [name for name in names if getattr(c.model_config, name)]
    for name in chosen[1:]:
        c.error(("model_config", name), f"{chosen[0]} is set already; only one of {listing(names)} is possible")


@rule()
def decay_steps(c: Context) -> None:
    """Train metrics decay in step with the log."""
    log_steps = c.train.log_step_count_steps
    for node in c.of_type("TrainMetricConfig"):
        step = node.message.decay_step
        if step == 0:
            c.error((*node.path, "decay_step"), "decay_step is 0; it must be at least 1")
        elif log_steps and step % log_steps and log_steps % step:
            message = f"decay_step {step} and log_step_count_steps {log_steps} do not divide one another"
            c.warn((*node.path, "decay_step"), message)
