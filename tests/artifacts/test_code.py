import pytest

from stages.artifacts.code import closure, code_digest, direct_imports, manifest

SHARED = '"""Shared."""\n\n\ndef double(x):\n    """Twice."""\n    return 2 * x  # why\n'


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "stages"
    folder.mkdir()
    (folder / "shared.py").write_text(SHARED)
    (folder / "middle.py").write_text("import numpy\n\nfrom stages.shared import double\n")
    (folder / "run.py").write_text("def main():\n    from stages import middle\n    return middle\n")
    (folder / "other.py").write_text("import json\n")
    return tmp_path


def names(files):
    return [path.stem for path in files]


def digest_of(text, tmp_path, name="module.py"):
    code_digest.cache_clear()
    path = tmp_path / name
    path.write_text(text)
    return code_digest(path)


def test_imports_are_found_inside_functions_and_through_others(root):
    folder = root / "stages"
    assert names(direct_imports(folder / "run.py", root)) == ["middle"]
    assert names(closure(folder / "run.py", root)) == ["middle", "run", "shared"]
    assert names(closure(folder / "other.py", root)) == ["other"]


def test_a_circle_of_imports_ends(root):
    (root / "stages" / "shared.py").write_text("import stages.middle\n")
    assert names(closure(root / "stages" / "middle.py", root)) == ["middle", "shared"]


def test_a_relative_import_is_refused(root):
    (root / "stages" / "run.py").write_text("from . import shared\n")
    with pytest.raises(ValueError, match=r"run.py: relative import in line 1"):
        closure(root / "stages" / "run.py", root)


def test_data_beside_a_module_is_part_of_it(root):
    languages = root / "stages" / "reports" / "lexicon" / "languages"
    languages.mkdir(parents=True)
    (languages.parent.parent / "lexicon.py").write_text("")
    (languages / "en.yaml").write_text("a: 1\n")
    (root / "stages" / "run.py").write_text("from stages.reports.lexicon import read\n")
    assert names(closure(root / "stages" / "run.py", root)) == ["en", "lexicon", "run"]


@pytest.mark.parametrize(
    "same",
    [
        SHARED.replace("# why", "# because"),
        SHARED.replace("Twice.", "Two times."),
        SHARED.replace('    """Twice."""\n', ""),
        SHARED.replace("2 * x", "(2\n        * x)"),
        SHARED + "\n# the end\n",
    ],
)
def test_comments_docstrings_and_layout_do_not_count(same, tmp_path):
    assert digest_of(same, tmp_path) == digest_of(SHARED, tmp_path)


@pytest.mark.parametrize(
    "changed", [SHARED.replace("2 *", "3 *"), SHARED.replace("double", "twice"), SHARED + 'NAME = "text"\n']
)
def test_whatever_else_changes_counts(changed, tmp_path):
    assert digest_of(changed, tmp_path) != digest_of(SHARED, tmp_path)


def test_every_byte_of_a_data_file_counts(tmp_path):
    assert digest_of("a: 1\n", tmp_path, "x.yaml") != digest_of("a: 1 # b\n", tmp_path, "x.yaml")


def test_a_manifest_names_files_from_the_root(root):
    lines = manifest(closure(root / "stages" / "run.py", root), root).splitlines()
    assert [line.split("  ")[1] for line in lines] == ["stages/middle.py", "stages/run.py", "stages/shared.py"]
