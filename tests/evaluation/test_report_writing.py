import numpy as np
import pytest
import torch
from torch.nn import functional

from stages.evaluation.generation_inputs import find_nearest
from stages.evaluation.report_writing import DecoderParams, ReportMap, Reports, train_decoder
from stages.evaluation.trained_decoder import TrainedDecoder, standardise
from stages.pretraining.vocabulary import Vocabulary

N, D, E = 30, 6, 8
TEXTS = ["Infarct in the left thalamus.", "Mass in the right lobe.\nOedema.", "Normal brain.", "No mass."]
PARAMS = DecoderParams(
    max_tokens=16,
    min_count=1,
    width=16,
    depth=1,
    num_heads=2,
    noise=0.1,
    updates=120,
    batch_size=4,
    optimiser={"learning_rate": 1e-2},
    seed=3,
    num_threads=1,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_map_is_a_ridge_regression_and_a_softmax_over_training_reports():
    image_ND, report_NE, other_BD = draw(N, D) * 3 + 1, draw(N, E, seed=1), draw(4, D, seed=2)
    fitted = ReportMap.fit(image_ND, report_NE, penalty=0.5, temperature=0.2)
    mean, deviation = image_ND.mean(dim=0), image_ND.std(dim=0, correction=0)
    unit = (image_ND - mean) / deviation
    weight = torch.linalg.lstsq(
        torch.cat([unit / N**0.5, 0.5**0.5 * torch.eye(D)]), torch.cat([report_NE / N**0.5, torch.zeros(D, E)])
    ).solution
    for row, image in zip(fitted(other_BD), other_BD, strict=True):
        predicted = (image - mean) / deviation @ weight
        cosines = torch.stack([functional.cosine_similarity(predicted, report, dim=0) for report in report_NE])
        shares = torch.exp(cosines / 0.2) / torch.exp(cosines / 0.2).sum()
        torch.testing.assert_close(row, (shares[:, None] * report_NE).sum(dim=0), rtol=1e-3, atol=1e-4)


def test_the_map_does_not_depend_on_the_scale_of_the_embeddings():
    image_ND, report_NE = draw(N, D), draw(N, E, seed=1)
    one, other = (ReportMap.fit(image_ND * scale, report_NE, 0.5, 0.1)(image_ND * scale) for scale in (1.0, 50.0))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_embeddings_are_centred_on_training():
    given = np.random.default_rng(0).normal(3, 1, (10, E)).astype(np.float32)
    training = np.array([0, 1, 2, 2, 5])
    vectors = standardise(given, training)
    torch.testing.assert_close(vectors[training].mean(dim=0), torch.zeros(E), atol=1e-5, rtol=0)
    assert vectors[training].std().item() == pytest.approx(1, abs=1e-4)


@pytest.fixture(scope="module")
def trained():
    vocabulary = Vocabulary.build(TEXTS, 1)
    vector_NE = draw(len(TEXTS), E)
    decoder, losses = train_decoder(Reports(TEXTS, vector_NE), vocabulary, PARAMS)
    return TrainedDecoder(decoder, vocabulary, vector_NE, {7: 0, 3: 1, 5: 2, 9: 3}), losses


def test_reports_are_written_from_their_embeddings(trained):
    decoder, losses = trained
    written = decoder.vocabulary.decode(decoder.decoder.generate(decoder.vector_NE[:, None]).numpy())
    assert written == TEXTS
    assert losses[-1] < 0.2 < losses[0]


def test_training_again_gives_the_same_decoder(trained):
    again, losses = train_decoder(Reports(TEXTS, trained[0].vector_NE), trained[0].vocabulary, PARAMS)
    assert losses == trained[1]
    for name, values in again.state_dict().items():
        assert torch.equal(values, trained[0].decoder.state_dict()[name])


def test_a_decoder_comes_back_from_its_file(trained, tmp_path):
    trained[0].save(tmp_path / "decoder.safetensors", PARAMS)
    again = TrainedDecoder.load(tmp_path / "decoder.safetensors")
    assert again.vocabulary.words == trained[0].vocabulary.words
    text_ids = np.array([9, 7])
    assert torch.equal(again.vectors(text_ids), trained[0].vectors(text_ids))
    memory = again.vector_NE[:, None]
    assert torch.equal(again.decoder.generate(memory), trained[0].decoder.generate(memory))


def test_the_nearest_image_is_that_of_the_largest_cosine():
    known = torch.tensor([[1.0, 0.0], [0.0, 5.0], [2.0, 0.0]])
    assert find_nearest(torch.tensor([[3.0, 0.1], [0.1, 0.2]]), known) == [0, 1]
