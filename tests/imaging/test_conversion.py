"""What becomes of a series when dcm2niix errs or loses slices."""

from __future__ import annotations

import io

import nibabel as nib
import numpy as np
import pytest

from stages.imaging import conversion
from stages.imaging.conversion import Job
from stages.imaging.ledger import SetAside

AFFINE = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def volume(shape=(4, 4, 4), shift_mm=0.0) -> bytes:
    affine = np.eye(4)
    affine[2, 3] = shift_mm
    file = io.BytesIO()
    image = nib.Nifti1Image(np.zeros(shape, np.int16), affine)
    image.to_file_map({"header": nib.FileHolder(fileobj=file), "image": nib.FileHolder(fileobj=file)})
    return file.getvalue()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [(volume((4, 4, 3)), "conversion_incomplete"), (volume(shift_mm=9.0), "conversion_misplaced")],
)
def test_a_volume_of_other_size_or_place_is_not_used(raw, reason):
    with pytest.raises(SetAside, match="volume") as outcome:
        conversion._anonymous(raw, Job(0, "0", (), 64, AFFINE))
    assert outcome.value.reason == reason


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('touch "${10}/volume.nii" "${10}/volumea.nii"', "conversion_ambiguous"),
        ('touch "${10}/volume_Tilt_1.nii"', "conversion_failed"),
    ],
)
def test_a_converter_that_is_undecided_costs_one_series(tmp_path, monkeypatch, script, reason):
    binary = tmp_path / "dcm2niix"
    binary.write_text(f"#!/bin/sh\nexec 2>&1\n{script}\n")
    binary.chmod(0o755)
    monkeypatch.setattr(conversion, "_binary", lambda: binary)
    with pytest.raises(SetAside, match="dcm2niix") as outcome:
        conversion._run_dcm2niix(tmp_path, tmp_path, num_bytes=0)
    assert outcome.value.reason == reason
