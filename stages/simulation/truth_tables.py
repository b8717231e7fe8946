"""Truth as the pipeline reads it: table rows and lesion masks."""

from __future__ import annotations

import gzip
from typing import Any

import nibabel as nib
import numpy as np

from stages.imaging.template import SHAPE, SPACING_MM
from stages.simulation.acquisition import label_map
from stages.simulation.appearance import labels
from stages.simulation.fields import Flags
from stages.simulation.patient import Patient
from stages.simulation.truth import Study

#: voxel size of the template grid that ``template_voxels`` indexes; it starts at the template's corner
TRUTH_SPACING_MM = 4
TRUTH_SHAPE = (44, 54, 43)
MASK_SPACING_MM = 4.0
MASK_SHAPE = (48, 58, 46)

# Findings without a place of their own in a mask.
_UNPAINTED = frozenset({"mass_effect", "midline_shift", "atrophy"})


def study_row(study: Study) -> dict[str, Any]:
    """Row of the table of studies."""
    return {
        "accession_number": study.accession_number,
        "set": study.set,
        "is_normal": study.is_normal,
        "reader": f"reader_{study.reader}",
    }


def label_rows(study: Study) -> list[dict[str, Any]]:
    """Rows of the table of labels, one for each finding code."""
    accession = study.accession_number
    return [{"accession_number": accession, "finding": code, "label": label} for code, label in labels(study).items()]


def lesion_rows(study: Study, patient: Patient) -> list[dict[str, Any]]:
    """Rows of the table of lesions."""
    return [
        {
            "accession_number": study.accession_number,
            "lesion": number,
            "finding": lesion.finding,
            "subtype": lesion.subtype,
            "site": lesion.site,
            "side": lesion.side,
            "size_mm": lesion.size_mm,
            "volume_ml": lesion.volume_ml,
            "signals": [{"sequence": name, "signal": level} for name, level in lesion.signals.items()],
            "template_voxels": _truth_voxels(drawn.voxels),
            "template_shape": list(TRUTH_SHAPE),
        }
        for number, (lesion, drawn) in enumerate(zip(study.lesions, patient.lesions, strict=True))
    ]


def mask_file(patient: Patient) -> bytes:
    """Encode the lesions as a gzipped NIfTI label map in patient space: lesion number + 1, the first on top."""
    template_labels = np.zeros(SHAPE, dtype=np.uint8)
    for number, lesion in reversed(list(enumerate(patient.lesions))):
        if lesion.finding not in _UNPAINTED:
            template_labels[lesion.voxels] = number + 1
    found, affine = label_map(patient.head, template_labels, MASK_SPACING_MM, MASK_SHAPE)
    image = nib.Nifti1Image(found, affine)
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)


def _truth_voxels(voxels: Flags) -> list[int]:
    nearest = [np.rint(TRUTH_SPACING_MM * np.arange(n) / SPACING_MM).astype(int) for n in TRUTH_SHAPE]
    nearest = [np.minimum(index, size - 1) for index, size in zip(nearest, SHAPE, strict=True)]
    sampled = voxels[np.ix_(*nearest)]
    if not sampled.any():
        centre = np.argwhere(voxels).mean(axis=0) * SPACING_MM / TRUTH_SPACING_MM
        return [int(np.ravel_multi_index(tuple(np.rint(centre).astype(int)), TRUTH_SHAPE))]
    return np.flatnonzero(sampled).tolist()
