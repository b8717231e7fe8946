import pytest
import torch

from stages.pretraining.batch import Batch, Facts
from stages.pretraining.objectives.clip import Clip
from stages.pretraining.objectives.clip_labels import ClipLabels
from stages.pretraining.objectives.supervised import Supervised

B, D, C = 5, 4, 3
FACTS = Facts(D, C)


def labelled_batch():
    random = torch.Generator().manual_seed(3)
    return Batch(
        torch.randn(B, D, generator=random),
        torch.randn(B, D, generator=random),
        torch.arange(B),
        None,
        torch.randint(0, 2, (B, C), generator=random).float(),
        torch.rand(B, C, generator=random) < 0.6,
    )


@pytest.mark.parametrize("weight", [0.0, 0.3, 2.0])
def test_it_is_clip_and_the_weighted_loss_of_the_supervised_reference(weight):
    batch, clip = labelled_batch(), Clip(Clip.Params(), FACTS)
    objective = ClipLabels(ClipLabels.Params(label_weight=weight), FACTS)
    supervised = Supervised(Supervised.Params(), FACTS)
    supervised.label_head = objective.label_head
    expected = clip(batch).loss + weight * supervised(batch).loss
    torch.testing.assert_close(objective(batch).loss, expected)


def test_a_batch_without_labels_is_refused():
    batch = Batch(torch.randn(B, D), torch.randn(B, D), torch.arange(B))
    with pytest.raises(ValueError, match="labels: expected a tensor, got None"):
        ClipLabels(ClipLabels.Params(), FACTS)(batch)
