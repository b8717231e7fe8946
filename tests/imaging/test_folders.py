"""Every file of a tree has one row, whatever links and permissions make of it."""

import errno
import os
import subprocess
import sys

import pytest

from stages.imaging.folders import walk


def listed(root, *, follow_links=True):
    return [(found.location.path, found.reason) for found in walk(root, follow_links=follow_links)]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "export"
    folder.mkdir()
    return folder


def make(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)


def test_files_come_before_folders_and_both_by_name(root):
    make(root / "b", root / "z" / "1", root / "a.d" / "y", root / "a.d" / "x" / "deep", root / "a")
    (root / "nothing").mkdir()
    expected = ["a", "b", "a.d/y", "a.d/x/deep", "z/1"]
    assert listed(root) == [(path, None) for path in expected]


def test_links_that_stay_inside_are_named_and_not_followed(root):
    make(root / "real" / "image")
    (root / "again").symlink_to(root / "real")
    (root / "file").symlink_to("real/image")
    (root / "loop").symlink_to(root)
    (root / "real" / "up").symlink_to("..")
    (root / "self").symlink_to("self")
    (root / "gone").symlink_to(root / "nowhere")
    assert listed(root) == [
        ("again", "linked_again"),
        ("file", "linked_again"),
        ("gone", "special_file"),
        ("loop", "linked_again"),
        ("self", "special_file"),
        ("real/image", None),
        ("real/up", "linked_again"),
    ]


def test_links_that_lead_elsewhere_are_followed_once(root, tmp_path):
    archive = tmp_path / "archive"
    make(archive / "one" / "a", archive / "two" / "b", tmp_path / "single")
    (archive / "two" / "back").symlink_to(archive)
    (archive / "two" / "home").symlink_to(root)
    (root / "1").symlink_to(archive / "two")
    (root / "2").symlink_to(archive)
    (root / "3").symlink_to(archive / "one")
    (root / "4").symlink_to(tmp_path / "single")
    (root / "5").symlink_to(tmp_path / "single")
    (root / "6").symlink_to(tmp_path)
    found = listed(root)
    assert [path for path, reason in found if reason is None] == ["4", "1/b", "2/one/a"] or [
        path for path, reason in found if reason is None
    ] == ["4", "1/b", "3/a"]
    assert {reason for _, reason in found} == {None, "linked_again"}
    assert ("5", "linked_again") in found
    # It would lead to the export itself, and to all that lies around it.
    assert ("6", "linked_again") in found
    assert len(found) == len(set(found))


def test_links_that_lead_elsewhere_may_be_left_alone(root, tmp_path):
    make(tmp_path / "archive" / "a", tmp_path / "single", root / "b")
    (root / "c").symlink_to(tmp_path / "archive")
    (root / "d").symlink_to(tmp_path / "single")
    assert listed(root, follow_links=False) == [("b", None), ("c", "link_outside"), ("d", "link_outside")]


def test_an_export_that_is_reached_by_a_link_is_read(root, tmp_path):
    make(root / "a" / "b")
    (tmp_path / "site").symlink_to(root)
    assert listed(tmp_path / "site", follow_links=False) == [("a/b", None)]


def test_a_folder_that_cannot_be_listed_has_a_row(root, monkeypatch):
    make(root / "a" / "1", root / "b" / "2")
    scandir = os.scandir

    def closed(path):
        if str(path).endswith("/a"):
            raise PermissionError(errno.EACCES, "not yours")
        return scandir(path)

    monkeypatch.setattr("os.scandir", closed)
    assert listed(root) == [("a", "unreadable_folder"), ("b/2", None)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_permissions_cost_a_row_each(root):
    make(root / "closed" / "1", root / "open" / "2", root / "blind" / "3")
    (root / "closed").chmod(0o000)
    (root / "blind").chmod(0o744)
    for folder in [root, *root.parents]:
        folder.chmod(folder.stat().st_mode | 0o055)
    script = (
        "import os, pathlib, sys\n"
        "from stages.imaging.folders import walk\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "os.setgroups([]); os.setegid(65534); os.seteuid(65534)\n"
        "print([(found.location.path, found.reason) for found in walk(root, follow_links=True)])\n"
    )
    done = subprocess.run([sys.executable, "-c", script, root], capture_output=True, text=True, check=True)
    expected = [("blind/3", "unreadable_file"), ("closed", "unreadable_folder"), ("open/2", None)]
    assert done.stdout.strip() == str(expected)


def test_names_of_any_kind_are_listed(root):
    names = ["头部^张伟", "tête", "te\u0302te", os.fsdecode(b"GBK \xc5\xa3"), "new\nline", "back\\slash", " "]
    for name in names:
        make(root / name / name)
    assert listed(root) == [(f"{name}/{name}", None) for name in sorted(names)]


def test_a_tree_too_deep_for_a_path_has_a_row(root):
    depth = 0
    here = os.open(root, os.O_RDONLY)
    while depth < 30:
        os.mkdir("d" * 200, dir_fd=here)
        deeper = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
        depth += 1
    os.close(here)
    ((path, reason),) = listed(root)
    assert reason in ("unreadable_folder", "special_file")
    assert len(path) < 4300
