"""The training loop, the same for every objective: one seed from its first step, or from a checkpoint.

All randomness is a function of seed and step, so that a killed run resumes to the same weights.
"""

from __future__ import annotations

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
from stages.pretraining.checkpoints import load_state, save_state
from stages.pretraining.corpus import Collator, Corpus
from stages.pretraining.curves import Curves
from stages.pretraining.export import export_encoders
from stages.pretraining.facts import gather_facts
from stages.pretraining.flops import STEP_OVER_FORWARD, count_flops
from stages.pretraining.gradient_cache import CachedEmbeddings
from stages.pretraining.objectives.base import Objective, Outcome
from stages.pretraining.optimisation import build_optimiser, learning_rate
from stages.pretraining.own_heads import OwnHeads, export_heads, has_own_heads
from stages.pretraining.pairs import batches
from stages.pretraining.run_figures import run_figures
from stages.pretraining.samples import Embedded, Samples, assemble
from stages.pretraining.settings import PretrainParams
from stages.pretraining.towers import OBJECTIVE_STREAM, TowerConfig, Towers, WithPatches, build_towers, seeded


@dataclass(frozen=True)
class Recipe:
    """What is trained, and where its state and curves go.

    Attributes:
        params: section ``pretrain``.
        towers: what the towers are.
        method: file of the objective.
        objective: its class.
        objective_params: its parameters.
        hidden_share: of the head's patches, where the objective has some hidden.
        work: folder of this recipe's checkpoints; its name holds the hash of all inputs.
        curves: folder of the curves.
    """

    params: PretrainParams
    towers: TowerConfig
    method: str
    objective: type[Objective]
    objective_params: Params
    hidden_share: float
    work: Path
    curves: Path


@dataclass(frozen=True)
class Trained:
    """Towers and objective after their last update, and figures about the run."""

    towers: Towers
    heads: OwnHeads
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
            if has_own_heads(recipe.objective):
                export_heads(out, trained.heads, recipe.method, recipe.objective_params, seed)
    return report


class Trainer:
    """One training of one seed."""

    def __init__(self, fabric: Fabric, corpus: Corpus, recipe: Recipe, seed: int) -> None:
        """Draw the towers and the objective of a seed, or take them from its checkpoint."""
        self._fabric, self._corpus, self._recipe, self._seed = fabric, corpus, recipe, seed
        params = recipe.params
        self._towers = build_towers(recipe.towers, seed)
        self._needs = recipe.objective.needs(recipe.objective_params)
        has_patches = bool(self._needs & {"hidden_patches", "patches"})
        patch_mask = corpus.patch_mask(params.image.patch_size, recipe.hidden_share) if has_patches else None
        self._facts = gather_facts(corpus, recipe.towers, patch_mask)
        with seeded(seed, OBJECTIVE_STREAM):
            self._objective: Any = recipe.objective(recipe.objective_params, self._facts)
        parts: dict[str, Any] = {
            "image": self._towers.image,
            "text": self._towers.text,
            "objective": self._objective,
        }
        self._modules = nn.ModuleDict(parts).to(fabric.device)
        self._image_tower = WithPatches(self._towers.image) if "patches" in self._needs else self._towers.image
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
            towers = replace(self._towers, label_head=self._objective.label_head)
            heads = OwnHeads(self._objective, self._facts, self._corpus.vocabulary)
            return Trained(towers, heads, self._summary(curves.history[-1]))

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
        outcome = self._derive(self._collator.collate(rows_B, draws).to(self._fabric.device), step / params.updates)
        torch.nn.utils.clip_grad_norm_(self._trained, params.optimiser.max_gradient_norm)
        self._optimiser.step()
        return outcome

    def _derive(self, samples: Samples, progress: float) -> Outcome:
        """Leave the gradient of the whole batch in every parameter."""
        images = self._embed(self._image_tower, samples.image_inputs)
        texts = [self._embed(self._towers.text, inputs) if inputs else None for inputs in samples.texts]
        text_UD, sentence_MD = (part.leaves if part else None for part in texts)
        embedded = Embedded(images.leaves, text_UD, sentence_MD, self._whole(samples))
        outcome: Outcome = self._objective(assemble(samples, embedded, progress))
        outcome.loss.backward()
        for part in (images, *texts):
            if part is not None:
                part.backward()
        if self._fabric.world_size > 1:
            self._add_gradients()
        return outcome

    @torch.no_grad()
    def _whole(self, samples: Samples) -> torch.Tensor | None:
        """Patches of the images before some were hidden, without a gradient."""
        inputs, size = samples.whole_inputs, self._recipe.params.micro_batch_size
        if not inputs:
            return None
        chunks = zip(*(values.split(size or len(values)) for values in inputs.values()), strict=True)
        with self._fabric.autocast():
            return torch.cat([self._towers.image.encode_patches(*chunk) for chunk in chunks]).float()  # type: ignore[operator]

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
            losses.append(self._judge(samples).loss.item())
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
        num_images = self._recipe.params.updates * self._recipe.params.batch_size
        about = self._fabric.device, self._fabric.world_size, num_images, self._state["seconds"]
        return {
            **{name: value for name, value in last.items() if name != "step"},
            **run_figures(*about, self._flops_per_image()),
        }

    def _flops_per_image(self) -> float:
        """Cost of one image of a batch without augmentation: towers, what the objective computes, whole images."""
        size, bank = self._recipe.params.batch_size, self._corpus.bank
        rows_B = self._corpus.training_rows[:size]
        draws = Draws.none(bank.is_present_NS[rows_B], len(bank.shape))
        samples = self._collator.collate(rows_B, draws).to(self._fabric.device)
        # Whole images are encoded without a gradient, hence once and not three times.
        whole = count_flops(lambda: self._whole(samples))
        step = count_flops(lambda: self._judge(samples))
        return (STEP_OVER_FORWARD * (step - whole) + whole) / len(rows_B)

    @torch.no_grad()
    def _judge(self, samples: Samples) -> Outcome:
        """What the objective says of a batch as it is."""
        with self._fabric.autocast():
            text_UD, sentence_MD = (self._towers.text(**inputs) if inputs else None for inputs in samples.texts)
            image = self._image_tower(**samples.image_inputs)
        embedded = Embedded(image, text_UD, sentence_MD, self._whole(samples))
        outcome: Outcome = self._objective(assemble(samples, embedded, progress=1.0))
        return outcome
