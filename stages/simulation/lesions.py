"""Lesions: placed, shaped and layered in template space.

Arrays have the template's axes R, A, S; left is x < 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from stages.imaging.atlas import LOBES
from stages.imaging.template import ORIGIN_MM, SHAPE, SPACING_MM
from stages.simulation.anatomy import Template
from stages.simulation.diseases import MIDLINE_SITES, Layer, Recipe
from stages.simulation.fields import Flags, Floats, smooth_field

Box = tuple[slice, slice, slice]

_X_MM = (ORIGIN_MM[0] + SPACING_MM * np.arange(SHAPE[0])).astype(np.float32)
_IRREGULARITY = 0.16
# A lesion larger than this many diameters of its site would no longer be in it.
_MAX_SITE_DIAMETERS = 1.3
_SHIFTING_DIAMETER_MM = 28.0
_PRESSING_DIAMETER_MM = 24.0


@dataclass(frozen=True)
class Paint:
    """Matter laid over a box of the template.

    Attributes:
        box: where the box lies.
        share: share of each voxel that is the new matter.
        matter: its name in ``contrast.MATTER``.
        sequence: the one sequence that shows it, for artefacts; None for all.
    """

    box: Box
    share: Floats
    matter: str
    sequence: str | None = None


@dataclass(frozen=True)
class DrawnLesion:
    """A lesion as it lies in the template, before anyone looks at it.

    Attributes:
        paints: what it is made of; empty where it only deforms (mass effect, atrophy).
        voxels: template voxels that it covers.
        centre_mm: of its first focus, MNI mm.
        severity: 0 to 1 for findings that show by shape rather than by signal.
    """

    finding: str
    subtype: str
    site: str | None
    side: str | None
    diameter_mm: float
    paints: tuple[Paint, ...]
    voxels: Flags
    centre_mm: np.ndarray
    severity: float = 0.0

    @property
    def volume_ml(self) -> float:
        """Volume in the template."""
        return float(self.voxels.sum()) * SPACING_MM**3 / 1000


def draw_lesion(template: Template, recipe: Recipe, rng: np.random.Generator, share: float) -> DrawnLesion:
    """Place and shape one lesion.

    Args:
        template: the head in which it is placed.
        recipe: its kind.
        rng: random stream; equal streams place and shape equally, whatever the layers.
        share: how much of the tissue it replaces, 0 to 1; lesions fade as it falls.
    """
    site = recipe.sites[rng.integers(len(recipe.sites))]
    side, half = _draw_side(site, recipe, rng)
    where = np.argwhere(template.regions[site] & half[:, None, None])
    num_foci = int(rng.integers(recipe.foci[0], recipe.foci[1] + 1))
    centres = where[rng.integers(len(where), size=num_foci)]
    limit_mm = _MAX_SITE_DIAMETERS * SPACING_MM * (6 * len(where) / np.pi) ** (1 / 3)
    diameters_mm = _log_uniform(recipe.diameter_mm, num_foci, rng).clip(max=limit_mm)
    allowed = _allowed(template, recipe.confined_to)
    paints: list[Paint] = []
    for centre, diameter_mm in zip(centres, diameters_mm, strict=True):
        kept = half if side in ("left", "right") else np.ones_like(half)
        paints += _draw_focus(centre, diameter_mm / 2, recipe.layers, allowed * kept[:, None, None], rng, share)
    centre_mm = ORIGIN_MM + SPACING_MM * centres[0]
    voxels = covered(paints, centres[0])
    lesion = DrawnLesion(recipe.finding, recipe.subtype, site, side, 0.0, tuple(paints), voxels, centre_mm)
    return replace(lesion, diameter_mm=_measured_mm(voxels, float(diameters_mm.max()), num_foci))


def draw_consequences(
    template: Template, recipe: Recipe, lesion: DrawnLesion, rng: np.random.Generator, share: float
) -> list[DrawnLesion]:
    """Draw what a mass brings with it: oedema, mass effect, midline shift."""
    found = []
    radius_mm = lesion.diameter_mm / 2
    centre = np.round((lesion.centre_mm - ORIGIN_MM) / SPACING_MM).astype(int)
    if recipe.oedema_reach and rng.random() < 0.75:
        reach = recipe.oedema_reach * rng.uniform(0.9, 1.25)
        layer = Layer("oedema", 0, min(reach, 1 + 18 / radius_mm))
        half = _half_of(lesion.side)
        allowed = _allowed(template, "white") * half[:, None, None]
        paints = _draw_focus(centre, radius_mm, (layer,), allowed, rng, share)
        voxels = covered(paints, centre) & ~lesion.voxels
        if voxels.sum() > 8:
            size_mm = _measured_mm(voxels, 2 * radius_mm * layer.outer, 1)
            site = _reported_site(template, lesion, voxels)
            oedema = DrawnLesion("oedema", "vasogenic oedema", site, lesion.side, size_mm, (), voxels, lesion.centre_mm)
            found.append(replace(oedema, paints=tuple(paints)))
    if recipe.growth and lesion.diameter_mm > _PRESSING_DIAMETER_MM:
        found += _displacements(template, lesion)
    return found


def midline_shift_mm(lesion: DrawnLesion) -> float:
    """Displacement of the midline by a mass: grows with its size, none for small or median ones."""
    if lesion.side not in ("left", "right") or abs(lesion.centre_mm[0]) < 10:
        return 0.0
    return float(np.clip((lesion.diameter_mm - _SHIFTING_DIAMETER_MM) * 0.3, 0, 9))


def covered(paints: list[Paint] | tuple[Paint, ...], fallback: np.ndarray | None = None) -> Flags:
    """Voxels that are mostly lesion; the fallback voxel where none is."""
    share = np.zeros(SHAPE, dtype=np.float32)
    for paint in paints:
        share[paint.box] = np.maximum(share[paint.box], paint.share)
    voxels = share > 0.5 * min(1.0, float(share.max(initial=0.0)))
    if fallback is not None and not voxels.any():
        voxels[tuple(fallback)] = True
    return voxels


def lay(volume: Floats, paint: Paint, value: float) -> None:
    """Blend a value into a volume of the template, in place."""
    volume[paint.box] += paint.share * (value - volume[paint.box])


def ball(centre_mm: tuple[float, float, float], radius_mm: float, matter: str, share: float, only: str | None) -> Paint:
    """A round blob, for normal variants and artefacts."""
    centre = np.round((np.array(centre_mm) - ORIGIN_MM) / SPACING_MM).astype(int)
    box, offsets_mm = _box(centre, radius_mm)
    distance_mm = np.linalg.norm(offsets_mm, axis=0)
    return Paint(box, (share * _inside(distance_mm, radius_mm)).astype(np.float32), matter, only)


def _displacements(template: Template, lesion: DrawnLesion) -> list[DrawnLesion]:
    severity = float(np.clip((lesion.diameter_mm - 15) / 40, 0.1, 1))
    site = _reported_site(template, lesion, ndimage.binary_dilation(lesion.voxels))
    pressed = replace(
        lesion, finding="mass_effect", subtype="mass effect", site=site, paints=(), severity=severity, diameter_mm=0.0
    )
    shift_mm = midline_shift_mm(lesion)
    if shift_mm < 2:
        return [pressed]
    shifted = replace(
        pressed,
        finding="midline_shift",
        subtype="midline shift",
        site=None,
        severity=shift_mm / 9,
        diameter_mm=shift_mm,
    )
    return [pressed, shifted]


def _log_uniform(span: tuple[float, float], size: int, rng: np.random.Generator) -> np.ndarray:
    return np.exp(rng.uniform(np.log(span[0]), np.log(span[1]), size=size))


def _draw_side(site: str, recipe: Recipe, rng: np.random.Generator) -> tuple[str, Flags]:
    """Choose a side and the template columns that belong to it."""
    choice = rng.random()
    if site in MIDLINE_SITES:
        return "midline", np.abs(_X_MM) < 8
    if recipe.foci[1] > 1 and choice < 0.7:
        return "bilateral", np.abs(_X_MM) > 3
    side = "left" if rng.random() < 0.5 else "right"
    return side, _half_of(side) & (np.abs(_X_MM) > 3)


def _half_of(side: str | None) -> Flags:
    if side == "left":
        return _X_MM < 0
    return _X_MM > 0 if side == "right" else np.ones(SHAPE[0], dtype=bool)


def _allowed(template: Template, confined_to: str) -> Floats:
    gm, wm = template.tissues[:2]
    if confined_to == "parenchyma":
        return np.clip(1.15 * (gm + wm), 0, 1)
    if confined_to == "white":
        return np.clip(wm + 0.25 * gm, 0, 1)
    if confined_to == "head":
        return np.clip(template.depth_mm / SPACING_MM + 1.0, 0, 1)
    return np.ones(SHAPE, dtype=np.float32)


def _draw_focus(
    centre: np.ndarray,
    radius_mm: float,
    layers: tuple[Layer, ...],
    allowed: Floats,
    rng: np.random.Generator,
    share: float,
) -> list[Paint]:
    """Draw an irregular ellipsoid of concentric layers."""
    outer = max(layer.outer for layer in layers)
    box, offsets_mm = _box(centre, 1.5 * outer * radius_mm)
    stretch = np.exp(rng.normal(0, 0.16, size=3))
    axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    shear = (axes * (stretch / np.cbrt(stretch.prod()))) @ axes.T
    distance_mm = np.linalg.norm(np.tensordot(shear.astype(np.float32), offsets_mm, axes=1), axis=0)
    distance_mm *= 1 + _IRREGULARITY * smooth_field(rng, distance_mm.shape, 4)[0].clip(-2.5, 2.5)
    paints = []
    for layer in layers:
        inside = _inside(distance_mm, layer.outer * radius_mm)
        if layer.inner:
            inside = inside - _inside(distance_mm, layer.inner * radius_mm)
        paints.append(Paint(box, (share * inside * allowed[box]).astype(np.float32), layer.matter))
    return paints


def _box(centre: np.ndarray, reach_mm: float) -> tuple[Box, Floats]:
    """Box of the template around a voxel, and each voxel's offset from it in mm, shape (3, *box)."""
    reach = int(np.ceil(reach_mm / SPACING_MM)) + 1
    spans = [(max(0, c - reach), min(n, c + reach + 1)) for c, n in zip(centre, SHAPE, strict=True)]
    steps = [SPACING_MM * (np.arange(*span, dtype=np.float32) - c) for span, c in zip(spans, centre, strict=True)]
    offsets = np.stack(np.meshgrid(*steps, indexing="ij"))
    box = tuple(slice(*span) for span in spans)
    return (box[0], box[1], box[2]), offsets


def _inside(distance_mm: np.ndarray, radius_mm: float) -> np.ndarray:
    """Share of a voxel within a radius, with an edge as soft as a voxel."""
    return np.clip((radius_mm - distance_mm) / SPACING_MM + 0.5, 0, 1)


def _measured_mm(voxels: Flags, nominal_mm: float, num_foci: int) -> float:
    """Largest diameter: of the cut shape where there is one focus, else of the largest focus."""
    if num_foci > 1:
        return nominal_mm
    where = np.argwhere(voxels) * SPACING_MM
    extents = np.ptp(where @ _DIRECTIONS, axis=0)
    return float(min(extents.max() + 0.7 * SPACING_MM, 1.3 * nominal_mm))


def _reported_site(template: Template, lesion: DrawnLesion, voxels: Flags) -> str | None:
    """Site of what a mass does to the brain: its own, or the lobe beside it where it is no brain site."""
    if lesion.site != "extra_axial":
        return lesion.site
    overlaps = {site: int((template.regions[site] & voxels).sum()) for site in (*LOBES, "cerebellum")}
    best = max(overlaps, key=lambda site: overlaps[site])
    return best if overlaps[best] else lesion.site


def _unit_directions() -> np.ndarray:
    grid = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij")).reshape(3, -1)
    grid = grid[:, np.abs(grid).sum(axis=0) > 0]
    return grid / np.linalg.norm(grid, axis=0)


_DIRECTIONS = _unit_directions()
