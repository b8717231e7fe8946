"""The whole pipeline at the size of `large.yaml`, for a machine with a GPU, with what it cost.

Run as ``make large``. Tables go to `results/gpu/`, beside a page with the exact command, the device,
throughput, peak memory and the share of the device's peak that training reaches (model FLOP
utilisation). A killed run is taken up where it was.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
from pathlib import Path
from typing import Any

import torch
from copies import PIPELINE_FILES, ROOT, change, experiment, make_copy, read_yaml, run

from stages.evaluation.markdown import write_table

# Figures of a training, and how they are shown.
FIGURES = {
    "images_per_second": ("images/s", "{:.0f}"),
    "peak_memory_mib": ("peak memory, MiB", "{:.0f}"),
    "gigaflops_per_image": ("GFLOP an image", "{:.2f}"),
    "model_flop_utilisation": ("model FLOP utilisation", "{:.1%}"),
    "seconds": ("seconds a seed", "{:.0f}"),
}


def describe_device() -> str:
    """Name the device that training uses."""
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}"
    return f"{platform.processor() or platform.machine()}, no GPU, PyTorch {torch.__version__}"


def cost_table(training: Path, names: list[str]) -> str:
    """What the trainings of every objective cost, mean over seeds, in Markdown."""
    rows = []
    for name in names:
        seeds = json.loads((training / f"{name}.json").read_text(encoding="utf-8")).values()
        cells = [_mean(list(seeds), figure, form) for figure, (_, form) in FIGURES.items()]
        rows.append([f"`{name}`", *cells])
    return write_table(["objective", *(title for title, _ in FIGURES.values())], rows)


def _mean(seeds: list[dict[str, float]], figure: str, form: str) -> str:
    values = [seed[figure] for seed in seeds if figure in seed]
    return form.format(sum(values) / len(values)) if values else "–"


def write_results(copy: Path, out: Path, changes: dict[str, Any], names: list[str]) -> None:
    """Copy the tables of a finished run, and say what it cost."""
    if out.exists():
        shutil.rmtree(out)
    shutil.copytree(copy / "results", out, ignore=shutil.ignore_patterns(*PIPELINE_FILES))
    parts = [
        "# A larger run",
        f"Simulated cohort. Device: {describe_device()}. Command: `make large`, which is",
        f"```sh\n{experiment(changes)}\n```",
        "## What training cost",
        cost_table(copy / "data" / "training", names),
        "Model FLOP utilisation: products and convolutions of a forward pass, three times, per second, over the "
        "device's dense bfloat16 peak; – where the peak is not known.",
        "The tables: [results](README.md).",
    ]
    (out / "run.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def main() -> None:
    """Run the pipeline under the changes, and collect what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=Path, default=ROOT / "benchmarks" / "large.yaml")
    parser.add_argument("--copy", type=Path, default=ROOT / "work" / "large")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "gpu")
    arguments = parser.parse_args()
    params, changes = read_yaml(ROOT / "params.yaml"), dict(read_yaml(arguments.changes))
    for dotted, value in changes.items():
        change(params, dotted, value)
    make_copy(arguments.copy, params)
    run(arguments.copy, "dvc", "repro")
    write_results(arguments.copy, arguments.out, changes, list(params["objectives"]))


if __name__ == "__main__":
    main()
