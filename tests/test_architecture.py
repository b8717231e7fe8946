"""Rules of the layout: dependencies point one way, heavy imports stay where they are needed."""

import ast
from pathlib import Path

import pytest
from imports import ROOT, closure, direct_imports

FOLDERS = {
    "artifacts": set(),
    "imaging": {"artifacts"},
    "reports": {"artifacts"},
    "simulation": {"artifacts", "imaging"},
    "pretraining": {"artifacts", "imaging", "reports"},
    "evaluation": {"artifacts", "imaging", "reports", "pretraining"},
}
STAGES = sorted(path for path in (ROOT / "stages").glob("*.py") if path.stem not in {"__init__", "params"})
LIBRARY_FILES = sorted((ROOT / "stages").glob("*/**/*.py"))
MAX_LINES_FILE = 300


def third_party(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def folder_of(file: Path) -> str:
    parts = file.relative_to(ROOT / "stages").parts
    return parts[0] if len(parts) > 1 else "stage"


@pytest.mark.parametrize("file", LIBRARY_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_folders_import_only_what_lies_below_them(file):
    allowed = FOLDERS[folder_of(file)] | {folder_of(file)}
    for imported in direct_imports(file):
        if imported != ROOT / "stages" / "params.py":
            assert folder_of(imported) in allowed, f"{file.name} imports {imported.relative_to(ROOT)}"


@pytest.mark.parametrize("file", LIBRARY_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_libraries_know_neither_typer_nor_the_parameter_file(file):
    assert "typer" not in third_party(file)
    assert "params.yaml" not in [
        node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)
    ]


def test_packages_import_nothing():
    for file in (ROOT / "stages").rglob("__init__.py"):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        assert len(body) == 1
        assert isinstance(body[0], ast.Expr), f"{file}: an __init__ is a docstring only"


def test_every_stage_is_an_entry_point_with_a_main():
    for file in STAGES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert "main" in functions, file
        assert "typer" in third_party(file), file


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("sentence_transformers", {"encode_texts"}),
        (
            "spacy",
            {
                "extract_findings",
                "score_extraction",
                "show_quality",
                "evaluate_generation",
                "evaluate_generation_references",
            },
        ),
        ("scispacy", {"extract_findings", "score_extraction", "evaluate_generation", "evaluate_generation_references"}),
        ("lightning_fabric", {"pretrain"}),
        ("SimpleITK", {"register_atlas"}),
        (
            "torch",
            {
                "audit_negatives",
                "pretrain",
                "embed_studies",
                "evaluate_finetuning",
                "evaluate_generation",
                "evaluate_generation_references",
                "evaluate_localisation",
                "evaluate_localisation_references",
                "evaluate_regions",
                "evaluate_regions_references",
                "evaluate_segmentation",
                "evaluate_vqa",
                "draw_saliency",
                "simulate_cohort",
                "train_report_decoder",
            },
        ),
        ("matplotlib", {"prepare_volumes", "tabulate_results", "draw_saliency", "show_quality"}),
    ],
)
def test_slow_imports_stay_where_they_are_needed(package, allowed):
    users = {stage.stem for stage in STAGES if any(package in third_party(ROOT / f) for f in python_closure(stage))}
    assert users <= allowed


def python_closure(stage):
    return [file for file in closure(stage) if file.endswith(".py")]


def test_nothing_is_unpickled():
    for file in [*STAGES, *LIBRARY_FILES]:
        assert not third_party(file) & {"pickle", "dill", "cloudpickle"}, file
        text = file.read_text(encoding="utf-8")
        assert "torch.load(" not in text or "weights_only=True" in text, file


def test_files_stay_short():
    long = {
        str(file.relative_to(ROOT)): count
        for file in [*STAGES, *LIBRARY_FILES]
        if (count := len(file.read_text(encoding="utf-8").splitlines())) > MAX_LINES_FILE
    }
    assert not long
