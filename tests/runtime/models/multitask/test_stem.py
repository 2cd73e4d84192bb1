"""Which task of STEM teaches which embeddings."""

import pytest


@pytest.mark.parametrize(("task", "loss"), [("ctr", "binary_cross_entropy_ctr"), ("value", "l2_loss_value")])
def test_a_task_teaches_its_own_and_the_shared_embeddings(make_case, model_texts, task, loss):
    case = make_case(model_texts["stem"], size=40)
    model = case.model()
    model.loss(model.predict(case.batch), case.batch)[loss].backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    tables = {name.split(".")[-2] for name in moved if "collections" in name}
    assert tables == {f"{feature}_emb{suffix}" for feature in ("user", "tags", "item") for suffix in ("", f"_{task}")}
    number = {"ctr": 0, "value": 2}[task]
    assert {name.split(".")[1] for name in moved if name.startswith("experts")} == {str(number), "3"}


def test_without_shared_experts_a_task_teaches_nothing_but_its_own(make_case, model_texts):
    case = make_case(model_texts["stem_unshared"], size=40)
    model = case.model()
    model.loss(model.predict(case.batch), case.batch)["l2_loss_value"].backward()
    moved = {
        name.split(".")[-2]
        for name, p in model.named_parameters()
        if "collections" in name and p.grad is not None and p.grad.any()
    }
    assert moved == {f"{feature}_emb_value" for feature in ("user", "tags", "item")}


def test_sequences_of_a_group_are_copied_with_it(make_case, model_texts):
    text = model_texts["stem"].replace(
        "group_type: DEEP }",
        'group_type: DEEP sequence_groups { feature_names: ["item", "seen"] } '
        'sequence_encoders { simple_attention { input: "all" } } }',
        1,
    )
    tables = make_case(text).model().tables
    assert {"item_emb", "item_emb_ctr", "item_emb_stars", "item_emb_value"} <= set(tables)
    assert all("seen" in tables[name].feature_names for name in ("item_emb", "item_emb_ctr"))
