"""docs/models.md tells what there is."""

import re
from pathlib import Path

from google.protobuf import text_format

from tzx.runtime.losses import make_loss
from tzx.runtime.metrics.factory import _ALL
from tzx.runtime.models import available_models
from tzx.runtime.models.problems import Problems
from tzx.runtime.models.tasks import tower_tasks
from tzx.runtime.protos.model_pb2 import ModelConfig
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

TEXT = (Path(__file__).parents[3] / "docs" / "models.md").read_text()


def test_every_model_is_listed_under_its_field():
    rows = re.findall(r"^\| `(\w+)` \| (x?[A-Z]\w+) \|", TEXT, re.M)
    fields = {f.message_type.name: f.name for f in ModelConfig.DESCRIPTOR.oneofs_by_name["model"].fields}
    assert sorted(rows) == sorted((fields[name], name) for name in available_models())


def test_every_metric_is_listed():
    assert all(f"`{name}`" in TEXT for name in _ALL)


def test_snippets_parse_and_their_tasks_fit():
    snippets = re.findall(r"^```\n(model_config.*?)^```", TEXT, re.M | re.S)
    configs = [text_format.Parse(snippet, EasyRecConfig()) for snippet in snippets]
    assert [c.model_config.WhichOneof("model") for c in configs] == ["deepfm", "mmoe"]
    assert make_loss(configs[0].model_config.losses[0], 1).outputs == ("logits", "probs")
    configs[1].data_config.label_fields.extend(["click", "buy"])
    problems = Problems()
    tasks = tower_tasks(configs[1].model_config.mmoe.task_towers, "task_towers", configs[1], None, problems)
    assert problems.lines == []
    assert [task.suffix for task in tasks] == ["_ctr", "_cvr"]
