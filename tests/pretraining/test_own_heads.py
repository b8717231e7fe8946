import pytest
import torch
from torch import nn

from stages.params import Params as BaseParams
from stages.pretraining import own_heads
from stages.pretraining.batch import Facts
from stages.pretraining.own_heads import OwnHeads, export_heads, has_own_heads, is_exported, load_heads
from stages.pretraining.vocabulary import Vocabulary


class Headed(nn.Module):
    class Params(BaseParams):
        width: int = 3

    has_own_heads = True

    def __init__(self, params, facts):
        super().__init__()
        self.head = nn.Linear(params.width, len(facts.regions))
        self.register_buffer("known", facts.definition_FE, persistent=False)


FACTS = Facts(5, regions=("left x", "y"), findings=("a",), definition_FE=torch.ones(1, 4), vocabulary_size=6)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(own_heads, "find_objective", lambda method: {"headed": Headed}[method])
    params = Headed.Params(width=2)
    for seed in (0, 1):
        torch.manual_seed(seed)
        heads = OwnHeads(Headed(params, FACTS), FACTS, Vocabulary(["one", "two"]))
        export_heads(tmp_path, heads, "headed", params, seed)
    return tmp_path


def test_heads_are_built_again_with_what_they_were_built_with(folder):
    loaded = load_heads(folder, 1)
    torch.manual_seed(1)
    expected = Headed(Headed.Params(width=2), FACTS)
    torch.testing.assert_close(loaded.objective.state_dict(), expected.state_dict())
    torch.testing.assert_close(loaded.objective.known, FACTS.definition_FE)
    assert not loaded.objective.training
    assert (loaded.facts.regions, loaded.facts.findings) == (FACTS.regions, FACTS.findings)
    assert loaded.vocabulary.words == ("one", "two")


def test_seeds_are_told_apart(folder):
    weights = [load_heads(folder, seed).objective.head.weight for seed in (0, 1)]
    assert not torch.equal(*weights)


def test_only_who_says_so_has_heads(folder):
    assert has_own_heads(Headed)
    assert not has_own_heads(nn.Linear)
    assert is_exported(folder)


def test_a_folder_without_heads_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no exported objective; rerun the pretrain stage"):
        load_heads(tmp_path, 0)
