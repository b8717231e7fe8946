import json

from copies import ROOT, change, read_yaml
from large_run import FIGURES, write_results
from ruamel.yaml import YAML

from stages.imaging.volumes import VolumeParams
from stages.params import load
from stages.pretraining.encoders import build_image_encoder
from stages.pretraining.settings import PretrainParams

PARAMS = read_yaml(ROOT / "params.yaml")
CHANGES = dict(read_yaml(ROOT / "benchmarks" / "large.yaml"))


def changed_params(path):
    params = read_yaml(ROOT / "params.yaml")
    for dotted, value in CHANGES.items():
        change(params, dotted, value)
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(params, file)
    return path


def test_the_larger_run_is_as_large_as_it_says_and_its_encoder_fits(tmp_path):
    path = changed_params(tmp_path / "params.yaml")
    assert sum(CHANGES[f"simulate_cohort.num_{name}"] for name in ("development", "test", "shifted")) >= 4000
    shape = load("prepare_volumes", VolumeParams, path).shape
    assert min(shape) >= 64
    pretrain = load("pretrain", PretrainParams, path)
    build_image_encoder(
        pretrain.image,
        num_sequences=len(pretrain.sequences),
        shape=tuple(shape),
        embedding_dim=pretrain.embedding_dim,
    )


def test_the_page_says_what_was_run_and_what_it_cost(tmp_path):
    copy, out = tmp_path / "copy", tmp_path / "gpu"
    (copy / "results").mkdir(parents=True)
    for name in ("README.md", "dvc.yaml", "dvc.lock"):
        (copy / "results" / name).write_text("# Results\n", encoding="utf-8")
    (copy / "data" / "training").mkdir(parents=True)
    seeds = {f"seed{seed}": dict.fromkeys(FIGURES, value) for seed, value in enumerate((0.2, 0.4))}
    (copy / "data" / "training" / "clip.json").write_text(json.dumps(seeds), encoding="utf-8")
    (copy / "data" / "training" / "random.json").write_text(json.dumps({"seed0": {}}), encoding="utf-8")
    write_results(copy, out, {"pretrain.updates": 5}, ["clip", "random"])
    page = (out / "run.md").read_text(encoding="utf-8")
    assert "dvc exp run -S pretrain.updates=5" in page
    assert "30.0%" in page
    assert "| `random` | – |" in page
    assert {path.name for path in out.iterdir()} == {"README.md", "run.md"}
