"""A cohort in memory whose images show what their labels say: bright cubes at places of their own."""

import numpy as np

from stages.evaluation.embeddings import Images
from stages.evaluation.labels import Labels
from stages.evaluation.scorings import Cohort
from stages.pretraining.encoders import ImageEncoderParams, build_image_encoder
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.towers import seeded

SHAPE = (8, 8, 8)
CLASSES = ("cyst", "mass")
SIZES = {"train": 96, "validation": 40, "test": 60}


class Voxels:
    """Volumes by their names."""

    def __init__(self, volumes):
        self._volumes = volumes

    def read(self, series_id):
        return self._volumes[series_id]


def make_cohort(seed=0):
    """Images of two sequences, one of which some studies lack, and a cohort that is labelled by cubes in them."""
    rng = np.random.default_rng(seed)
    splits = [split for split, size in SIZES.items() for _ in range(size)]
    labels = (rng.random((len(splits), len(CLASSES))) < 0.4).astype(float)
    volumes, series = {}, []
    for n, row in enumerate(labels):
        voxels = rng.integers(40, 100, (2, *SHAPE)).astype(np.uint8)
        for c in np.flatnonzero(row):
            at = tuple(slice(start, start + 3) for start in rng.integers(0, 5, 3))
            voxels[(c, *at)] += 120
        kept = (0, 1) if n % 5 else (0,)
        labels[n, [c for c in (0, 1) if c not in kept]] = np.nan
        volumes |= {f"{n}/{s}": voxels[s] for s in kept}
        series.append({s: f"{n}/{s}" for s in kept})
    training = np.flatnonzero(np.array(splits) == "train")
    bank = ImageBank(Voxels(volumes), series, 2, standardise_by=training, max_resident_gib=1.0)
    studies = [f"study{n}" for n in range(len(splits))]
    images = Images(studies, [f"patient{n}" for n in range(len(splits))], splits, [None] * len(splits))
    known = Labels(list(CLASSES), dict(zip(studies, labels, strict=True)))
    return bank, Cohort.build(images, known)


def make_encoder(seed=0):
    """Encoder as it is drawn."""
    params = ImageEncoderParams(stem_width=8, fine_width=16, width=32)
    with seeded(seed, 1):
        return build_image_encoder(params, num_sequences=2, shape=SHAPE, embedding_dim=16).eval().requires_grad_(False)
