"""Rules about negative samplers."""

from tzx.runtime.config.checks.context import Context, Node
from tzx.runtime.config.checks.registry import rule
from tzx.runtime.config.problems import listing, quoted

_PROBABILITIES = ("UNIFORM", "ARITHMETIC", "RECIPROCAL")


def _sampler(c: Context) -> Node | None:
    member = c.data.WhichOneof("sampler")
    return Node(getattr(c.data, member), ("data_config", member)) if member else None


@rule()
def sampler_counts(c: Context) -> None:
    """Samplers draw something."""
    sampler = _sampler(c)
    if sampler is None:
        return
    if getattr(sampler.message, "num_sample", 1) == 0 and c.places.written((*sampler.path, "num_sample")):
        c.error((*sampler.path, "num_sample"), "num_sample is 0; it must be at least 1")


@rule("feature_configs", "data_config")
def sampler_columns(c: Context) -> None:
    """What a sampler fills and looks up are columns that features read."""
    sampler = _sampler(c)
    if sampler is None or not c.features:
        return
    columns = {text.partition(":")[2] for feature in c.features for text, _ in feature.inputs}
    columns |= {feature.name for feature in c.features} | {field.input_name for field in c.data.input_fields}
    for index, name in enumerate(sampler.message.attr_fields):
        if name not in columns:
            path = (*sampler.path, "attr_fields", index)
            c.warn(path, f"no feature reads {quoted(name)}, which the sampler fills{c.hint(name, columns)}")
    for field in ("item_id_field", "user_id_field"):
        name = getattr(sampler.message, field, "")
        if name and name not in columns:
            c.warn((*sampler.path, field), f"no feature reads a column {quoted(name)}{c.hint(name, columns)}")


@rule()
def tdm_layers(c: Context) -> None:
    """The root of a tree has no siblings to sample, and layers are left out by a known law."""
    for node in c.of_type("TDMSampler"):
        counts = node.message.layer_num_sample
        if counts and counts[0]:
            path = (*node.path, "layer_num_sample", 0)
            c.error(path, f"layer_num_sample begins with {counts[0]}; the root has no negatives, so it must be 0")
        if (value := node.message.probability_type) not in _PROBABILITIES:
            path = (*node.path, "probability_type")
            c.error(path, f"probability_type {quoted(value)} is not one of {listing(_PROBABILITIES)}")
