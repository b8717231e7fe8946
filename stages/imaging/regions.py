"""The regions of the atlas, and their shares of the patches of a study.

A region is a site of the lexicon, or one side of it. Shape suffixes: X Y Z template voxel, S sites, C combinations
of sites that a voxel may lie in, R regions, P patches in row-major order of their grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.imaging.atlas import draw_sites
from stages.imaging.grid import Grid
from stages.imaging.region_store import Region
from stages.imaging.template import ORIGIN_MM, SPACING_MM, TemplateMaps

# Sites of the lexicon in its order, and whether they are divided into left and right: those where the lexicon says
# that sides are hardly ever meant are not, nor is the whole brain. A test compares them with the lexicon.
SITES = {
    "frontal_lobe": True,
    "parietal_lobe": True,
    "temporal_lobe": True,
    "occipital_lobe": True,
    "insula": True,
    "basal_ganglia": True,
    "thalamus": True,
    "internal_capsule": True,
    "corona_radiata": True,
    "centrum_semiovale": True,
    "periventricular_white_matter": True,
    "subcortical_white_matter": True,
    "deep_white_matter": True,
    "corpus_callosum": False,
    "brainstem": False,
    "cerebellum": True,
    "lateral_ventricle": True,
    "third_ventricle": False,
    "fourth_ventricle": False,
    "sella": False,
    "pineal": False,
    "extra_axial": True,
    "whole_brain": False,
}
SIDES = ("left", "right")


def list_regions() -> list[Region]:
    """List the regions in their fixed order."""
    places = [(site, side) for site, is_divided in SITES.items() for side in (SIDES if is_divided else (None,))]
    return [
        Region(number, f"{side} {site}" if side else site, site, side) for number, (site, side) in enumerate(places)
    ]


@dataclass(frozen=True)
class RegionMap:
    """Regions in template space.

    The sites that a voxel lies in are one number, so that one look-up finds them all. Which side a point lies on
    is its own MNI x, not its voxel's: left and right of a site share nothing and leave nothing out.

    Attributes:
        combination_XYZ: number of the combination of sites at each voxel; 0 for no site.
        is_in_region_CR: which regions a point of a combination lies in: rows 2c for left of the midline, 2c + 1
            for right of it.
    """

    combination_XYZ: np.ndarray
    is_in_region_CR: np.ndarray

    @classmethod
    def draw(cls, maps: TemplateMaps) -> RegionMap:
        """Draw the regions on the template."""
        drawn = draw_sites(maps)
        bits_XYZ = sum(drawn[site].astype(np.int64) << number for number, site in enumerate(SITES))
        bits_C, combination = np.unique(bits_XYZ, return_inverse=True)
        is_in_site_CS = (bits_C[:, None] >> np.arange(len(SITES)) & 1).astype(bool)
        regions = list_regions()
        sites = list(SITES)
        is_in_region_CR = np.stack(
            [
                is_in_site_CS[:, sites.index(region.site)] & (region.side in (None, side))
                for side in SIDES
                for region in regions
            ],
            axis=1,
        ).reshape(len(bits_C) * len(SIDES), len(regions))
        return cls(np.reshape(combination, np.shape(bits_XYZ)), is_in_region_CR)

    def carry(self, to_mni: np.ndarray, grid: Grid, patch_size: int) -> np.ndarray:
        """Find how much of each patch of a study lies in each region.

        Points are taken on the grid, as close as the template's voxels are or closer.

        Args:
            to_mni: patient RAS mm → MNI mm, 4x4.
            grid: voxels of the study; patches fill it.
            patch_size: edge of a patch in voxels.

        Returns:
            Share times 255, uint8, shape (R, P).
        """
        to_template = np.diag([1 / SPACING_MM] * 3 + [1.0])
        to_template[:3, 3] = -ORIGIN_MM / SPACING_MM
        fine, refinement = refine(grid)
        step = to_template @ to_mni @ fine.affine
        axes = np.meshgrid(*(np.arange(size) for size in fine.shape), indexing="ij", sparse=True)
        points = [step[row, 3] + sum(step[row, axis] * axes[axis] for axis in range(3)) for row in range(3)]
        is_right = points[0] >= -ORIGIN_MM[0] / SPACING_MM
        combinations = 2 * self._look_up(points) + is_right
        edges = [patch_size * factor for factor in refinement]
        patch = patch_numbers(fine.shape, edges)
        num_combinations, num_patches = len(self.is_in_region_CR), int(patch.max()) + 1
        counts_PC = np.bincount(
            (patch * num_combinations + combinations).ravel(), minlength=num_patches * num_combinations
        ).reshape(num_patches, num_combinations)
        share_RP = self.is_in_region_CR.T.astype(np.float32) @ counts_PC.T.astype(np.float32) / np.prod(edges)
        return np.rint(255 * share_RP).astype(np.uint8)

    def _look_up(self, points: list[np.ndarray]) -> np.ndarray:
        """Combination at fractional template voxels; 0 outside the template."""
        # halves go up, where rounding to even would take every second voxel twice
        voxels = [np.floor(axis + 0.5).astype(np.int64) for axis in points]
        is_inside = np.ones(voxels[0].shape, dtype=bool)
        for axis, size in zip(voxels, self.combination_XYZ.shape, strict=True):
            is_inside &= (axis >= 0) & (axis < size)
            np.clip(axis, 0, size - 1, out=axis)
        return np.where(is_inside, self.combination_XYZ[tuple(voxels)], 0)


def refine(grid: Grid) -> tuple[Grid, list[int]]:
    """Divide voxels that are larger than the template's.

    Returns:
        The finer grid, and the points that a voxel became along each axis.
    """
    spacing_mm = np.linalg.norm(grid.affine[:3, :3], axis=0)
    factors = [max(1, int(np.ceil(size / SPACING_MM - 1e-6))) for size in spacing_mm]
    to_coarse = np.diag([*(1 / factor for factor in factors), 1.0])
    to_coarse[:3, 3] = [(1 - factor) / (2 * factor) for factor in factors]
    shape = [size * factor for size, factor in zip(grid.shape, factors, strict=True)]
    return Grid(grid.affine @ to_coarse, (shape[0], shape[1], shape[2])), factors


def patch_numbers(shape: tuple[int, int, int], edges: list[int]) -> np.ndarray:
    """Number of the patch that each voxel lies in, row-major; edges divide the shape."""
    counts = [size // edge for size, edge in zip(shape, edges, strict=True)]
    axes = [np.arange(size) // edge for size, edge in zip(shape, edges, strict=True)]
    along = np.meshgrid(*axes, indexing="ij", sparse=True)
    return (along[0] * counts[1] + along[1]) * counts[2] + along[2]
