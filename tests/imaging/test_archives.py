"""Archives: read as loose files are, within bounds, and nothing leaves the folder."""

from __future__ import annotations

import io
import tarfile
import zipfile

import dicom_files as df
import pytest

from stages.imaging import archives
from stages.imaging.archives import Location
from stages.imaging.ledger import SetAside
from stages.imaging.scanning import scan
from stages.imaging.settings import ConversionSettings

SETTINGS = ConversionSettings(
    spacing_tolerance_mm=0.2,
    min_slices=5,
    max_archive_members=20,
    max_archive_gib=1,
    max_member_mib=1,
    series_timeout_s=60,
)


@pytest.fixture(scope="module")
def files():
    return [df.encode(ds) for ds in df.slices()]


def reasons(root, settings=SETTINGS):
    return {(file.location.path, file.location.member): file.reason for file in scan(root, settings)}


def write_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def write_tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_members_are_read_in_any_order(tmp_path, files, kind):
    members = {f"study/{n}": data for n, data in enumerate(files)}
    # The extension says nothing: content decides.
    path = tmp_path / "export.bin"
    write_zip(path, members) if kind == "zip" else write_tar(path, members, f"w:{kind[4:]}" if kind[4:] else "w")
    found = [file for file in scan(tmp_path, SETTINGS) if file.location.member]
    assert [file.location.kind for file in found] == [kind] * 6
    for file, data in reversed(list(zip(found, files, strict=True))):
        assert archives.read(tmp_path, file.location) == data


def test_paths_that_leave_the_archive_are_not_read(tmp_path, files):
    names = ["../out.dcm", "/etc/out.dcm", "..\\out.dcm", "C:\\out.dcm", "a/../../out.dcm", "inside/fine.dcm"]
    write_zip(tmp_path / "a.zip", dict.fromkeys(names, files[0]))
    write_tar(tmp_path / "b.tar", dict.fromkeys(names, files[0]))
    found = reasons(tmp_path)
    for archive in ("a.zip", "b.tar"):
        assert [reason for (path, member), reason in found.items() if path == archive and member] == [
            *["unsafe_path"] * 5,
            None,
        ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.tar"]


def test_bounds_on_number_and_size(tmp_path, files):
    write_zip(tmp_path / "many.zip", {f"{n}": b"x" for n in range(21)})
    write_zip(tmp_path / "large.zip", {"large": bytes(2**20 + 1), "small": files[0]})
    write_tar(tmp_path / "long.tar", {"one": bytes(1000), "two": bytes(1000)})
    small = SETTINGS.model_copy(update={"max_archive_gib": 1500 / 2**30})
    assert reasons(tmp_path)[("many.zip", None)] == "too_many_members"
    assert reasons(tmp_path)[("large.zip", "large")] == "file_too_large"
    assert reasons(tmp_path)[("large.zip", "small")] is None
    assert reasons(tmp_path, small)[("long.tar", "two")] == "archive_too_large"
    (tmp_path / "loose.dcm").write_bytes(files[0] + bytes(2**20))
    assert reasons(tmp_path)[("loose.dcm", None)] == "file_too_large"


def test_odd_members_cost_one_row_each(tmp_path, files):
    inner = io.BytesIO()
    write_zip(inner, {"x": files[0]})
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
    with tarfile.open(tmp_path / "odd.tar", "w") as archive:
        archive.addfile(link)
        for name, data in {"inner.zip": inner.getvalue(), "empty": b"", "note": b"words", "good": files[0]}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    found = {member: reason for (_, member), reason in reasons(tmp_path).items()}
    assert found == {
        None: None,
        "link": "special_file",
        "inner.zip": "nested_archive",
        "empty": "empty_file",
        "note": "not_dicom",
        "good": None,
    }


def test_a_cut_archive_keeps_what_stands_before_the_cut(tmp_path, files):
    whole = tmp_path / "whole.tar"
    write_tar(whole, {f"{n}": data for n, data in enumerate(files)})
    (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[: len(files[0]) * 3])
    whole.unlink()
    found = reasons(tmp_path)
    assert found[("cut.tar", None)] == "damaged_archive"
    assert found[("cut.tar", "0")] is None
    assert found[("cut.tar", "1")] is None


def test_a_lying_size_is_damage(tmp_path, files):
    write_zip(tmp_path / "a.zip", {"x": files[0]})
    with pytest.raises(SetAside, match="archive cannot be read"):
        archives.read(tmp_path, Location("a.zip", "zip", "x", 0, len(files[0]) - 10))
