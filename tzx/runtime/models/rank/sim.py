"""SIM: MultiTower plus a search of long behaviour sequences. Legend: B rows, C classes."""

from dataclasses import replace
from typing import cast

from google.protobuf.message import Message
from torch import Tensor, nn

from tzx.runtime.config.problems import hint
from tzx.runtime.data.batch import Batch
from tzx.runtime.errors import ConfigError
from tzx.runtime.features import FeatureSet
from tzx.runtime.models.problems import Problems
from tzx.runtime.models.rank.sequence_towers import SequenceTowers
from tzx.runtime.models.tasks import Task
from tzx.runtime.nn.sequence_search import HardSearch, SoftSearch
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig
from tzx.runtime.protos.sequence_model_pb2 import SIMTower

_SEARCHES = ("soft", "hard")


class SIM(SequenceTowers):
    """Pi et al. 2020, "Search-based User Interest Modeling with Lifelong Sequential Behavior Data ...", section 3.

    A SIM tower finds the `top_k` elements of its sequence group, by the inner product of W_a query and W_b element
    (soft) or by a category that both share (hard), and passes on multi-head attention of the query over those. A soft
    search learns in training from a prediction of its own, linear([query, sum of softmax(inner product) element]),
    whose losses end with `_search_<tower>`.
    """

    tower_field = "sim_towers"

    def make_tasks(self, config: EasyRecConfig, features: FeatureSet, problems: Problems) -> tuple[Task, ...]:
        """The task, and for training the same one for every soft search."""
        (task,) = super().make_tasks(config, features, problems)
        return (task, *(self._search_task(task, i) for i in self.searching))

    def _search_task(self, task: Task, number: int) -> Task:
        weights = replace(task.weights, scale=self.own.sim_towers[number].search_weight)
        return replace(task, suffix=f"_search_{number}", weights=weights, metrics=(), train_metrics=())

    @property
    def searching(self) -> list[int]:
        """Numbers of the towers whose search learns."""
        return [i for i, tower in enumerate(self.own.sim_towers) if tower.search == "soft" and tower.search_weight]

    @property
    def eval_tasks(self) -> tuple[Task, ...]:
        """The task alone."""
        return self.tasks[:1]

    def build(self) -> None:
        """Towers, and the outputs of the searches."""
        super().build()
        self.search_outputs = nn.ModuleList(
            nn.Linear(cast(SoftSearch, self.encoders[i]).pooled_dim, self.num_class) for i in self.searching
        )

    def make_encoder(self, tower: Message, query_dim: int, sequence_dim: int) -> nn.Module:
        """Search of the sequence, with attention over what it finds."""
        own = cast(SIMTower, tower)
        if own.search == "soft":
            return SoftSearch(query_dim, sequence_dim, own)
        if own.search == "hard":
            return HardSearch(query_dim, sequence_dim, own, self._category_columns(own))
        raise ConfigError(f"search is {own.search!r}; allowed: {' and '.join(_SEARCHES)}{hint(own.search, _SEARCHES)}")

    def _category_columns(self, tower: SIMTower) -> tuple[slice, slice]:
        """Where the category lies in the query, and in an element."""
        places = []
        for field, part in (("category", "query"), ("category_sequence", "sequence")):
            name, dims = getattr(tower, field), self.embedding_groups.feature_dims(f"{tower.input}.{part}")
            if name not in dims:
                raise ConfigError(f"hard search: {field} is {name!r}, no feature of the {part}{hint(name, dims)}")
            start = sum(list(dims.values())[: list(dims).index(name)])
            places.append(slice(start, start + dims[name]))
        both = {tower.category, tower.category_sequence}
        if not any(both <= set(table.feature_names) for table in self.embedding_groups.tables):
            raise ConfigError(
                f"hard search: {tower.category} and {tower.category_sequence} must share an embedding table, by which "
                f"equal ids are known; give both one embedding_name"
            )
        return places[0], places[1]

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """Predictions by name; in training also those of the searches."""
        if not self.training:
            return super().predict(batch)
        groups = self.embed(batch)
        inputs = list(self.sequences(groups))
        predictions = self.tasks[0].predict(self.join(groups, [encoder(*given) for encoder, given in inputs]))
        for i, task, output in zip(self.searching, self.tasks[1:], self.search_outputs, strict=True):
            encoder, given = inputs[i]
            predictions |= task.predict(output(cast(SoftSearch, encoder).pooled(*given)))
        return predictions
