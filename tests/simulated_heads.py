"""Heads whose place in the template is known: drawn, imaged and prepared as those of the default cohort."""

from functools import cache

import numpy as np

from stages.imaging.grid import Grid, Image, head_centre_mm
from stages.imaging.template import ORIGIN_MM, SHAPE, SPACING_MM
from stages.imaging.volumes import VolumeParams, prepare_volume
from stages.params import load
from stages.simulation.acquisition import acquire, plan_slices
from stages.simulation.anatomy import load_template
from stages.simulation.cohort import CohortParams, StudyKey, draw_visit
from stages.simulation.contrast import draw_protocol
from stages.simulation.patient import draw_patient

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


@cache
def template():
    """The template of the simulator, loaded once."""
    return load_template()


@cache
def patient(index):
    """One patient of the development set, with lesions and all."""
    params = load("simulate_cohort", CohortParams)
    return draw_patient(params, template(), draw_visit(params, StudyKey("development", index)))


@cache
def volume(index, sequence="T1"):
    """Prepared volume (uint8; R, A, S) of a patient, and its grid."""
    values = load("prepare_volumes", VolumeParams)
    rng = np.random.default_rng(index)
    slices = plan_slices("axial", 4.0, rng)
    protocol = draw_protocol(sequence, 3.0, rng)
    voxels = acquire(patient(index).head, patient(index).paints(), protocol, slices, rng, snr=30.0)
    directions = (slices.normal, slices.column_direction, slices.row_direction)
    spacings = (slices.spacing_mm[2], slices.spacing_mm[0], slices.spacing_mm[1])
    affine = np.eye(4)
    affine[:3, :3] = np.stack([LPS_TO_RAS * d * s for d, s in zip(directions, spacings, strict=True)], axis=1)
    affine[:3, 3] = LPS_TO_RAS * slices.origin_mm
    image = Image(voxels, affine)
    centre_mm = head_centre_mm(image, values.spacing_mm[2] * values.shape[2])
    grid = Grid.centred(centre_mm, values.spacing_mm, values.shape)
    return prepare_volume(image, grid, values.percentiles)[0], grid


@cache
def landmarks(index):
    """Points all over the brain: patient RAS mm and the MNI mm where they come from, both (N, 3)."""
    axis_mm = np.arange(-96.0, 97.0, 8.0)
    points = np.stack(np.meshgrid(axis_mm, axis_mm, axis_mm, indexing="ij")).reshape(3, -1).astype(np.float32)
    voxels = patient(index).head.to_template(points)
    nearest = np.rint(voxels).astype(int)
    is_inside = ((nearest >= 0) & (nearest < np.array(SHAPE)[:, None])).all(axis=0)
    is_inside[is_inside] = template().regions["whole_brain"][tuple(nearest[:, is_inside])]
    return points[:, is_inside].T, voxels[:, is_inside].T * SPACING_MM + ORIGIN_MM


def error_mm(index, to_mni):
    """Mean distance between where an affine puts the landmarks of a patient and where they belong."""
    patient_mm, mni_mm = landmarks(index)
    return np.linalg.norm(patient_mm @ to_mni[:3, :3].T + to_mni[:3, 3] - mni_mm, axis=1).mean()


def true_affine(index):
    """The affine that puts the landmarks of a patient where they belong as well as any."""
    patient_mm, mni_mm = landmarks(index)
    solution = np.linalg.lstsq(np.c_[patient_mm, np.ones(len(patient_mm))], mni_mm, rcond=None)[0]
    return np.vstack([solution.T, [0, 0, 0, 1]])
