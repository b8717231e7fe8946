"""Gains against a slow loop written from the definition."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stages.artifacts import report_tables, tables, truth_tables
from stages.evaluation import gains as gains_module
from stages.evaluation.contents import Contents, contents_from_statements, contents_from_truth
from stages.evaluation.gains import best_match_gains
from stages.evaluation.relevance import CLASSES, GAINS, Relevance, write_gains
from stages.judge_relevance import main

SHAPE = [5, 6, 4]


def lesion(study: str, number: int, subtype: str, voxels: list[int], site: str = "insula", side: str = "left") -> dict:
    return {
        "study_id": study, "lesion": number, "finding": subtype.split()[-1], "subtype": subtype, "site": site,
        "side": side, "size_mm": 9.0, "volume_ml": 1.0, "signals": [], "template_voxels": voxels,
        "template_shape": SHAPE,
    }  # fmt: skip


def linked_truth(lesions_by_study: dict[str, list[dict]]) -> tuple[pa.Table, pa.Table]:
    studies = [
        {"study_id": study, "set": "test", "is_normal": not lesions, "reader": None}
        for study, lesions in lesions_by_study.items()
    ]
    lesions = [lesion for lesions in lesions_by_study.values() for lesion in lesions]
    return tables.from_rows(truth_tables.LINKED_STUDIES, studies), tables.from_rows(
        truth_tables.LINKED_LESIONS, lesions
    )


def random_cohort(seed: int, num_studies: int = 40) -> dict[str, list[dict]]:
    rng = np.random.default_rng(seed)
    subtypes = ["acute infarct", "chronic infarct", "glioma mass"]
    cohort: dict[str, list[dict]] = {}
    for index in range(num_studies):
        study = f"{rng.integers(1 << 60):016x}"
        cohort[study] = [
            lesion(study, number, subtypes[rng.integers(3)], rng.integers(0, 120, rng.integers(0, 40)).tolist())
            for number in range(rng.integers(0, 4))
        ]
        if index % 7 == 3:  # the same content again
            cohort[study + "copy"] = [row | {"study_id": study + "copy"} for row in cohort[study]]
    return cohort


def slow_gain(a: list[dict], b: list[dict]) -> float:
    if not a or not b:
        return float(not a and not b)

    def match(x: dict, y: dict) -> float:
        if x["subtype"] != y["subtype"]:
            return 0.0
        p, q = set(x["template_voxels"]), set(y["template_voxels"])
        dice = 2 * len(p & q) / (len(p) + len(q)) if p or q else 1.0
        return 0.5 + 0.5 * dice

    forth = sum(max(match(x, y) for y in b) for x in a) / len(a)
    back = sum(max(match(x, y) for x in a) for y in b) / len(b)
    return (forth + back) / 2


def expanded(contents: Contents) -> np.ndarray:
    dense = best_match_gains(contents.kinds, contents.num_classes).toarray()
    return dense[np.ix_(contents.classes, contents.classes)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("block", [1, 100, 1 << 24])
def test_gain_from_truth_equals_the_slow_loop(monkeypatch: pytest.MonkeyPatch, seed: int, block: int) -> None:
    monkeypatch.setattr(gains_module, "_BLOCK_ENTRIES", block)
    cohort = random_cohort(seed)
    found = expanded(contents_from_truth(*linked_truth(cohort)))
    expected = [[slow_gain(a, b) for b in cohort.values()] for a in cohort.values()]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(np.diag(found), 1.0, atol=1e-6)


def test_gain_of_two_lesions_by_hand() -> None:
    cohort = {
        "a": [lesion("a", 0, "acute infarct", [1, 2, 3, 4])],
        "b": [lesion("b", 0, "acute infarct", [3, 4, 5, 6]), lesion("b", 1, "glioma mass", [9])],
        "c": [lesion("c", 0, "chronic infarct", [1, 2, 3, 4])],
    }
    found = expanded(contents_from_truth(*linked_truth(cohort)))
    assert found[0, 1] == pytest.approx((0.75 + 0.75 / 2) / 2)
    assert found[0, 2] == 0.0


def test_normal_studies_share_one_class() -> None:
    contents = contents_from_truth(*linked_truth({"a": [], "b": [lesion("b", 0, "acute infarct", [1])], "c": []}))
    assert contents.classes == [0, 1, 0]
    assert contents.is_abnormal == [False, True, False]
    np.testing.assert_array_equal(expanded(contents), [[1, 0, 1], [0, 1, 0], [1, 0, 1]])


def test_classes_do_not_depend_on_ids() -> None:
    cohort = random_cohort(5)
    renamed = {f"{index}": rows for index, rows in enumerate(cohort.values())}
    renamed = {study: [row | {"study_id": study} for row in rows] for study, rows in renamed.items()}
    first, second = (contents_from_truth(*linked_truth(given)) for given in (cohort, renamed))
    assert first.classes == second.classes
    assert first.statement_sets == second.statement_sets


def test_lesions_on_different_grids_are_refused() -> None:
    rows = [lesion("a", 0, "acute infarct", [1]), lesion("b", 0, "acute infarct", [1]) | {"template_shape": [2, 2, 2]}]
    studies, _ = linked_truth({"a": rows[:1], "b": rows[1:]})
    with pytest.raises(ValueError, match="expected one grid"):
        contents_from_truth(studies, tables.from_rows(truth_tables.LINKED_LESIONS, rows))


INFARCT = ("infarct", "insula", "left", "present")
STATEMENTS = {
    "same": {INFARCT, ("mass", None, None, "absent")},
    "again": {INFARCT, ("haemorrhage", None, None, "absent")},
    "other_side": {("infarct", "insula", "right", "present")},
    "no_side": {("infarct", "insula", None, "present")},
    "hedged": {("infarct", "insula", "left", "uncertain")},
    "mass": {("mass", "insula", "left", "present")},
    "normal": {("normal", None, None, "present")},
    "denied": {("infarct", None, None, "absent")},
    "silent": set(),
}


def test_gain_from_statements_by_hand() -> None:
    names = list(STATEMENTS)
    contents = contents_from_statements(names, STATEMENTS)
    found = {name: expanded(contents)[0][index] for index, name in enumerate(names)}
    assert found == pytest.approx(
        {
            "same": 1.0, "again": 1.0, "other_side": 0.8, "no_side": 0.9, "hedged": 0.5, "mass": 0.0, "normal": 0.0,
            "denied": 0.0, "silent": 0.0,
        }
    )  # fmt: skip
    assert contents.classes[0] == contents.classes[1]
    assert contents.classes[names.index("normal")] == contents.classes[names.index("denied")]
    assert expanded(contents)[-1, -1] == 0.0
    assert contents.is_abnormal == [True] * 6 + [False] * 3


def slow_statement_gain(a: set, b: set) -> float:
    def agree(x: str | None, y: str | None) -> float:
        return 1.0 if x == y else 0.5 if x is None or y is None else 0.0

    def match(x: tuple, y: tuple) -> float:
        if x[0] != y[0]:
            return 0.0
        place = 0.6 * agree(x[1], y[1]) + 0.4 * agree(x[2], y[2])
        return (0.5 + 0.5 * place) * (1.0 if x[3] == y[3] else 0.5)

    def one_way(p: set, q: set) -> float:
        weights = {x: 1.0 if x[3] == "present" else 0.5 for x in p}
        return sum(weights[x] * max(match(x, y) for y in q) for x in p) / sum(weights.values())

    return (one_way(a, b) + one_way(b, a)) / 2


def test_gain_from_statements_equals_the_slow_loop() -> None:
    rng = np.random.default_rng(1)
    options = (["infarct", "mass", "cyst"], [None, "insula", "thalamus"], [None, "left"], ["present", "uncertain"])
    said = {
        f"{index}": {
            tuple(str(v) if (v := rng.choice(o)) else None for o in options) for _ in range(rng.integers(1, 5))
        }
        for index in range(40)
    }
    found = expanded(contents_from_statements(list(said), said))
    expected = [[slow_statement_gain(a, b) for b in said.values()] for a in said.values()]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_reader_gives_what_was_written(tmp_path: Path) -> None:
    cohort = random_cohort(2)
    contents = contents_from_truth(*linked_truth(cohort))
    write_gains(tmp_path / GAINS, best_match_gains(contents.kinds, contents.num_classes))
    rows = [
        {"study_id": s, "relevance_class": c, "statement_set": t, "is_abnormal": a, "source": "truth"}
        for s, c, t, a in zip(
            contents.study_ids, contents.classes, contents.statement_sets, contents.is_abnormal, strict=True
        )
    ]
    tables.write(
        tmp_path / CLASSES, tables.from_rows(truth_tables.RELEVANCE_CLASSES, rows), truth_tables.RELEVANCE_CLASSES
    )
    relevance = Relevance.load(tmp_path)
    queries, gallery = contents.study_ids[5:9], contents.study_ids[::-1]
    expected = [[slow_gain(cohort[a], cohort[b]) for b in gallery] for a in queries]
    found = relevance.gain(queries, gallery)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert relevance.source == "truth"
    assert relevance.is_abnormal(queries).tolist() == [bool(cohort[study]) for study in queries]
    assert relevance.knows([queries[0], "nobody"]).tolist() == [True, False]
    with pytest.raises(ValueError, match="1 of 2 studies have no relevance class"):
        relevance.statement_set([queries[0], "nobody"])


def write_inputs(folder: Path, cohort: dict[str, list[dict]]) -> None:
    studies, lesions = linked_truth(cohort)
    tables.write(folder / "studies.parquet", studies, truth_tables.LINKED_STUDIES)
    tables.write(folder / "lesions.parquet", lesions, truth_tables.LINKED_LESIONS)
    reports = [
        {"row": row, "study_id": name, "status": "used", "sections": [], "num_masked": 0}
        for row, name in enumerate(STATEMENTS)
    ]
    tables.write(folder / "reports.parquet", tables.from_rows(report_tables.REPORTS, reports), report_tables.REPORTS)
    findings = [
        {
            "row": row, "study_id": name, "statement": number, "section": "findings", "sentence": 0, "start": 0,
            "end": 1, "finding": statement[0], "site": statement[1], "side": statement[2], "assertion": statement[3],
            "language": "en", "text": "x", "signals": [],
        }
        for row, (name, said) in enumerate(STATEMENTS.items())
        for number, statement in enumerate(sorted(said, key=repr))
    ]  # fmt: skip
    tables.write(
        folder / "findings.parquet", tables.from_rows(report_tables.FINDINGS, findings), report_tables.FINDINGS
    )
    pairs = [{"study_id": name, "text_id": number} for number, name in enumerate(STATEMENTS)]
    tables.write(folder / "pairs.parquet", tables.from_rows(report_tables.PAIRS, pairs), report_tables.PAIRS)


@pytest.mark.parametrize(("cohort", "source"), [({}, "statements"), (random_cohort(0), "truth")])
def test_the_stage_judges_by_truth_where_there_is_any(tmp_path: Path, cohort: dict, source: str) -> None:
    write_inputs(tmp_path, cohort)
    main(tmp_path, tmp_path, tmp_path, tmp_path / "out")
    relevance = Relevance.load(tmp_path / "out")
    assert relevance.source == source
    known = list(cohort) or list(STATEMENTS)
    assert relevance.knows(known).all()
    assert np.isfinite(relevance.gain(known, known)).all()
    first = (tmp_path / "out" / GAINS).read_bytes()
    main(tmp_path, tmp_path, tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / GAINS).read_bytes() == first
