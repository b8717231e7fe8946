import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.artifacts.identity import PUBLIC_KEY, SiteKey, tokenise, write_new_key
from stages.artifacts.make_key import make_key

KEY = SiteKey(bytes(range(32)))


def test_ids_depend_on_key_kind_and_value_only():
    assert KEY.study_id("A1") == KEY.study_id(" A1 ")
    assert KEY.study_id("A1") != KEY.study_id("A2")
    assert KEY.study_id("A1") != KEY.series_id("A1")
    assert KEY.study_id("A1") != SiteKey.ephemeral().study_id("A1")
    assert KEY.patient_id("a", "bc") != KEY.patient_id("ab", "c")
    assert len(KEY.study_id("A1")) == 16


def test_names_in_another_encoding_are_hashed_too():
    names = [b"re\xe9u.txt".decode("utf-8", "surrogateescape"), b"re\xe8u.txt".decode("utf-8", "surrogateescape")]
    assert len({KEY.hash("path", name) for name in names}) == 2
    assert KEY.hash("path", names[0]) == KEY.hash("path", r"re\udce9u.txt")
    assert KEY.study_id("Zoë 王") == "e480c33a9daca839"


def test_a_missing_or_short_key_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="make site-key"):
        SiteKey.load(tmp_path / "site.key")
    (tmp_path / "short.key").write_text("00ff")
    with pytest.raises(ValueError, match="2 bytes, expected at least 32"):
        SiteKey.load(tmp_path / "short.key")
    (tmp_path / "words.key").write_text("not hexadecimal")
    with pytest.raises(ValueError, match="expected hexadecimal"):
        SiteKey.load(tmp_path / "words.key")


def test_a_new_key_is_private_and_never_replaced(tmp_path):
    path = tmp_path / "safe" / "site.key"
    write_new_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SiteKey.load(path).study_id("A1")
    with pytest.raises(FileExistsError, match="would change every id"):
        write_new_key(path)


def test_a_key_inside_the_repository_is_refused(tmp_path):
    repository = tmp_path / "repository"
    repository.mkdir()
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    subprocess.run(["dvc", "init", "-q"], cwd=repository, check=True)
    with pytest.raises(ValueError, match="inside the repository"):
        make_key(repository / "site.key", repository)
    make_key(tmp_path / "keys" / "site.key", repository)
    assert "dvc-site-cache" in (repository / ".dvc" / "config.local").read_text()


def test_a_repository_links_to_its_key_where_git_does_not_look(tmp_path):
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    subprocess.run(["dvc", "init", "-q"], cwd=repository, check=True)
    (repository / ".gitignore").write_text("/data/**\n")
    (repository / "data").mkdir()
    with pytest.raises(ValueError, match="inside the repository"):
        make_key(tmp_path / "site.key", repository, Path("site.key"))
    make_key(tmp_path / "site.key", repository, Path("data/site.key"))
    assert SiteKey.load(repository / "data" / "site.key").study_id("A1")
    with pytest.raises(FileExistsError, match="links to a key already"):
        make_key(tmp_path / "other.key", repository, Path("data/site.key"))


def test_tokens_are_normalised_and_carry_their_place():
    tokens = tokenise("ＤＯＥ^John, 1994-01-02 王小明")
    assert [token.text for token in tokens] == ["doe", "john", "1994", "01", "02", "王", "小", "明"]
    assert (tokens[1].start, tokens[1].end) == (4, 8)


@given(st.text())
def test_tokens_never_overlap_and_lie_in_the_text(text):
    end = 0
    for token in tokenise(text):
        assert end <= token.start < token.end <= len(text)
        end = token.end


def test_the_simulators_key_opens_only_what_was_simulated_beside_it(tmp_path):
    simulated, real = tmp_path / "simulated", tmp_path / "export"
    (simulated / "dicom").mkdir(parents=True)
    (real / "dicom").mkdir(parents=True)
    (simulated / "site.key").write_text(PUBLIC_KEY + "\n")
    (simulated / "link").symlink_to(real / "dicom")
    for cohort in (simulated / "dicom", simulated / "reports.csv", None):
        assert SiteKey.load(simulated / "site.key", cohort).study_id("A1")
    for cohort in (real / "dicom", real / "reports.csv", simulated / "link"):
        with pytest.raises(ValueError, match="is the simulator's, which is public"):
            SiteKey.load(simulated / "site.key", cohort)


def test_a_simulated_cohort_may_be_linked_to_a_cache_file_by_file(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "a").write_text(PUBLIC_KEY)
    (tmp_path / "cache" / "b").write_text("accession_number,report_text\n")
    (tmp_path / "simulated").mkdir()
    for name, target in (("site.key", "a"), ("reports.csv", "b")):
        (tmp_path / "simulated" / name).symlink_to(tmp_path / "cache" / target)
    assert SiteKey.load(tmp_path / "simulated" / "site.key", tmp_path / "simulated" / "reports.csv").study_id("A1")


def test_a_key_that_others_can_read_is_told_of(tmp_path, caplog):
    write_new_key(tmp_path / "site.key")
    SiteKey.load(tmp_path / "site.key")
    assert not caplog.text
    (tmp_path / "site.key").chmod(0o644)
    SiteKey.load(tmp_path / "site.key")
    assert "chmod 600" in caplog.text
