import torch

from stages.pretraining.samples import Embedded, Samples, assemble

B, P, D, M, N = 3, 4, 5, 6, 2


def told():
    return {"text_index_B": torch.tensor([0, 1, 0])}


def test_images_alone_are_images_without_patches():
    image, text = torch.randn(B, D), torch.randn(2, D)
    batch = assemble(Samples({}, {}, told()), Embedded(image, text), progress=0.25)
    assert batch.image_BD is image
    assert batch.text_UD is text
    assert batch.patch_BPD is batch.sentences is batch.regions is None
    assert batch.progress == 0.25


def test_an_objective_without_texts_is_given_one_of_zeros():
    batch = assemble(
        Samples({}, {}, {"text_index_B": torch.zeros(B, dtype=torch.int64)}), Embedded(torch.randn(B, D), None), 1.0
    )
    assert batch.text_UD.tolist() == [[0.0] * D]


def test_patches_stand_behind_their_image():
    image = torch.randn(B, 1 + P, D)
    batch = assemble(Samples({}, {}, told()), Embedded(image, torch.randn(2, D)), 1.0)
    torch.testing.assert_close(batch.image_BD, image[:, 0])
    torch.testing.assert_close(batch.patch_BPD, image[:, 1:])


def test_every_sentence_goes_to_the_reports_that_have_it():
    sentence = torch.randn(M, D)
    index = torch.tensor([[1, 2], [3, 0], [1, 5]])
    more = {name: torch.ones(B, N, dtype=torch.bool) for name in ("is_sentence_BN", "is_finding_BN")}
    more |= {"sentence_BN": index, "meaning_BN": index}
    samples = Samples({}, {}, told() | more)
    batch = assemble(samples, Embedded(torch.randn(B, D), torch.randn(2, D), sentence), 1.0)
    torch.testing.assert_close(batch.sentences.embedding_BND[2, 1], sentence[5])
    torch.testing.assert_close(batch.sentences.meaning_BN, index)
    assert "sentence_BN" in samples.told


def test_everything_moves_to_a_device():
    one = {"x": torch.ones(1)}
    moved = Samples(one, one, one, one, one).to(torch.device("meta"))
    parts = (moved.image_inputs, moved.text_inputs, moved.told, moved.whole_inputs, moved.sentence_inputs)
    assert all(part["x"].is_meta for part in parts)
