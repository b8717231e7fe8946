"""Export an objective's own heads beside the encoders, for evaluations that judge them too.

Most objectives are their loss alone, and nothing of them is used after training. One whose class says
``has_own_heads = True`` (a decoder, a presence head) is written whole, with what it takes to build it again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from stages.params import Params
from stages.pretraining.batch import Facts
from stages.pretraining.methods import find_objective, read_params
from stages.pretraining.vocabulary import Vocabulary

_FILE = "objective.json"
_PLAIN = ("embedding_dim", "num_labels", "patches_shape", "regions", "findings", "vocabulary_size", "max_tokens")
_TENSORS = ("is_head_P", "definition_FE", "name_FE")


@dataclass(frozen=True)
class OwnHeads:
    """A trained objective, and the words that its decoder writes.

    Attributes:
        objective: in evaluation mode.
        facts: what it was built with.
        vocabulary: None for one that writes nothing.
    """

    objective: Any
    facts: Facts
    vocabulary: Vocabulary | None

    @property
    def tells_presence(self) -> bool:
        """Whether the objective has ``presence_logits`` that were trained."""
        return getattr(self.objective, "tells_presence", hasattr(self.objective, "presence_logits"))


def has_own_heads(objective: type) -> bool:
    """Tell whether the class of an objective has heads to export."""
    return getattr(objective, "has_own_heads", False)


def export_heads(folder: Path, heads: OwnHeads, method: str, params: Params, seed: int) -> None:
    """Write the objective of one seed, and once what builds it again.

    Args:
        folder: of the exported encoders.
        heads: what is written.
        method: file of the objective.
        params: its parameters.
        seed: of the training.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "method": method,
        "params": params.model_dump(),
        "facts": {name: getattr(heads.facts, name) for name in _PLAIN},
        "vocabulary": None if heads.vocabulary is None else heads.vocabulary.to_json(),
    }
    (folder / _FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    weights = {f"objective.{name}": values for name, values in heads.objective.state_dict().items()}
    given = {f"facts.{name}": tensor for name in _TENSORS if (tensor := getattr(heads.facts, name)) is not None}
    save_file(
        {name: values.detach().cpu().contiguous() for name, values in (weights | given).items()},
        folder / f"objective_seed{seed}.safetensors",
    )


def is_exported(folder: Path) -> bool:
    """Tell whether a folder of exported encoders holds an objective's own heads."""
    return (folder / _FILE).is_file()


def load_heads(folder: Path, seed: int) -> OwnHeads:
    """Load the objective of one seed, in evaluation mode, on the CPU.

    Raises:
        FileNotFoundError: if the folder holds none.
    """
    if not is_exported(folder):
        raise FileNotFoundError(f"{folder / _FILE}: no exported objective; rerun the pretrain stage (`dvc repro`)")
    about = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    stored = load_file(folder / f"objective_seed{seed}.safetensors")
    told: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in about["facts"].items()
    }
    told |= {name: stored[f"facts.{name}"] for name in _TENSORS if f"facts.{name}" in stored}
    facts = Facts(**told)
    found = find_objective(about["method"])
    objective: Any = found(read_params(found, about["params"], "objective.params"), facts)
    prefix = "objective."
    weights = {name.removeprefix(prefix): values for name, values in stored.items() if name.startswith(prefix)}
    objective.load_state_dict(weights)
    objective.eval().requires_grad_(False)
    vocabulary = None if about["vocabulary"] is None else Vocabulary.from_json(about["vocabulary"])
    return OwnHeads(objective, facts, vocabulary)
