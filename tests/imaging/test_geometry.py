"""Where voxels lie: in every patient position, under a tilted gantry, and when dcm2niix errs."""

from __future__ import annotations

from pathlib import Path

import dicom_files as df
import nibabel as nib
import numpy as np
import pytest
from failure_classes.case import moved, two_volumes
from failure_classes.contrasts import mosaics

from stages.artifacts import tables
from stages.artifacts.identity import write_new_key
from stages.artifacts.imaging_tables import SERIES
from stages.convert_dicom import main
from stages.imaging.geometry import placed_affine
from stages.imaging.grid import Grid, resample
from stages.imaging.ledger import SetAside
from stages.imaging.volumes import read_image

# Rows and columns in the patient as he lies on his back, face, right and left side, head or feet first.
POSITIONS = {
    "HFS": (1, 0, 0, 0, 1, 0),
    "HFP": (-1, 0, 0, 0, -1, 0),
    "HFDR": (0, -1, 0, 1, 0, 0),
    "HFDL": (0, 1, 0, -1, 0, 0),
    "FFS": (-1, 0, 0, 0, 1, 0),
    "FFP": (1, 0, 0, 0, -1, 0),
    "FFDR": (0, 1, 0, 1, 0, 0),
    "FFDL": (0, -1, 0, -1, 0, 0),
}
ROW, COLUMN, SLICE = 14, 29, 4
BRIGHT = 4000


@pytest.fixture
def convert(tmp_path):
    def run(datasets) -> list[Path]:
        df.write(tmp_path / "dicom", datasets)
        write_new_key(tmp_path / "site.key")
        main(tmp_path / "dicom", tmp_path / "out", tmp_path / "site.key", tmp_path / "work")
        rows = tables.read(tmp_path / "out" / "series.parquet", SERIES).to_pylist()
        return [tmp_path / "out" / row["nifti"] for row in rows]

    return run


def with_landmark(slices) -> np.ndarray:
    """Leave one bright block in dark slices; returns its place in the patient (RAS, mm)."""
    for number, ds in enumerate(slices):
        pixels = np.zeros((df.ROWS, df.COLUMNS), dtype=np.uint16)
        if number == SLICE:
            pixels[ROW, COLUMN] = BRIGHT
        ds.PixelData = pixels.tobytes()
    ds = slices[SLICE]
    cosines = np.array(ds.ImageOrientationPatient, dtype=float)
    vertical, horizontal = map(float, ds.PixelSpacing)
    position = np.array(ds.ImagePositionPatient, dtype=float)
    place = position + cosines[:3] * horizontal * COLUMN + cosines[3:] * vertical * ROW
    return place * [-1, -1, 1]


def brightest_mm(voxels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    index = np.unravel_index(int(np.argmax(voxels)), voxels.shape)
    return (affine @ [*index, 1.0])[:3]


@pytest.mark.parametrize("position", POSITIONS)
def test_a_landmark_keeps_its_place_in_every_patient_position(convert, position):
    slices = df.slices(num=7, PatientPosition=position, ImageOrientationPatient=list(POSITIONS[position]))
    place_mm = with_landmark(slices)
    (path,) = convert(slices)
    image = read_image(path)
    np.testing.assert_allclose(brightest_mm(image.voxels, image.affine), place_mm, atol=0.01)


@pytest.mark.parametrize("orientation", [df.AXIAL, df.CORONAL, df.SAGITTAL, (0.1, 0.995, 0, 0, 0, -1)])
def test_a_landmark_keeps_its_place_when_axes_are_turned(convert, orientation):
    slices = df.slices(num=7, MRAcquisitionType="3D", ImageOrientationPatient=list(orientation))
    place_mm = with_landmark(slices)
    (path,) = convert(slices)
    image = read_image(path)
    np.testing.assert_allclose(brightest_mm(image.voxels, image.affine), place_mm, atol=0.1)


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_landmark_keeps_its_place_under_a_tilted_gantry(convert, is_reversed):
    slices = [moved(ds, 0.0, 1.08 * n, 0.0) for n, ds in enumerate(df.slices(num=9, GantryDetectorTilt=-15.0))]
    place_mm = with_landmark(slices)
    for number, ds in enumerate(slices):
        ds.InstanceNumber = 9 - number if is_reversed else number + 1
    (path,) = convert(slices)
    image = read_image(path)
    np.testing.assert_allclose(brightest_mm(image.voxels, image.affine), place_mm, atol=0.01)
    assert nib.load(path).header.get_zooms()[2] == pytest.approx(np.hypot(4.0, 1.08), abs=1e-3)
    grid = Grid.centred(place_mm, (1.0, 1.0, 1.0), (21, 21, 21))
    values, _ = resample(image, grid)
    np.testing.assert_allclose(brightest_mm(values, grid.affine), place_mm, atol=1.0)


def test_acquisitions_of_one_series_become_volumes_of_their_own(convert):
    slices = two_volumes({}, {"ContrastBolusAgent": "gadobutrol"}, EchoTime=10.0, RepetitionTime=500.0)
    paths = convert(slices)
    found = [np.asarray(nib.load(path).dataobj) for path in paths]
    for voxels, volume in zip(found, (slices[:6], slices[6:]), strict=True):
        np.testing.assert_array_equal(voxels, df.volume(volume))


def test_repeated_instance_numbers_do_not_mix_repeated_volumes(convert):
    volumes = [df.slices(num=5, seed=n, AcquisitionNumber=n + 1, ScanningSequence="EP") for n in range(6)]
    for volume in volumes:
        for ds in volume:
            for name in ("StudyInstanceUID", "SeriesInstanceUID"):
                setattr(ds, name, volumes[0][0][name].value)
    (path,) = convert([ds for volume in volumes for ds in volume])
    image = nib.load(path)
    np.testing.assert_allclose(image.affine[:3, 2], [0, 0, 4], atol=1e-4)
    found = np.asarray(image.dataobj)
    for number, volume in enumerate(volumes):
        np.testing.assert_array_equal(found[..., number], df.volume(volume))


def affine(columns, origin=(0.0, 0.0, 0.0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(columns, dtype=float).T
    matrix[:3, 3] = origin
    return matrix


def turned(matrix, origin) -> np.ndarray:
    """The same slices from the last to the first."""
    return matrix * [1, 1, -1, 0] + affine(np.zeros((3, 3)), origin) * [0, 0, 0, 1]


SHAPE = (10, 10, 11)
STRAIGHT = affine([(1, 0, 0), (0, 1, 0), (0, 0, 4)])
ASKEW = affine([(1, 0, 0), (0, 1, 0), (0, 1, 4)])


def test_a_volume_in_its_place_is_left_alone():
    backwards = affine([(1, 0, 0), (0, -1, 0), (0, 0, -4)], (0, 9, 40))
    assert placed_affine(backwards, SHAPE, as_rows(STRAIGHT)) is backwards


@pytest.mark.parametrize(
    ("found", "corrected"),
    [
        (STRAIGHT, ASKEW),
        (affine([(1, 0, 0), (0, 1, 0), (0, 0, 4.04)]), ASKEW),
        (turned(STRAIGHT, (0, 10, 40)), turned(ASKEW, (0, 10, 40))),
    ],
)  # fmt: skip
def test_shear_and_rounded_gaps_are_put_right(found, corrected):
    np.testing.assert_allclose(placed_affine(found, SHAPE, as_rows(ASKEW)), corrected, atol=1e-9)


@pytest.mark.parametrize(
    "found",
    [
        affine([(1, 0, 0), (0, 1, 0), (0, 0, 0)]),
        affine([(1, 0, 0), (0, 1, 0), (0, 0, 8)]),
        affine([(2, 0, 0), (0, 1, 0), (0, 0, 4)]),
        affine([(1, 0, 0), (0, 1, 0), (0, 0, 4)], (0, 0, 5)),
    ],
)
def test_a_volume_elsewhere_is_set_aside(found):
    with pytest.raises(SetAside, match="does not lie where"):
        placed_affine(found, SHAPE, as_rows(STRAIGHT))


def as_rows(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in matrix)


def test_the_tiles_of_mosaics_become_slices(convert):
    images = mosaics()
    (path,) = convert(images)
    image = nib.load(path)
    assert image.shape == (22, 24, 9, 2)
    for number, ds in enumerate(images):
        pixels = np.frombuffer(ds.PixelData, np.uint16).reshape(df.ROWS, df.COLUMNS)
        for tile in range(9):
            row, column = 24 * (tile // 3), 22 * (tile % 3)
            expected = pixels[row : row + 24, column : column + 22][::-1].T
            np.testing.assert_array_equal(np.asarray(image.dataobj)[:, :, tile, number], expected)
