import io

import numpy as np
import pydicom
import pytest

from stages.params import load
from stages.simulation.acquisition import plan_slices
from stages.simulation.cohort import CohortParams, StudyKey, draw_visit
from stages.simulation.dicom_writer import TRANSFER_SYNTAXES, SeriesWriter, SliceFile
from stages.simulation.headers import make_uid, series_header


@pytest.fixture(scope="module")
def visit():
    return draw_visit(load("simulate_cohort", CohortParams), StudyKey("development", 0))


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES)
@pytest.mark.parametrize("orientation", ["axial", "sagittal", "coronal"])
def test_spliced_files_read_back(visit, syntax, orientation):
    rng = np.random.default_rng(1)
    stack = plan_slices(orientation, 4.0, rng, 3)
    writer = SeriesWriter(series_header(visit, visit.protocols[0], stack, 4, "primary"), stack.shape[1:], syntax)
    pixels = rng.integers(0, 4096, size=stack.shape[1:]).astype(np.uint16)
    for number, position_mm in enumerate(stack.positions_mm(), start=1):
        one = SliceFile(make_uid(str(number)), number, position_mm, stack.row_direction, stack.column_direction, pixels)
        read = pydicom.dcmread(io.BytesIO(writer.encode(one)))
        assert read.file_meta.TransferSyntaxUID == TRANSFER_SYNTAXES[syntax]
        assert read.SOPInstanceUID == read.file_meta.MediaStorageSOPInstanceUID == make_uid(str(number))
        assert read.InstanceNumber == number
        assert np.allclose(np.array(read.ImagePositionPatient, float), position_mm, atol=1e-4)
        directions = [*stack.row_direction, *stack.column_direction]
        assert np.allclose(np.array(read.ImageOrientationPatient, float), directions, atol=1e-8)
        assert np.array_equal(read.pixel_array, pixels)
        assert read.AccessionNumber == visit.accession_number


def test_a_value_out_of_range_is_refused(visit):
    stack = plan_slices("axial", 4.0, np.random.default_rng(1), 1)
    writer = SeriesWriter(series_header(visit, visit.protocols[0], stack, 1, "primary"), stack.shape[1:], "explicit")
    pixels = np.zeros(stack.shape[1:], np.uint16)
    directions = (stack.row_direction, stack.column_direction)
    with pytest.raises(ValueError, match="out of range"):
        writer.encode(SliceFile("2.25.1", 1, np.zeros(3), *directions, pixels))


def test_slices_are_orthogonal_and_centred():
    for orientation in ("axial", "sagittal", "coronal"):
        stack = plan_slices(orientation, 4.0, np.random.default_rng(2))
        axes = np.stack([stack.row_direction, stack.column_direction, stack.normal])
        assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-9)
        assert np.linalg.norm(stack.points_ras_mm(0.0).mean(axis=1)) < 10
