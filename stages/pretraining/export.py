"""Trained towers as safetensors and JSON, to be used without DVC, Fabric or this pipeline.

import torch
from pathlib import Path
from stages.pretraining.export import load_encoders

encoders = load_encoders(Path("data/models/selip"), seed=0)
inputs = encoders.standardise(volumes, is_present)  # uint8 (B, S, R, A, S) and (B, S) booleans
embedding = encoders.image(inputs, torch.from_numpy(is_present))
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn

from stages.pretraining.standardisation import Standardiser
from stages.pretraining.text_tower import load_tokeniser, transformer_folder
from stages.pretraining.towers import TowerConfig, Towers, build_towers

_CONFIG = "encoders.json"
_TRANSFORMER = "transformer"


def export_encoders(folder: Path, towers: Towers, seed: int) -> None:
    """Write the weights of one seed, and once what builds the towers again."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = nn.ModuleDict({"image": towers.image, "text": towers.text})
    if towers.label_head is not None:
        parts["label_head"] = towers.label_head
    weights = {name: values.detach().cpu().contiguous() for name, values in parts.state_dict().items()}
    save_file(weights, folder / f"seed{seed}.safetensors")
    (folder / _CONFIG).write_text(towers.config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if towers.text.backbone is not None:
        towers.text.backbone.config.save_pretrained(folder / _TRANSFORMER)  # type: ignore[union-attr, operator]
        tokeniser = load_tokeniser(transformer_folder(towers.config.text.encoder))
        tokeniser.save_pretrained(folder / _TRANSFORMER)


def load_config(folder: Path) -> TowerConfig:
    """Read what the exported towers of a folder are.

    Raises:
        FileNotFoundError: if nothing was exported there.
    """
    path = folder / _CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no exported encoders; run the pretrain stage (`dvc repro`)")
    config = TowerConfig.model_validate(json.loads(path.read_text(encoding="utf-8")))
    if (folder / _TRANSFORMER).is_dir():
        text = config.text.model_copy(update={"encoder": str(folder / _TRANSFORMER)})
        config = config.model_copy(update={"text": text})
    return config


def exported_seeds(folder: Path) -> list[int]:
    """List the seeds that a folder holds, in order."""
    return sorted(int(path.stem.removeprefix("seed")) for path in folder.glob("seed*.safetensors"))


def load_encoders(folder: Path, seed: int = 0) -> Towers:
    """Load the towers of one seed, in evaluation mode, on the CPU.

    Raises:
        FileNotFoundError: if the seed was not exported; the message lists those that were.
    """
    config = load_config(folder)
    path = folder / f"seed{seed}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such seed; the folder holds {exported_seeds(folder)}")
    towers = build_towers(config, seed)
    parts = nn.ModuleDict({"image": towers.image, "text": towers.text})
    if config.classes:
        parts["label_head"] = nn.Linear(config.embedding_dim, len(config.classes))
    parts.load_state_dict(load_file(path))
    parts.eval().requires_grad_(False)
    head = parts["label_head"] if config.classes else None
    return replace(towers, label_head=head, standardiser=Standardiser.load(folder))  # type: ignore[arg-type]
