"""PEPNet: embeddings and layers scaled by gates that know the domain and the person. Legend: B rows, C classes."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from tzx.runtime.config.problems import hint
from tzx.runtime.data.batch import Batch
from tzx.runtime.data.keys import row_keys
from tzx.runtime.errors import ConfigError, DataError
from tzx.runtime.features import FeatureSet
from tzx.runtime.models.base import GroupTypes, MultiTaskModel
from tzx.runtime.models.multitask.task_tower import TaskTower
from tzx.runtime.models.problems import Problems
from tzx.runtime.models.tasks import Task
from tzx.runtime.nn.pepnet import GatedLayer, GateNU
from tzx.runtime.protos.model_pb2 import DEEP
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig


@dataclass(frozen=True)
class DomainTask(Task):
    """A task with one tower per domain; losses and metrics read the prediction for the row's own domain."""

    domain: str = ""
    num_domains: int = 1

    @property
    def output_names(self) -> list[str]:
        """Names with the tower's suffix and the domain's number, domain after domain."""
        return [f"{name}{self.suffix}_{i}" for i in range(self.num_domains) for name in self.outputs]

    def of_domain(self, number: int) -> Task:
        """The plain task of one domain."""
        plain = {f.name: getattr(self, f.name) for f in fields(Task)}
        return replace(Task(**plain), suffix=f"{self.suffix}_{number}")

    def own(self, predictions: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Predictions of each row's own domain, keys without suffix."""
        domain_B = row_keys(batch, self.domain)
        if self.domain not in batch.labels:
            domain_B = domain_B.clamp(min=0)  # rows without an id, such as those that fill up a rank, go to the first
        if domain_B.device.type == "cpu" and domain_B.numel():
            self._check_range(domain_B)
        rows_B = torch.arange(domain_B.shape[0], device=domain_B.device)
        found = {}
        for name in self.outputs:
            by_domain = torch.stack([predictions[f"{name}{self.suffix}_{i}"] for i in range(self.num_domains)])
            found[name] = by_domain[domain_B, rows_B]
        return found

    def _check_range(self, domain_B: Tensor) -> None:
        for value in (int(v) for v in torch.aminmax(domain_B)):
            if not 0 <= value < self.num_domains:
                raise DataError(
                    f"{self.domain!r} holds domain {value}, but task_domain_num is {self.num_domains}: "
                    f"0 to {self.num_domains - 1} are allowed"
                )


class PEPNet(MultiTaskModel):
    """Chang et al. 2023, "PEPNet: Parameter and Embedding Personalized Network for Infusing with Personalized ...".

    gate(x) = gamma sigmoid(linear(relu(linear(x)))). EPNet, with a `domain` group: main = `all` * gate([domain, `all`])
    (section 3.3). PPNet, with a `uia` group: for each task layers activation(linear(h)) * gate([uia, main]) (section
    3.4). Then each task's tower, or towers for its domains. No gradient flows from a gate into `all` or main.
    """

    def group_types(self) -> GroupTypes:
        """`all`; `domain` and `uia` where they are."""
        return {"all": (DEEP,)} | {name: (DEEP,) for name in ("domain", "uia") if self.has_group(name)}

    def make_tasks(self, config: EasyRecConfig, features: FeatureSet, problems: Problems) -> tuple[Task, ...]:
        """One task per tower, with domains where `domain_input_name` is set."""
        tasks = super().make_tasks(config, features, problems)
        domain, number = self.own.domain_input_name, self.own.task_domain_num
        if not domain:
            if number != 1:
                problems.add(f"{self.where}: task_domain_num is {number}, but domain_input_name is not set")
            return tasks
        if number < 1:
            problems.add(f"{self.where}: task_domain_num is {number}; allowed: 1 or more")
        ids = [f.name for f in features.features if f.is_sparse and not f.is_sequence]
        known = [*config.data_config.label_fields, *ids]
        if domain not in known:
            problems.add(
                f"{self.where}: domain_input_name {domain!r} must be one of data_config.label_fields or a sparse "
                f"feature without sequence{hint(domain, known)}"
            )
        return tuple(DomainTask(**vars(task), domain=domain, num_domains=number) for task in tasks)

    def build(self) -> None:
        """Gates, gated layers and towers."""
        towers = self.own.task_towers
        main = self.embedding_groups.total_dim("all")
        self.epnet = self._make_epnet(main) if self.has_group("domain") else None
        self.ppnet = nn.ModuleList(self._make_ppnet(main) if self.has_group("uia") else nn.ModuleList() for _ in towers)
        width = self.own.ppnet_hidden_units[-1] if self.has_group("uia") else main
        count = self.own.task_domain_num
        self.task_towers = nn.ModuleList(nn.ModuleList(TaskTower(width, t) for _ in range(count)) for t in towers)

    def _make_epnet(self, main: int) -> GateNU:
        hidden = self.own.epnet_hidden_unit or main
        return GateNU(self.embedding_groups.total_dim("domain") + main, hidden, main, self.own.epnet_gamma)

    def _make_ppnet(self, main: int) -> nn.ModuleList:
        own, units = self.own, list(self.own.ppnet_hidden_units)
        if not units or min(units) < 1:
            raise ConfigError(f"ppnet_hidden_units is {units}; feature group 'uia' needs layers of 1 unit or more")
        ratios = list(own.ppnet_dropout_ratio) or [0.0]
        if len(ratios) not in (1, len(units)) or not all(0 <= ratio < 1 for ratio in ratios):
            given = ", ".join(f"{ratio:g}" for ratio in ratios)
            raise ConfigError(
                f"ppnet_dropout_ratio is {given}; give none, one or {len(units)} values for {len(units)} "
                f"ppnet_hidden_units, each in [0, 1)"
            )
        ratios = ratios * len(units) if len(ratios) == 1 else ratios
        prior = self.embedding_groups.total_dim("uia") + main
        return nn.ModuleList(
            GatedLayer((width, prior, unit), own.ppnet_gamma, own.ppnet_activation, ratio)
            for width, unit, ratio in zip([main, *units], units, ratios, strict=False)
        )

    def logits_by_domain(self, groups: dict[str, Tensor]) -> list[list[Tensor]]:
        """Logits [B, C] of every task's every domain."""
        main = groups["all"]
        if self.epnet is not None:
            main = main * self.epnet(torch.cat([groups["domain"], main.detach()], dim=1))
        prior = torch.cat([groups["uia"], main.detach()], dim=1) if self.has_group("uia") else main
        found = []
        for layers, towers in zip(self.ppnet, self.task_towers, strict=True):
            x = main
            for layer in layers:  # type: ignore[attr-defined]
                x = layer(x, prior)
            found.append([tower(x) for tower in towers])  # type: ignore[attr-defined]
        return found

    def logits(self, groups: dict[str, Tensor]) -> list[Tensor]:
        """Logits [B, C] of every task and, within it, every domain."""
        return [logits_BC for domains in self.logits_by_domain(groups) for logits_BC in domains]

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """Predictions by name, those of each tower with its suffix and, with domains, the domain's number."""
        predictions: dict[str, Tensor] = {}
        for task, domains in zip(self.tasks, self.logits_by_domain(self.embed(batch)), strict=True):
            for i, logits_BC in enumerate(domains):
                plain = task.of_domain(i) if isinstance(task, DomainTask) else task
                predictions |= plain.predict(logits_BC)
        return predictions
