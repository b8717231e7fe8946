"""The training loop, the same for every objective: one seed from its first step, or from a checkpoint.

All randomness is a function of seed and step, so that a killed run resumes to the same weights.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn
from tqdm import tqdm

from stages.params import Params
from stages.pretraining.augmentation import Draws
from stages.pretraining.batch import Batch, Facts
from stages.pretraining.checkpoints import load_state, save_state
from stages.pretraining.corpus import Collator, Corpus, Samples
from stages.pretraining.curves import Curves
from stages.pretraining.export import export_encoders
from stages.pretraining.flops import flops_per_row, peak_flops
from stages.pretraining.gradient_cache import CachedEmbeddings
from stages.pretraining.objectives.base import Objective, Outcome
from stages.pretraining.optimisation import build_optimiser, learning_rate
from stages.pretraining.pairs import batches
from stages.pretraining.settings import PretrainParams
from stages.pretraining.towers import OBJECTIVE_STREAM, TowerConfig, Towers, build_towers, seeded

_MIB = 2**20
_KIB_PER_MIB = 1024
_GIGA = 1e9


@dataclass(frozen=True)
class Recipe:
    """What is trained, and where its state and curves go.

    Attributes:
        params: section ``pretrain``.
        towers: what the towers are.
        objective: class of the objective.
        objective_params: its parameters.
        work: folder of this recipe's checkpoints; its name holds the hash of all inputs.
        curves: folder of the curves.
    """

    params: PretrainParams
    towers: TowerConfig
    objective: type[Objective]
    objective_params: Params
    work: Path
    curves: Path


@dataclass(frozen=True)
class Trained:
    """Towers after their last update, and figures about the run."""

    towers: Towers
    figures: dict[str, float]


def open_fabric(params: PretrainParams) -> Fabric:
    """Start Fabric on the devices that the parameters ask for, with the precision that suits them."""
    torch.set_num_threads(params.num_threads)
    precision: Any = params.precision
    if precision == "auto":
        is_gpu = params.accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available()
        precision = "bf16-mixed" if is_gpu else "32-true"
    fabric = Fabric(
        accelerator=params.accelerator, devices=params.devices, num_nodes=params.num_nodes, precision=precision
    )
    fabric.launch()
    return fabric


def train_seeds(corpus: Corpus, recipe: Recipe, out: Path) -> dict[str, dict[str, float]]:
    """Train every seed, one after the other on all threads, and export the towers.

    Args:
        corpus: loaded once for all seeds.
        recipe: what is trained.
        out: folder of the exported towers.

    Returns:
        Figures about each run, by ``seed<k>``: final losses, throughput, peak memory.
    """
    fabric = open_fabric(recipe.params)
    report = {}
    for seed in recipe.params.seeds:
        trained = Trainer(fabric, corpus, recipe, seed).run()
        report[f"seed{seed}"] = trained.figures
        if fabric.is_global_zero:
            export_encoders(out, trained.towers, seed)
    return report


class Trainer:
    """One training of one seed."""

    def __init__(self, fabric: Fabric, corpus: Corpus, recipe: Recipe, seed: int) -> None:
        """Draw the towers and the objective of a seed, or take them from its checkpoint."""
        self._fabric, self._corpus, self._recipe, self._seed = fabric, corpus, recipe, seed
        params = recipe.params
        self._towers = build_towers(recipe.towers, seed)
        self._needs = recipe.objective.needs(recipe.objective_params)
        patch_mask = corpus.patch_mask(params.image.patch_size) if "hidden_patches" in self._needs else None
        facts = Facts(
            params.embedding_dim,
            len(recipe.towers.classes),
            corpus.similarity_quantile if corpus.similarity is not None else None,
            (0, 0) if patch_mask is None else patch_mask.patches_shape,
        )
        with seeded(seed, OBJECTIVE_STREAM):
            self._objective: Any = recipe.objective(recipe.objective_params, facts)
        parts: dict[str, Any] = {
            "image": self._towers.image,
            "text": self._towers.text,
            "objective": self._objective,
        }
        self._modules = nn.ModuleDict(parts).to(fabric.device)
        self._trained = [parameter for parameter in self._modules.parameters() if parameter.requires_grad]
        self._optimiser = build_optimiser(params.optimiser, [self._modules])
        self._reads_text = recipe.objective.aligns_text
        self._collator = Collator(
            corpus, params.batch_size, self._needs, patch_mask=patch_mask, reads_text=self._reads_text
        )
        self._folder = recipe.work / f"seed{seed}"
        self._state: dict[str, Any] = {"step": 0, "history": [], "seconds": 0.0}
        self._resume()

    def run(self) -> Trained:
        """Train to the last update; a training that ended before is not repeated."""
        params, state = self._recipe.params, self._state
        started = time.perf_counter() - state["seconds"]
        folder, is_first = self._recipe.curves / f"seed{self._seed}", self._fabric.is_global_zero
        with Curves(folder, state["history"], is_written=is_first) as curves:
            for step, rows_B in self._batches():
                outcome = self._update(step, rows_B)
                if (step + 1) % params.log_interval == 0 or step + 1 == params.updates:
                    curves.add(step + 1, **self._figures(outcome, step + 1))
                if (step + 1) % params.checkpoint_interval == 0 or step + 1 == params.updates:
                    self._save(step + 1, curves.history, time.perf_counter() - started)
            self._modules.eval()
            return Trained(
                replace(self._towers, label_head=self._objective.label_head), self._summary(curves.history[-1])
            )

    def _batches(self) -> Iterator[tuple[int, np.ndarray]]:
        params, rows, first = self._recipe.params, self._corpus.training_rows, self._state["step"]
        order = batches(self._corpus.text_groups(rows), params.batch_size, params.batching, self._seed)
        steps = tqdm(
            range(first, params.updates), desc=f"seed {self._seed}", unit="update", initial=first,
            total=params.updates, disable=None,
        )  # fmt: skip
        for step, picked in zip(steps, islice(order, first, None), strict=False):
            yield step, rows[picked]

    def _update(self, step: int, rows_B: np.ndarray) -> Outcome:
        params = self._recipe.params
        bank = self._corpus.bank
        draws = Draws.of_step(
            params.augmentation, bank.is_present_NS[rows_B], len(bank.shape), seed=self._seed, step=step
        )
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(params.optimiser, step, params.updates)
        self._modules.train()
        self._optimiser.zero_grad(set_to_none=True)
        outcome = self._derive(self._collator.collate(rows_B, draws).to(self._fabric.device))
        torch.nn.utils.clip_grad_norm_(self._trained, params.optimiser.max_gradient_norm)
        self._optimiser.step()
        return outcome

    def _derive(self, samples: Samples) -> Outcome:
        """Leave the gradient of the whole batch in every parameter."""
        images = self._embed(self._towers.image, samples.image_inputs)
        texts = self._embed(self._towers.text, samples.text_inputs) if self._reads_text else None
        text_UD = self._no_text(images.leaves) if texts is None else texts.leaves
        outcome: Outcome = self._objective(Batch(images.leaves, text_UD, **samples.told))
        outcome.loss.backward()
        images.backward()
        if texts is not None:
            texts.backward()
        if self._fabric.world_size > 1:
            self._add_gradients()
        return outcome

    def _embed(self, tower: nn.Module, inputs: dict[str, torch.Tensor]) -> CachedEmbeddings:
        fabric = self._fabric
        return CachedEmbeddings(
            tower,
            inputs,
            chunk_size=self._recipe.params.micro_batch_size,
            autocast=fabric.autocast,
            rank=fabric.global_rank,
            num_ranks=fabric.world_size,
            reduce_sum=self._sum if fabric.world_size > 1 else None,
        )

    @staticmethod
    def _no_text(image_BD: torch.Tensor) -> torch.Tensor:
        return image_BD.new_zeros(1, image_BD.shape[1])

    def _sum(self, tensor: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self._fabric.all_reduce(tensor, reduce_op="sum"))

    def _add_gradients(self) -> None:
        # Each process derived its own rows of the towers, but the whole of the objective.
        for tower in (self._towers.image, self._towers.text):
            for parameter in tower.parameters():
                if parameter.grad is not None:
                    parameter.grad = self._sum(parameter.grad)

    @torch.no_grad()
    def _validate(self) -> float | None:
        """Mean loss over whole validation batches without augmentation, None without such a batch."""
        self._modules.eval()
        rows, bank, size = self._corpus.validation_rows, self._corpus.bank, self._recipe.params.batch_size
        losses = []
        for first in range(0, len(rows) - size + 1, size):
            picked = rows[first : first + size]
            draws = Draws.none(bank.is_present_NS[picked], len(bank.shape))
            samples = self._collator.collate(picked, draws).to(self._fabric.device)
            with self._fabric.autocast():
                image_BD = self._towers.image(**samples.image_inputs)
                reads = self._reads_text
                text_UD = self._towers.text(**samples.text_inputs) if reads else self._no_text(image_BD)
            losses.append(self._objective(Batch(image_BD, text_UD, **samples.told)).loss.item())
        return float(np.mean(losses)) if losses else None

    def _figures(self, outcome: Outcome, step: int) -> dict[str, float]:
        named = {"loss": outcome.loss, **outcome.losses, **outcome.logged}
        figures = {name: value.item() for name, value in named.items()}
        interval = self._recipe.params.validation_interval
        is_due = step == self._recipe.params.updates or (interval is not None and step % interval == 0)
        loss = self._validate() if is_due else None
        return figures if loss is None else figures | {"validation_loss": loss}

    def _save(self, step: int, history: list[dict[str, float]], seconds: float) -> None:
        self._state = {"step": step, "history": history, "seconds": seconds}
        if self._fabric.is_global_zero:
            weights = {"modules": self._modules.state_dict(), "optimiser": self._optimiser.state_dict()}
            save_state(self._folder, self._state | weights)
        self._fabric.barrier()

    def _resume(self) -> None:
        if state := load_state(self._folder):
            self._modules.load_state_dict(state.pop("modules"))
            self._optimiser.load_state_dict(state.pop("optimiser"))
            self._state = state

    def _summary(self, last: dict[str, float]) -> dict[str, float]:
        params = self._recipe.params
        is_gpu = self._fabric.device.type == "cuda"
        peak_mib = (
            torch.cuda.max_memory_allocated() / _MIB
            if is_gpu
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_PER_MIB
        )
        images_per_second = params.updates * params.batch_size / self._state["seconds"]
        flops = self._flops_per_image()
        peak = peak_flops(self._fabric.device)
        utilisation = (
            {"model_flop_utilisation": flops * images_per_second / (peak * self._fabric.world_size)} if peak else {}
        )
        return {
            **{name: value for name, value in last.items() if name != "step"},
            "seconds": round(self._state["seconds"], 2),
            "images_per_second": round(images_per_second, 1),
            "peak_memory_mib": round(peak_mib, 1),
            "gigaflops_per_image": round(flops / _GIGA, 4),
            **utilisation,
        }

    def _flops_per_image(self) -> float:
        """Cost of one image and its share of the texts; a batch without augmentation stands for all."""
        rows_B, bank = self._corpus.training_rows[:2], self._corpus.bank
        draws = Draws.none(bank.is_present_NS[rows_B], len(bank.shape))
        samples = self._collator.collate(rows_B, draws).to(self._fabric.device)
        flops = flops_per_row(self._towers.image, samples.image_inputs)
        return flops + (flops_per_row(self._towers.text, samples.text_inputs) if self._reads_text else 0.0)
