"""Geometry, scaling, choice and caching of prepared volumes."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from stages.imaging.grid import Grid, Image, head_centre_mm, resample
from stages.imaging.preparation import assemble, forget_unused, plan_studies, prepare_missing
from stages.imaging.quality import otsu_threshold, tilt_deg
from stages.imaging.volumes import VolumeParams, prepare_study, prepare_volume, read_image, select_volumes

PARAMS = VolumeParams(
    spacing_mm=(4.0, 4.0, 4.0),
    shape=(40, 48, 40),
    percentiles=(0.1, 99.9),
    min_coverage=0.3,
    shard_prefix_digits=1,
    num_montages=1,
)
HEAD_MM = np.array([12.0, -20.0, 35.0])
LANDMARK_MM = HEAD_MM + [30.0, 10.0, -20.0]


def rotation(degrees: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        turn = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


def affine_around(centre_mm, axes, spacing_mm, shape) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = axes * np.asarray(spacing_mm)
    affine[:3, 3] = centre_mm - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return affine


def phantom(affine: np.ndarray, shape: tuple[int, int, int]) -> Image:
    """An ellipsoid head, brighter to the right front, with one bright ball, sampled in scanner space."""
    indices = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    points = indices @ affine[:3, :3].T + affine[:3, 3]
    head = (((points - HEAD_MM) / [60.0, 75.0, 55.0]) ** 2).sum(-1) < 1
    ball = ((points - LANDMARK_MM) ** 2).sum(-1) < 12.0**2
    tissue = head * (300.0 + points @ [2.0, 1.0, -1.0])
    return Image((tissue + 700.0 * ball).astype(np.float32), affine)


# axial, sagittal with reversed slices, oblique coronal: storage order and direction all differ
GEOMETRIES = {
    "axial": (np.eye(3), (1.0, 1.0, 5.0), (190, 200, 30)),
    "reversed_sagittal": (np.array([[0, 0, -1.0], [1, 0, 0], [0, -1, 0]]), (1.5, 1.5, 3.0), (130, 110, 55)),
    "oblique": (rotation((20, -12, 8)) @ np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]]), (2, 1, 4), (90, 180, 50)),
}


def centre_of_bright(volume: np.ndarray, affine: np.ndarray, threshold: float) -> np.ndarray:
    indices = np.argwhere(volume > threshold)
    return indices.mean(axis=0) @ affine[:3, :3].T + affine[:3, 3]


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_landmark_keeps_its_world_coordinates(tmp_path: Path, name: str) -> None:
    axes, spacing, shape = GEOMETRIES[name]
    image = phantom(affine_around(HEAD_MM, axes, spacing, shape), shape)
    nib.save(nib.Nifti1Image(image.voxels, image.affine), tmp_path / "image.nii.gz")

    [(volume, figures)] = prepare_study([tmp_path / "image.nii.gz"], ["T1"], PARAMS)

    affine = np.array(figures.affine).reshape(4, 4)
    assert volume.dtype == np.uint8
    assert volume.shape == PARAMS.shape
    np.testing.assert_allclose(affine[:3, :3], np.diag(PARAMS.spacing_mm))
    np.testing.assert_allclose(centre_of_bright(volume, affine, 180), LANDMARK_MM, atol=1.0)


def test_all_series_of_a_study_lie_on_one_grid_and_coincide(tmp_path: Path) -> None:
    paths = []
    for name, (axes, spacing, shape) in GEOMETRIES.items():
        image = phantom(affine_around(HEAD_MM, axes, spacing, shape), shape)
        paths.append(tmp_path / f"{name}.nii.gz")
        nib.save(nib.Nifti1Image(image.voxels, image.affine), paths[-1])
    prepared = prepare_study(paths, ["T1", "T2", "FLAIR"], PARAMS)
    assert len({tuple(figures.affine) for _, figures in prepared}) == 1
    first = prepared[0][0].ravel()
    for volume, _ in prepared[1:]:
        assert np.corrcoef(first, volume.ravel())[0, 1] > 0.95


def test_the_grid_is_centred_on_the_head_and_ignores_the_neck() -> None:
    shape = (80, 90, 150)
    affine = affine_around(HEAD_MM - [0, 0, 60.0], np.eye(3), (2.0, 2.0, 2.0), shape)
    image = phantom(affine, shape)
    np.testing.assert_allclose(head_centre_mm(image, 160.0), HEAD_MM, atol=3.0)
    image.voxels[30:50, 30:50, :60] = 300.0  # a neck down to the edge
    assert abs(head_centre_mm(image, 110.0)[2] - HEAD_MM[2]) < 4.0


def test_downsampling_averages_instead_of_aliasing() -> None:
    fine = np.indices((64, 64, 64)).sum(axis=0) % 2 * 100.0
    image = Image(fine.astype(np.float32), np.eye(4))
    grid = Grid.centred(np.full(3, 31.5), (5.0, 5.0, 5.0), (8, 8, 8))
    values, is_inside = resample(image, grid)
    assert is_inside.all()
    np.testing.assert_allclose(values, 50.0, atol=1.0)


def test_resampling_is_exact_for_linear_images() -> None:
    axes, spacing, shape = rotation((10, 5, -7)), (1.3, 0.9, 2.0), (60, 80, 40)
    affine = affine_around(np.zeros(3), axes, spacing, shape)
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) @ affine[:3, :3].T + affine[:3, 3]
    image = Image((points @ [1.0, -2.0, 0.5]).astype(np.float32), affine)
    grid = Grid.centred(np.zeros(3), (3.0, 3.0, 3.0), (6, 7, 5))
    values, _ = resample(image, grid)
    expected = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1) * 3.0 + grid.affine[:3, 3]
    np.testing.assert_allclose(values, expected @ [1.0, -2.0, 0.5], atol=0.05)


def test_space_that_a_series_does_not_cover_is_zero_and_counted() -> None:
    image = Image(np.full((20, 20, 5), 7.0, dtype=np.float32), np.diag([4.0, 4.0, 4.0, 1.0]))
    image.voxels[0, 0, 0] = 1.0
    grid = Grid(np.diag([4.0, 4.0, 4.0, 1.0]), (20, 20, 10))
    volume, figures = prepare_volume(image, grid, (0.1, 99.9))
    assert figures.coverage == pytest.approx(0.5)
    assert (volume[:, :, 5:] == 0).all()
    assert (volume[5:, 5:, :5] == 255).all()


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_a_constant_image_gives_zeros_and_says_so(value: float) -> None:
    image = Image(np.full((10, 10, 10), value, dtype=np.float32), np.eye(4))
    volume, figures = prepare_volume(image, Grid(np.eye(4), (10, 10, 10)), (0.1, 99.9))
    assert figures.is_constant
    assert figures.signal_to_noise is None
    assert not volume.any()


def test_scaling_ignores_outliers() -> None:
    rng = np.random.default_rng(0)
    voxels = rng.uniform(100, 200, (30, 30, 30)).astype(np.float32)
    voxels[0, 0, :5] = 1e6
    _, figures = prepare_volume(Image(voxels, np.eye(4)), Grid(np.eye(4), (30, 30, 30)), (0.1, 99.9))
    assert 99 < figures.intensity_low < 101
    assert 199 < figures.intensity_high < 201
    assert figures.clipped_fraction == pytest.approx(0.002, abs=0.001)


def test_repeats_are_averaged_and_values_that_are_not_finite_removed(tmp_path: Path) -> None:
    voxels = np.stack([np.full((4, 5, 6), 1.0), np.full((4, 5, 6), 3.0)], axis=-1).astype(np.float32)
    voxels[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "repeats.nii.gz")
    image = read_image(tmp_path / "repeats.nii.gz")
    assert image.voxels.shape == (4, 5, 6)
    assert image.voxels[1, 1, 1] == 2.0
    assert image.voxels[0, 0, 0] == 0.0


def test_a_flat_image_and_a_singular_affine_are_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((4, 5), dtype=np.float32), np.eye(4)), tmp_path / "flat.nii")
    with pytest.raises(ValueError, match="expected three axes"):
        read_image(tmp_path / "flat.nii")
    header = nib.Nifti1Header()
    header.set_data_shape((4, 5, 6))
    header["sform_code"], header["srow_y"], header["srow_z"] = 2, [0, 1, 0, 1], [0, 0, 1, 1]
    (tmp_path / "thin.nii").write_bytes(header.binaryblock + bytes(4 + 4 * 5 * 6 * 4))
    with pytest.raises(ValueError, match="singular"):
        read_image(tmp_path / "thin.nii")


def test_tilt_is_the_angle_to_the_nearest_axis() -> None:
    affine = np.eye(4)
    affine[:3, :3] = rotation((15, 0, 0)) * [1, 1, 5]
    assert tilt_deg(affine) == pytest.approx(15.0, abs=1e-6)


def test_otsu_parts_two_modes() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(10, 2, 4000), rng.normal(100, 10, 6000)])
    assert 16 < otsu_threshold(values) < 70


def volume_row(**changes) -> dict:
    row = {
        "study_id": "s", "sequence": "T1", "is_constant": False, "coverage": 1.0, "spacing_mm": [1.0, 1.0, 5.0],
        "num_slices": 20, "sha256": "a", "b_value_s_mm2": None,
    }  # fmt: skip
    return row | changes


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{}, {"spacing_mm": [1.0, 1.0, 1.0]}], [False, True]),
        ([{"spacing_mm": [1.0, 1.0, 1.0], "coverage": 0.1}, {}], [False, True]),
        ([{"num_slices": 19}, {}], [False, True]),
        ([{"sha256": "b"}, {}], [False, True]),
        ([{"is_constant": True}], [False]),
        ([{}, {"sequence": "T2"}, {"study_id": "t"}], [True, True, True]),
        ([{"sequence": "DWI", "b_value_s_mm2": 0.0}, {"sequence": "DWI", "b_value_s_mm2": 800.0}], [False, True]),
    ],
)
def test_the_best_volume_of_a_sequence_is_chosen(rows: list[dict], expected: list[bool]) -> None:
    assert select_volumes([volume_row(**changes) for changes in rows], 0.3) == expected


def series_rows(folder: Path, num_studies: int) -> list[dict]:
    rows = []
    for study in range(num_studies):
        for sequence, axes in (("T1", np.eye(3)), ("FLAIR", rotation((5, 0, 0)))):
            shape = (64, 72, 26)
            image = phantom(affine_around(HEAD_MM + study, axes, (3.0, 3.0, 6.0), shape), shape)
            name = f"nifti/{study}{sequence}.nii.gz"
            (folder / "nifti").mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(image.voxels, image.affine), folder / name)
            rows.append(
                {
                    "study_id": f"{study:016x}",
                    "series_id": f"{study}{sequence}",
                    "patient_id": "p",
                    "nifti": name,
                    "sequence": sequence,
                    "spacing_mm": [3.0, 3.0, 6.0],
                    "num_slices": 26,
                    "sha256": f"{study}{sequence}",
                    "b_value_s_mm2": None,
                }  # fmt: skip
            )
    return rows


def test_only_new_studies_are_prepared_and_bytes_repeat(tmp_path: Path) -> None:
    rows = series_rows(tmp_path, 3)
    work = tmp_path / "work"
    first = plan_studies(rows[:4], PARAMS, work)
    assert prepare_missing(first, tmp_path, PARAMS) == 2
    tasks = plan_studies(rows, PARAMS, work)
    assert prepare_missing(tasks, tmp_path, PARAMS) == 1
    prepared = assemble(tasks, tmp_path / "a", PARAMS)
    assert [row["series_id"] for row in prepared] == [row["series_id"] for task in tasks for row in task.rows]

    fresh = plan_studies(rows, PARAMS, tmp_path / "elsewhere")
    assert prepare_missing(fresh, tmp_path, PARAMS) == 3
    assemble(fresh, tmp_path / "b", PARAMS)
    for shard in (tmp_path / "a" / "shards").iterdir():
        assert shard.read_bytes() == (tmp_path / "b" / "shards" / shard.name).read_bytes()


def test_other_parameters_do_not_meet_old_results(tmp_path: Path) -> None:
    rows = series_rows(tmp_path, 1)
    before = plan_studies(rows, PARAMS, tmp_path)
    after = plan_studies(rows, PARAMS.model_copy(update={"percentiles": (1.0, 99.0)}), tmp_path)
    same = plan_studies(rows, PARAMS.model_copy(update={"num_montages": 9}), tmp_path)
    assert before[0].cache != after[0].cache
    assert before[0].cache == same[0].cache


def test_one_unreadable_series_costs_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = series_rows(tmp_path, 1)
    (tmp_path / rows[0]["nifti"]).write_bytes(b"not a nifti, PATIENT^NAME")
    tasks = plan_studies(rows, PARAMS, tmp_path / "work")
    prepare_missing(tasks, tmp_path, PARAMS)
    prepared = assemble(tasks, tmp_path / "out", PARAMS)
    assert [row["sequence"] for row in prepared] == ["FLAIR"]
    assert "cannot be read" in caplog.text
    assert "PATIENT" not in caplog.text

    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), dtype=np.float32), np.eye(4)), tmp_path / rows[0]["nifti"])
    prepare_missing(tasks, tmp_path, PARAMS)
    assert len(assemble(tasks, tmp_path / "out", PARAMS)) == 2


def test_a_study_whose_reference_cannot_be_read_is_centred_on_the_next(tmp_path: Path) -> None:
    rows = series_rows(tmp_path, 1)
    paths = [tmp_path / row["nifti"] for row in rows]
    paths[0].write_bytes(paths[0].read_bytes()[:3000])
    prepared = prepare_study(paths, ["T1", "FLAIR"], PARAMS)
    assert prepared[0] is None
    assert prepared[1] is not None
    assert prepared[1][1].coverage > 0.9


def test_too_little_memory_is_no_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = series_rows(tmp_path, 1)

    def read(path: Path) -> Image:
        raise MemoryError

    monkeypatch.setattr("stages.imaging.volumes.read_image", read)
    with pytest.raises(MemoryError):
        prepare_study([tmp_path / row["nifti"] for row in rows], ["T1", "FLAIR"], PARAMS)


def test_a_study_beyond_its_memory_is_named_with_the_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = series_rows(tmp_path, 1)
    voxels = np.zeros((300, 300, 300), dtype=np.uint8)
    nib.save(nib.Nifti1Image(voxels, np.diag([0.3, 0.3, 0.3, 1.0])), tmp_path / rows[0]["nifti"])
    small = PARAMS.model_copy(update={"study_memory_gib": 0.1})
    tasks = plan_studies(rows, small, tmp_path / "work")
    assert prepare_missing(tasks, tmp_path, small) == 0
    assert "asked for more memory than prepare_volumes.study_memory_gib" in caplog.text


def test_what_other_parameters_left_in_the_cache_goes_with_time(tmp_path: Path) -> None:
    rows = series_rows(tmp_path, 1)
    work = tmp_path / "work"
    after = PARAMS.model_copy(update={"percentiles": (1.0, 99.0)})
    for values in (PARAMS, after):
        prepare_missing(plan_studies(rows, values, work), tmp_path, values)
    tasks = plan_studies(rows, after, work)
    half_written = tasks[0].cache.with_name(".tmpAbCdEf")
    half_written.touch()
    assert forget_unused(tasks, work, after) == 0
    assert not half_written.exists()
    assert forget_unused(tasks, work, after.model_copy(update={"keep_days": 0.0})) == 1
    assert [path for path in work.rglob("*") if path.is_file()] == [tasks[0].cache]
