import shutil

import pytest
from imports import OBJECTIVES, ROOT

from stages import trace_code
from stages.artifacts.code import code_digest


@pytest.fixture
def repository(tmp_path):
    shutil.copytree(ROOT / "stages", tmp_path / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def manifests(repository):
    code_digest.cache_clear()
    out = repository / "code"
    trace_code.main(repository / "stages", repository / OBJECTIVES, out)
    return {str(path.relative_to(out)): path.read_text(encoding="utf-8") for path in out.rglob("*.txt")}


def changed_by(repository, file, old, new):
    before = manifests(repository)
    path = repository / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    after = manifests(repository)
    return {name for name in after if after[name] != before.get(name)}


def test_every_stage_and_objective_has_a_manifest(repository):
    made = manifests(repository)
    assert {"pretrain.txt", "simulate_cohort.txt", "objectives/clip.txt", "objectives/selip.txt"} <= set(made)
    assert "params.txt" not in made


def test_an_objective_changes_its_own_manifest_only(repository):
    changed = changed_by(repository, f"{OBJECTIVES}clip.py", "from __future__", "import math\nfrom __future__")
    assert changed == {"objectives/clip.txt"}


def test_a_library_changes_the_stages_that_import_it(repository):
    changed = changed_by(repository, "stages/imaging/sequences.py", "import re\n", "import re\nimport math\n")
    assert changed == {"convert_dicom.txt"}


def test_a_comment_changes_nothing(repository):
    assert not changed_by(repository, "stages/imaging/sequences.py", "import re\n", "import re  # patterns\n")


def test_a_stage_that_is_gone_leaves_no_manifest(repository):
    manifests(repository)
    (repository / "stages" / "draw_saliency.py").unlink()
    assert "draw_saliency.txt" not in manifests(repository)
