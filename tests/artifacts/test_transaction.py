"""Outputs that are replaced together: a run that ends anywhere leaves the old ones, the new ones, or neither yet."""

import contextlib
import errno
import os

import pytest

from stages.artifacts import transaction
from stages.artifacts.disk import DiskFullError
from stages.artifacts.transaction import complete, replaced_together

NAMES = ("folder", "side", "main")


class Killed(BaseException):
    """Stands for a signal that no code sees."""


def write(folder, text):
    (folder / "folder").mkdir()
    (folder / "folder" / "inner").write_text(text)
    (folder / "side").write_text(text)
    (folder / "main").write_text(text)


def read(out):
    """What each output says, and nothing where it is not there."""
    files = (out / "folder" / "inner", out / "side", out / "main")
    return [path.read_text() if path.exists() else None for path in files]


def replace(out, text, error=None):
    with replaced_together(out, NAMES) as new:
        write(new, text)
        if error:
            raise error


def test_outputs_replace_the_old_ones_and_nothing_is_left_over(tmp_path):
    replace(tmp_path, "old")
    (tmp_path / "other").touch()
    replace(tmp_path, "new")
    assert read(tmp_path) == ["new"] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "main", "other", "side"]


def test_an_error_leaves_the_old_ones(tmp_path):
    replace(tmp_path, "old")
    with pytest.raises(ValueError, match="bad"):
        replace(tmp_path, "new", ValueError("bad"))
    assert read(tmp_path) == ["old"] * 3
    assert len(list(tmp_path.iterdir())) == 3


def test_a_full_disk_leaves_the_old_ones(tmp_path):
    replace(tmp_path, "old")
    with pytest.raises(DiskFullError, match="the disk is full"):
        replace(tmp_path, "new", OSError(errno.ENOSPC, "no room"))
    assert read(tmp_path) == ["old"] * 3
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("step", range(12))
@pytest.mark.parametrize("has_old", [True, False])
def test_a_run_that_is_killed_at_any_step_leaves_no_mixture(tmp_path, monkeypatch, step, has_old):
    if has_old:
        replace(tmp_path, "old")
    num_steps = 0

    def counted(name):
        function = {"replace": os.replace, "rmtree": transaction.shutil.rmtree}[name]

        def step_of(*arguments, **options):
            nonlocal num_steps
            num_steps += 1
            if num_steps > step:
                raise Killed
            return function(*arguments, **options)

        return step_of

    with monkeypatch.context() as patch:
        patch.setattr(transaction.os, "replace", counted("replace"))
        patch.setattr(transaction.shutil, "rmtree", counted("rmtree"))
        with contextlib.suppress(Killed):
            replace(tmp_path, "new")
    found = read(tmp_path)
    if found[-1] is not None:
        assert found in (["old"] * 3, ["new"] * 3), "who reads the main output finds the ones that go with it"
    complete(tmp_path, NAMES)
    assert read(tmp_path) in ([["old"] * 3] if has_old else [[None] * 3]) + [["new"] * 3]
    assert not [path for path in tmp_path.iterdir() if path.name not in NAMES]
    replace(tmp_path, "later")
    assert read(tmp_path) == ["later"] * 3
