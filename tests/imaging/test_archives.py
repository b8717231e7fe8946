"""Archives: read as loose files are, within bounds, and nothing leaves the folder."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import dicom_files as df
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


def reasons(root, values=SETTINGS):
    return {(file.location.path, file.location.member): file.reason for file in scan(root, values)}


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


def test_a_name_that_is_not_the_utf_8_it_is_said_to_be_costs_its_member(tmp_path, files):
    path = tmp_path / "a.zip"
    write_zip(path, {"first": files[0], "张伟.dcm": files[1], "影像/0": files[2], "last": files[3]})
    # The name stands in the directory and before the member.
    path.write_bytes(path.read_bytes().replace("张伟".encode(), b"\xff\xfe\xfd\xff\xfe\xfd"))
    found = scan(tmp_path, SETTINGS)
    assert [(bool(file.location.member), file.reason) for file in found] == [
        (False, None),
        (True, None),
        (True, "damaged_archive"),
        (True, None),
        (True, None),
    ]
    assert {file.location.member for file in found} >= {"first", "影像/0", "last"}


def test_names_in_the_encoding_of_another_time_are_read(tmp_path, files):
    path = tmp_path / "a.zip"
    write_zip(path, {"XXXX.dcm": files[0]})
    path.write_bytes(path.read_bytes().replace(b"XXXX", "张伟".encode("gbk")))
    assert [file.reason for file in scan(tmp_path, SETTINGS)] == [None, None]


def test_a_compressed_archive_is_unpacked_no_further_than_its_bound(tmp_path, files):
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("good")
        info.size = len(files[0])
        archive.addfile(info, io.BytesIO(files[0]))
        info = tarfile.TarInfo("bomb")
        info.size = 10 * 2**40
        archive.addfile(info, None)
    small = SETTINGS.model_copy(update={"max_archive_gib": 0.01})
    assert reasons(tmp_path, small) == {
        ("bomb.tar.gz", None): "archive_too_large",
        ("bomb.tar.gz", "good"): None,
        ("bomb.tar.gz", "bomb"): "file_too_large",
    }


def test_a_member_of_negative_size_is_damage(tmp_path, files):
    path = tmp_path / "a.tar"
    write_tar(path, {"first": files[0], "second": files[1]})
    data = bytearray(path.read_bytes())
    start = 512 + -(-len(files[0]) // 512) * 512
    data[start + 124 : start + 136] = b"\xff" * 11 + b"\x00"
    total = sum(data[start : start + 148]) + 8 * 32 + sum(data[start + 156 : start + 512])
    data[start + 148 : start + 156] = f"{total:06o}\0 ".encode()
    path.write_bytes(data)
    assert reasons(tmp_path) == {("a.tar", None): "damaged_archive", ("a.tar", "first"): None}


@pytest.mark.parametrize(("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_a_file_that_was_compressed_by_itself_is_read(tmp_path, files, suffix, compress):
    (tmp_path / f"image.dcm.{suffix}").write_bytes(compress(files[0]))
    (tmp_path / f"notes.{suffix}").write_bytes(compress(b"nothing of interest"))
    (tmp_path / f"zeros.{suffix}").write_bytes(compress(files[0] + bytes(2**21)))
    (tmp_path / f"cut.{suffix}").write_bytes(compress(files[0])[:-200])
    found = scan(tmp_path, SETTINGS)
    assert {(file.location.path, file.location.member): file.reason for file in found} == {
        (f"cut.{suffix}", None): "not_dicom" if suffix == "bz2" else "damaged_archive",
        (f"image.dcm.{suffix}", None): None,
        (f"image.dcm.{suffix}", "image.dcm"): None,
        (f"notes.{suffix}", None): "not_dicom",
        (f"zeros.{suffix}", None): None,
        (f"zeros.{suffix}", "zeros"): "file_too_large",
    }
    (image,) = (file for file in found if file.images)
    assert archives.read(tmp_path, image.location) == files[0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False), st.sampled_from(["zip", "tar", "tar.gz"]))
def test_a_damaged_archive_is_listed_as_far_as_it_can_be(tmp_path, files, random, kind):
    path = tmp_path / "a"
    members = {f"m{n}": data for n, data in enumerate(files[:3])}
    write_zip(path, members) if kind == "zip" else write_tar(path, members, f"w:{kind[4:]}" if kind[4:] else "w")
    data = bytearray(path.read_bytes())
    for _ in range(random.randint(1, 8)):
        data[random.randrange(len(data))] = random.randrange(256)
    path.write_bytes(data[: random.choice([len(data), random.randrange(len(data))])])
    found = reasons(tmp_path)
    assert ("a", None) in found
