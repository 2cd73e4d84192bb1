"""What SIM and DIEN do in training beside their prediction."""

import pytest
import torch
from sklearn.metrics import log_loss


def test_a_soft_search_has_a_loss_of_its_own(make_case, model_texts):
    case = make_case(model_texts["sim"].replace("top_k: 2", "top_k: 2 search_weight: 0.25"), size=30)
    case.config.data_config.ClearField("sample_weight_fields")
    model = case.model()
    predictions = model.predict(case.batch)
    losses = model.loss(predictions, case.batch)
    assert list(losses) == ["binary_cross_entropy", "binary_cross_entropy_search_0"] == model.loss_names
    labels = case.batch.labels["click"].numpy()
    expected = 0.25 * log_loss(labels, predictions["probs_search_0"].detach().double().numpy())
    assert losses["binary_cross_entropy_search_0"].item() == pytest.approx(expected, rel=1e-5)
    losses["binary_cross_entropy_search_0"].backward()
    moved = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"embedding_groups", "sim_towers", "search_outputs"}


def test_a_hard_search_has_none(make_case, model_texts):
    case = make_case(model_texts["sim_hard"])
    model = case.model()
    assert list(model.loss(model.predict(case.batch), case.batch)) == ["binary_cross_entropy"]
    assert len(model.search_outputs) == 0


def test_evaluation_knows_no_search(make_case, model_texts):
    case = make_case(model_texts["sim"])
    model = case.model().eval()
    predictions = model.predict(case.batch)
    assert list(predictions) == ["logits", "probs"] == model.output_names
    assert list(model.loss(predictions, case.batch)) == ["binary_cross_entropy"]


def test_the_auxiliary_loss_teaches_the_interests(make_case, model_texts):
    text = model_texts["dien"].replace("max_seq_length: 3", "max_seq_length: 3 auxiliary_weight: 0.5")
    case = make_case(text, size=30)
    model = case.model()
    torch.manual_seed(3)
    losses = model.loss(model.predict(case.batch), case.batch)
    assert list(losses) == ["binary_cross_entropy", "auxiliary_loss_0"] == model.loss_names
    losses["auxiliary_loss_0"].backward()
    moved = {name.split(".")[2] for name, p in model.named_parameters() if "dien_towers" in name and p.grad is not None}
    assert moved == {"gru"}
    case.config.model_config.dien.dien_towers[0].auxiliary_weight = 1
    whole = case.model()
    torch.manual_seed(3)
    again = whole.loss(whole.predict(case.batch), case.batch)["auxiliary_loss_0"]
    assert again.item() == pytest.approx(2 * losses["auxiliary_loss_0"].item(), rel=1e-5)


def test_training_and_evaluation_predict_alike(make_case, model_texts):
    for name in ("dien", "dien_oldest_first", "sim", "sim_hard", "bst"):
        case = make_case(model_texts[name])
        model = case.model()
        torch.testing.assert_close(model.predict(case.batch)["logits"], model.eval().predict(case.batch)["logits"])
