"""Examples for the figures: which studies are shown, and what each objective makes of them.

Shape suffixes: X stands for the spatial axes of the volume grid (R, A, S).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from stages.evaluation import grounding
from stages.evaluation.grounding_inputs import GroundingInputs, patch_grid
from stages.evaluation.grounding_maps import phrase_vectors, read_images, similarity_maps
from stages.evaluation.localisation import PROMPT, Case, LocalisationParams
from stages.evaluation.saliency import FindingScore, occlude
from stages.params import Params
from stages.pretraining.embedding import embed_texts
from stages.pretraining.export import exported_seeds, load_config, load_encoders
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.towers import Towers


class ExampleParams(Params):
    """Section ``draw_saliency``.

    Attributes:
        publish_examples: whether images of a real cohort may be shown.
        objectives: columns of the figures; those that are not trained, or not on texts, are left out.
        seed: of the pretraining.
        split: split that the studies are of.
        findings: one study each, a row of the figures.
        backgrounds: sequence that maps are laid over, the first that the study has.
    """

    publish_examples: bool
    objectives: list[str]
    seed: int
    split: str
    findings: list[str]
    backgrounds: list[str]


@dataclass(frozen=True)
class Example:
    """One study of the figures.

    Attributes:
        case: the finding that is looked for.
        sequence: of the background.
        background_X: volume, uint8.
        mask_X: its lesions.
        spacing_mm: of the voxels.
    """

    case: Case
    sequence: str
    background_X: np.ndarray
    mask_X: np.ndarray
    spacing_mm: tuple[float, ...]

    @property
    def slice_index(self) -> int:
        """Axial slice that shows most of the lesions, the lowest of several."""
        return int(self.mask_X.sum(axis=(0, 1)).argmax())


@dataclass(frozen=True)
class Overlay:
    """A map over an example.

    Attributes:
        values_X: value of each voxel, NaN where there is none.
        caption: a few words about it.
        marked_X: voxels that are outlined.
    """

    values_X: np.ndarray
    caption: str
    marked_X: np.ndarray


@dataclass(frozen=True)
class Examples:
    """All that the figures show.

    Attributes:
        rows: studies.
        grounding: by objective, the similarity map of each study.
        saliency: by objective, the saliency map of each study.
    """

    rows: list[Example]
    grounding: dict[str, list[Overlay]]
    saliency: dict[str, list[Overlay]]

    @classmethod
    def collect(
        cls, models: Mapping[str, Path], inputs: GroundingInputs, params: ExampleParams, shared: LocalisationParams
    ) -> Examples:
        """Read the studies and make every map.

        Args:
            models: folder of exported encoders of each objective.
            inputs: the chosen cases.
            params: of the figures.
            shared: of the evaluation that they illustrate.
        """
        rows = [read_example(inputs, case, params.backgrounds) for case in inputs.cases]
        similar, salient = {}, {}
        for name, model in models.items():
            towers = load_encoders(model, params.seed)
            bank = inputs.open_bank(model, len(towers.config.sequences), max_resident_gib=0)
            similar[name] = overlay_grounding(towers, bank, inputs, shared)
            salient[name] = overlay_saliency(towers, bank, inputs, shared)
        return cls(rows, similar, salient)


def find_models(models: Path, params: ExampleParams) -> list[str]:
    """Objectives that have encoders of the seed in one space with texts, in the declared order."""
    present = [name for name in params.objectives if params.seed in exported_seeds(models / name)]
    return [name for name in present if load_config(models / name).aligns_text]


def choose_cases(inputs: GroundingInputs, findings: Sequence[str]) -> GroundingInputs:
    """Keep one case of each finding: the first study, in the order of the reports, not chosen before.

    The choice sees masks and prompts, and nothing that any method makes of them.
    """
    chosen: list[int] = []
    for finding in findings:
        taken = {inputs.cases[number].study_id for number in chosen}
        for number, (case, is_known) in enumerate(zip(inputs.cases, inputs.has_phrase(PROMPT), strict=True)):
            if case.finding == finding and is_known and case.study_id not in taken:
                chosen.append(number)
                break
    return replace(
        inputs,
        cases=[inputs.cases[number] for number in chosen],
        sentences=[inputs.sentences[number] for number in chosen],
    )


def read_example(inputs: GroundingInputs, case: Case, backgrounds: Sequence[str]) -> Example:
    """Read what is drawn of a study: the first of some sequences that it has, or any."""
    rows = [row for row in inputs.store.table.to_pylist() if row["study_id"] == case.study_id and row["is_selected"]]
    order = {name: place for place, name in enumerate(backgrounds)}
    row = min(rows, key=lambda row: order.get(row["sequence"], len(order)))
    affine = np.array(row["affine"]).reshape(4, 4)
    return Example(
        case,
        row["sequence"],
        inputs.store.read(row["series_id"]),
        inputs.masks.mask(case.study_id, case.finding),
        tuple(np.linalg.norm(affine[:3, :3], axis=0).tolist()),
    )


def overlay_grounding(
    towers: Towers, bank: ImageBank, inputs: GroundingInputs, params: LocalisationParams
) -> list[Overlay]:
    """Similarity of patches to the prompts of each case, in deviations from the mean over the head."""
    grid = patch_grid(towers)
    vectors = {PROMPT: phrase_vectors(towers, inputs, params)[PROMPT]}
    overlays = []
    for case, map_P in zip(
        inputs.cases, similarity_maps(towers, bank, inputs.cases, vectors, params.batch_size)[PROMPT], strict=True
    ):
        assert map_P is not None, "cases without prompts are not chosen"
        scores_P = grounding.standardise(map_P)
        values_G = np.full(int(np.prod(grid.grid)), np.nan)
        values_G[case.target.patches_P] = scores_P
        is_hit = grounding.pointing_game(scores_P, case.target.is_positive(params.min_covered)) > 0
        caption = f"peak {scores_P.max():.1f}, {'in the lesion' if is_hit else 'elsewhere'}"
        overlays.append(Overlay(grid.paint(values_G), caption, grid.paint(values_G == scores_P.max())))
    return overlays


def overlay_saliency(
    towers: Towers, bank: ImageBank, inputs: GroundingInputs, params: LocalisationParams
) -> list[Overlay]:
    """Fall of the zero-shot score of each case under occlusion, as a share of the map's largest change."""
    prompts = embed_texts(
        towers, inputs.text_inputs, "prompt", np.arange(inputs.prompts.num_prompts), params.batch_size
    )
    directions = inputs.prompts.vectors(prompts, is_difference=True)
    grid = patch_grid(towers)
    box = [-(-size // count) for size, count in zip(grid.shape, grid.grid, strict=True)]
    overlays = []
    for case in inputs.cases:
        falls, scores = [], []
        for row in case.rows:
            volumes_1SX, is_present_1S = read_images(bank, [row])
            score = FindingScore(towers.image, torch.from_numpy(directions[case.finding]), is_present_1S)
            fall_X, whole = occlude(score, volumes_1SX, box, params.batch_size)
            falls.append(fall_X)
            scores.append(whole)
        fall_X = np.mean(falls, axis=0)
        largest = float(np.abs(fall_X).max())
        caption = f"score {np.mean(scores):+.3f}\nlargest change {largest:.3f}"
        overlays.append(Overlay(fall_X / (largest or 1.0), caption, np.abs(fall_X) == largest))
    return overlays
