import pytest
from google.protobuf import text_format

from tzx.runtime.errors import ConfigError
from tzx.runtime.metrics import make_metric, make_train_metric, metric_key, metric_name
from tzx.runtime.metrics.auc import AUC
from tzx.runtime.metrics.calibration import Calibration, ExpectedCalibrationError
from tzx.runtime.metrics.entropy import LogLoss, NormalizedEntropy
from tzx.runtime.metrics.grouped_auc import GroupedAUC
from tzx.runtime.metrics.multiclass_auc import MulticlassAUC
from tzx.runtime.metrics.pointwise import BinaryAccuracy, MeanAbsoluteError, MeanSquaredError, TopKAccuracy
from tzx.runtime.metrics.recall import GroupedRecallAtK, Precision, Recall, RecallAtK
from tzx.runtime.metrics.xauc import XAUC, BatchXAUC, GroupedXAUC
from tzx.runtime.protos.metric_pb2 import MetricConfig, TrainMetricConfig

SIGMOID, SOFTMAX2, SOFTMAX3, L2 = ["logits", "probs"], ["logits", "probs", "probs1"], ["logits", "probs"], ["y"]


def config(text):
    return text_format.Parse(text, MetricConfig())


@pytest.mark.parametrize(
    ("text", "num_class", "outputs", "cls"),
    [
        ("auc {}", 1, SIGMOID, AUC),
        ("auc {}", 2, SOFTMAX2, AUC),
        ("grouped_auc { grouping_key: 'u' }", 1, SIGMOID, GroupedAUC),
        ("accuracy {}", 1, SIGMOID, BinaryAccuracy),
        ("accuracy { top_k: 2 }", 3, SOFTMAX3, TopKAccuracy),
        ("mean_absolute_error {}", 1, L2, MeanAbsoluteError),
        ("mean_squared_error {}", 1, L2, MeanSquaredError),
        ("multiclass_auc {}", 3, SOFTMAX3, MulticlassAUC),
        ("normalized_entropy {}", 2, SOFTMAX2, NormalizedEntropy),
        ("log_loss {}", 3, SOFTMAX3, LogLoss),
        ("calibration {}", 2, SOFTMAX2, Calibration),
        ("expected_calibration_error {}", 1, SIGMOID, ExpectedCalibrationError),
        ("recall {}", 1, SIGMOID, Recall),
        ("precision {}", 2, SOFTMAX2, Precision),
        ("grouped_recall_at_k { grouping_key: 'u' }", 1, SIGMOID, GroupedRecallAtK),
        ("xauc {}", 1, L2, XAUC),
        ("xauc { in_batch: true }", 1, SIGMOID, BatchXAUC),
        ("grouped_xauc { grouping_key: 'u' }", 1, L2, GroupedXAUC),
        ("recall_at_k { top_k: 3 }", 1, ["similarity"], RecallAtK),
    ],
)
def test_metrics_by_name(text, num_class, outputs, cls):
    assert type(make_metric(config(text), num_class, outputs)) is cls
    assert metric_name(config(text)) == text.split()[0]


def test_recall_is_reported_with_its_number():
    assert metric_key(config("recall_at_k { top_k: 7 }")) == "recall@7"
    assert metric_key(config("xauc {}")) == "xauc"


def test_train_metrics_compare_pairs_within_a_batch():
    made = make_train_metric(text_format.Parse("xauc {}", TrainMetricConfig()), 1, L2)
    assert type(made.metric) is BatchXAUC and made.metric.output == "y"


def test_two_classes_are_ranked_by_the_second():
    assert make_metric(config("auc {}"), 2, SOFTMAX2).output == "probs1"
    assert make_metric(config("auc {}"), 1, SIGMOID).output == "probs"


@pytest.mark.parametrize(
    ("text", "num_class", "outputs", "message"),
    [
        ("auc {}", 3, SOFTMAX3, "metric auc needs the probability of one of two classes.*given num_class 3"),
        ("auc {}", 1, L2, "given num_class 1 with outputs y"),
        (
            "accuracy {}",
            1,
            L2,
            r"metric accuracy needs the prediction 'probs' \(from a cross entropy loss\); outputs are y",
        ),
        ("accuracy { top_k: 4 }", 3, SOFTMAX3, "metric accuracy has top_k 4; allowed: 1 to num_class 3"),
        ("mean_squared_error {}", 1, SIGMOID, r"needs the prediction 'y' \(from l2_loss\); outputs are logits, probs"),
        ("multiclass_auc {}", 1, SIGMOID, "metric multiclass_auc needs num_class of 2 or more, given 1; use auc"),
        ("multiclass_auc { average: 'micro' }", 3, SOFTMAX3, "has average 'micro'; allowed: macro and weighted"),
        ("normalized_entropy { eta: 0.5 }", 1, SIGMOID, "has eta 0.5; allowed: 0 up to, not with, 0.5"),
        ("normalized_entropy {}", 1, L2, "metric normalized_entropy needs the probability of one of two classes"),
        ("xauc {}", 3, SOFTMAX3, "metric xauc needs the probability of one of two classes"),
        ("recall_at_k {}", 1, SIGMOID, r"needs the prediction 'similarity' \(from a two-tower model\)"),
        ("recall_at_k { top_k: 0 }", 1, ["similarity"], "metric recall_at_k has top_k 0; allowed: 1 or more"),
        ("", 1, SIGMOID, "a metrics entry is empty; set one of auc"),
    ],
)
def test_metrics_that_do_not_fit(text, num_class, outputs, message):
    with pytest.raises(ConfigError, match=message):
        make_metric(config(text), num_class, outputs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("auc {} decay_rate: 1", "decay_rate 1; allowed: 0 up to, not with, 1"),
        ("auc {} decay_step: 0", "decay_step 0; allowed: 1 or more"),
        ("recall_at_k {}", "metric recall_at_k needs the prediction 'similarity'"),
        ("decay_step: 10", "a train_metrics entry is empty"),
    ],
)
def test_train_metrics_that_do_not_fit(text, message):
    with pytest.raises(ConfigError, match=message):
        make_train_metric(text_format.Parse(text, TrainMetricConfig()), 1, SIGMOID)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("log_loss { eta: 0.6 }", "metric log_loss has eta 0.6; allowed: 0 up to, not with, 0.5"),
        ("expected_calibration_error { bins: 0 }", "metric expected_calibration_error has bins 0; allowed: 1 or more"),
        ("recall { threshold: 2 }", "metric recall has threshold 2; allowed: 0 to 1"),
        ("grouped_recall_at_k { grouping_key: 'u' top_k: 0 }", "metric grouped_recall_at_k has top_k 0"),
    ],
)
def test_numbers_that_make_no_sense(text, said):
    with pytest.raises(ConfigError) as raised:
        make_metric(config(text), 1, SIGMOID)
    assert said in str(raised.value)
