import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

from stages.evaluation import example_figures
from stages.evaluation.example_figures import axial_plane, draw_all, write_page
from stages.evaluation.examples import Example, ExampleParams, Examples, Overlay
from stages.evaluation.grounding import Target
from stages.evaluation.localisation import Case

SHAPE = (6, 8, 4)
PARAMS = ExampleParams(
    publish_examples=False, objectives=["clip"], seed=2, split="test", findings=["infarct"], backgrounds=["FLAIR"]
)


@pytest.fixture
def example():
    mask = np.zeros(SHAPE, dtype=bool)
    mask[4:6, 6:8, 1:3] = True  # right, front
    mask[4, 6, 3] = True
    target = Target(np.arange(2), np.array([4, 0]), np.array([8, 8]))
    return Example(
        Case("s", "p", "test", "white_matter_lesion", 2.5, (0,), target),
        "FLAIR",
        np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8),
        mask,
        (2.0, 3.0, 5.0),
    )


def examples(example):
    values = np.linspace(-1, 1, example.mask_X.size).reshape(SHAPE)
    values[0, 0, 0] = np.nan
    overlay = Overlay(values, "peak", example.mask_X)
    return Examples([example, example], {"clip": [overlay] * 2}, {"clip": [overlay] * 2})


def test_the_patients_right_is_on_the_left_and_the_front_is_up():
    volume = np.zeros(SHAPE)
    volume[-1, -1, 2] = 1  # right, front
    volume[0, 0, 2] = 2  # left, back
    plane = axial_plane(volume, 2)
    assert plane.shape == (8, 6)
    assert plane[0, 0] == 1
    assert plane[-1, -1] == 2


def test_the_slice_shows_most_of_the_lesion(example):
    assert example.slice_index == 1


def test_outlines_run_around_the_lesion_in_millimetres(example):
    figure = Figure()
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    example_figures._draw_slice(axes, example)
    points = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
    # two voxels of 2 mm from the right edge of the patient, two of 3 mm from the front, half a fine step apart
    assert points.min(axis=0) == pytest.approx([0, 0], abs=0.2)
    assert points.max(axis=0) == pytest.approx([4, 6], abs=0.2)
    assert axes.get_xlim() == (0, 12)
    assert axes.get_ylim() == (24, 0)
    assert axes.get_aspect() == 1.0


def test_figures_are_drawn_and_equal_input_gives_equal_files(example, tmp_path):
    for folder in ("a", "b"):
        draw_all(tmp_path / folder, examples(example), is_simulated=True)
    for file in (example_figures.GROUNDING, example_figures.SALIENCY):
        assert imread(tmp_path / "a" / file).std() > 0.05
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_title_says_that_a_cohort_is_simulated(example, tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(example_figures, "draw_examples", lambda path, rows, maps, style: titles.append(style.title))
    draw_all(tmp_path, examples(example), is_simulated=True)
    draw_all(tmp_path, examples(example), is_simulated=False)
    assert ["simulated" in title for title in titles] == [True, True, False, False]


def test_the_page_explains_the_figures_or_their_absence(tmp_path):
    (tmp_path / example_figures.GROUNDING).write_bytes(b"of an earlier run")
    write_page(tmp_path, PARAMS, missing="", is_simulated=True)
    page = (tmp_path / example_figures.PAGE).read_text()
    assert "Simulated cohort, test split, pretraining seed 2" in page
    assert example_figures.SALIENCY in page
    write_page(tmp_path, PARAMS, missing="no masks", is_simulated=False)
    assert [path.name for path in tmp_path.iterdir()] == [example_figures.PAGE]
    assert "Nothing is shown: no masks." in (tmp_path / example_figures.PAGE).read_text()
