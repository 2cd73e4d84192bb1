"""Which embedding tables a model has, worked out from its features and the groups that use them.

* A table lives in exactly one place, so that everything that looks it up trains the same rows.
* Bags are pooled inside a TorchRec EmbeddingBagCollection. A table that a sequence also uses, or that has weighted
  and unweighted users, sits in an EmbeddingCollection instead, and its bags are pooled after the lookup.
"""

from dataclasses import dataclass, field
from typing import Literal

from google.protobuf import text_format

from tzx.runtime.embedding.dynamic.specs import option_of
from tzx.runtime.errors import ConfigError
from tzx.runtime.features import Feature

Home = Literal["pooled", "weighted", "sequence"]
Section = Literal["ids", "weighted_ids", "sequence_ids", "dense"]


@dataclass(frozen=True)
class Lookup:
    """One feature looked up in one table, pooled over each row (bag) or over each sequence element.

    `section` is the part of the batch in which the ids lie; embedded numbers have `dense` there, and no table.
    """

    feature: str
    table: str
    pooling: str
    section: Section
    elements: bool = False


@dataclass(frozen=True)
class WideOptions:
    """What WIDE groups' own tables are like."""

    dim: int = 4
    init_fn: str = ""


@dataclass(frozen=True)
class TableSpec:
    """One embedding table: everything that training needs to shard it and to choose its optimizer.

    `kind` says which TorchRec collection it is in: "pooled" an EmbeddingBagCollection, "sequence" an
    EmbeddingCollection. Pooling is that of its first user. `id_map` names the map that gives its rows to ids, if any.
    """

    name: str
    rows: int
    dim: int
    pooling: str
    data_type: str
    trainable: bool
    init_fn: str
    feature_names: tuple[str, ...]
    kind: Literal["pooled", "sequence"]
    weighted: bool = False
    lookups: tuple[Lookup, ...] = ()
    id_map: str = ""


@dataclass
class _Draft:
    """A table while its users are being collected."""

    name: str
    dim: int
    init_fn: str
    first: Feature
    init_owner: Feature
    bag_owner: Feature | None = None
    users: dict[Lookup, Feature] = field(default_factory=dict)


class TablePlan:
    """Collects lookups group by group, then says which tables there are."""

    def __init__(self, wide: WideOptions | None = None) -> None:
        self._wide = wide or WideOptions()
        self._drafts: dict[str, _Draft] = {}

    def add(self, feature: Feature, *, is_wide: bool = False, suffix: str = "", elements: bool = False) -> Lookup:
        """Register that a group uses `feature`.

        Raises:
            ConfigError: the feature cannot have a table, or does not fit the other users of the table.
        """
        name = feature.embedding_name + ("_wide" if is_wide else "") + (f"_{suffix}" if suffix else "")
        dim = (self._wide.dim or WideOptions.dim) if is_wide else feature.embedding_dim
        init_fn = self._wide.init_fn if is_wide else feature.init_fn
        if dim <= 0 or feature.num_embeddings <= 0:
            missing = "embedding_dim" if dim <= 0 else "bucketizer to say how many rows its table has"
            raise ConfigError(f"feature {feature.name!r} is used as an embedding but has no {missing}")
        draft = self._drafts.setdefault(name, _Draft(name, dim, init_fn, feature, feature))
        _check_agreement(draft, feature, dim, init_fn)
        lookup = Lookup(feature.name, name, feature.pooling, section_of(feature), elements)
        if not elements:
            _check_pooling(draft, feature)
        draft.users[lookup] = feature
        return lookup

    def dim(self, lookup: Lookup) -> int:
        """Width of the table that `lookup` reads."""
        return self._drafts[lookup.table].dim

    def tables(self) -> tuple[TableSpec, ...]:
        """Every table, in the order in which groups first used them."""
        return tuple(_finish(d) for d in self._drafts.values())


def section_of(feature: Feature) -> Section:
    """The part of the batch in which a sparse feature's ids lie."""
    if feature.is_sequence:
        return "sequence_ids"
    return "weighted_ids" if feature.is_weighted else "ids"


def home_of(spec: TableSpec) -> Home:
    """Which of the three kinds of collection holds the table."""
    if spec.kind == "sequence":
        return "sequence"
    return "weighted" if spec.weighted else "pooled"


def _check_agreement(draft: _Draft, feature: Feature, dim: int, init_fn: str) -> None:
    first = draft.first
    wanted = {
        "number of rows": (first.num_embeddings, feature.num_embeddings),
        "embedding_dim": (draft.dim, dim),
        "data_type": (first.data_type, feature.data_type),
        "trainable": (first.trainable, feature.trainable),
        "zch or dynamicemb": (_shown(first), _shown(feature)),
    }
    for what, (theirs, ours) in wanted.items():
        if theirs != ours:
            raise ConfigError(_disagreement(draft, what, (first, theirs), (feature, ours)))
    if init_fn and draft.init_fn and init_fn != draft.init_fn:
        raise ConfigError(_disagreement(draft, "init_fn", (draft.init_owner, draft.init_fn), (feature, init_fn)))
    if init_fn and not draft.init_fn:
        draft.init_fn, draft.init_owner = init_fn, feature


def _shown(feature: Feature) -> str:
    option = option_of(feature)
    return "none" if option is None else f"{{ {text_format.MessageToString(option, as_one_line=True)} }}"


def _check_pooling(draft: _Draft, feature: Feature) -> None:
    # Bags must agree among themselves, elements of sequences may pool their ids differently.
    other = draft.bag_owner
    if other is None:
        draft.bag_owner = feature
    elif other.pooling != feature.pooling:
        raise ConfigError(_disagreement(draft, "pooling", (other, other.pooling), (feature, feature.pooling)))


def _disagreement(draft: _Draft, what: str, one: tuple[Feature, object], two: tuple[Feature, object]) -> str:
    return (
        f"features {one[0].name!r} and {two[0].name!r} share the table {draft.name!r} but disagree on {what}: "
        f"{one[1]} and {two[1]}; make them equal or give one another embedding_name"
    )


def _finish(draft: _Draft) -> TableSpec:
    lookups, features = tuple(draft.users), tuple(draft.users.values())
    weighted = {f.is_weighted for f in features}
    from_sequence = any(f.is_sequence for f in features)
    pooled_later = from_sequence or len(weighted) > 1
    owner = draft.bag_owner or draft.first
    return TableSpec(
        name=draft.name,
        rows=draft.first.num_embeddings,
        dim=draft.dim,
        pooling=owner.pooling,
        data_type=draft.first.data_type,
        trainable=draft.first.trainable,
        init_fn=draft.init_fn,
        feature_names=tuple(dict.fromkeys(u.feature for u in lookups)),
        kind="sequence" if pooled_later else "pooled",
        weighted=weighted == {True},
        lookups=lookups,
        id_map=draft.first.embedding_name if option_of(draft.first) is not None else "",
    )
