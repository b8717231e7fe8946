"""One training step whose batch may exceed memory and be spread over processes.

Contrastive losses need all embeddings of a batch at once, but encoders do not: embeddings are
computed chunk by chunk, the loss gives its gradient with respect to each, and every chunk is then
sent backwards with its share (GradCache, arXiv 2101.06983). The gradient is that of the full
batch, whatever the objective. Encoders must be deterministic given their input: no dropout, no
batch normalisation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

Inputs = dict[str, Tensor]
Reduce = Callable[[Tensor], Tensor]


class CachedEmbeddings:
    """Embeddings of one tower for a batch, and the way back into it.

    Attributes:
        leaves: embeddings of the whole batch, the leaves that the loss is derived by.
    """

    def __init__(
        self,
        tower: nn.Module,
        inputs: Inputs,
        *,
        chunk_size: int | None,
        autocast: Callable[[], AbstractContextManager],
        rank: int = 0,
        num_ranks: int = 1,
        reduce_sum: Reduce | None = None,
    ) -> None:
        """Embed a batch.

        Args:
            tower: called with the inputs as keyword arguments.
            inputs: tensors with one row a sample, the same on every process.
            chunk_size: rows embedded at a time; None keeps the graph of the whole batch and
                spares the second pass.
            autocast: context of mixed precision.
            rank: this process, which embeds its share of the rows.
            num_ranks: how many processes share the batch.
            reduce_sum: sum of a tensor over the processes; None for a single one.

        Raises:
            ValueError: if there are fewer rows than processes.
        """
        self._tower = tower
        self._inputs = inputs
        self._autocast = autocast
        num_rows = len(next(iter(inputs.values())))
        if num_rows < num_ranks:
            raise ValueError(
                f"{num_rows} rows for {num_ranks} processes; raise pretrain.batch_size or use fewer devices"
            )
        own = range(rank * num_rows // num_ranks, (rank + 1) * num_rows // num_ranks)
        size = chunk_size or len(own)
        self._chunks = [slice(first, min(first + size, own.stop)) for first in range(own.start, own.stop, size)]
        self._graph: Tensor | None = None
        self.leaves = self._gather(num_rows, reduce_sum).requires_grad_()

    def backward(self) -> None:
        """Send the gradient of ``leaves`` back through the tower."""
        gradient = self.leaves.grad
        if gradient is None:
            return
        for chunk in self._chunks:
            embeddings = self._embed(chunk) if self._graph is None else self._graph
            if embeddings.requires_grad:
                embeddings.backward(gradient[chunk].to(embeddings.dtype))

    def _gather(self, num_rows: int, reduce_sum: Reduce | None) -> Tensor:
        parts = list(self._embed_all())
        if reduce_sum is None:
            return torch.cat(parts).float()
        # Every process fills its own rows: a sum is a gather that allows uneven shares.
        whole = parts[0].new_zeros(num_rows, *parts[0].shape[1:], dtype=torch.float32)
        for chunk, part in zip(self._chunks, parts, strict=True):
            whole[chunk] = part.float()
        return reduce_sum(whole)

    def _embed_all(self) -> Iterator[Tensor]:
        if len(self._chunks) == 1:
            self._graph = self._embed(self._chunks[0])
            yield self._graph.detach()
            return
        with torch.no_grad():
            for chunk in self._chunks:
                yield self._embed(chunk)

    def _embed(self, rows: slice) -> Tensor:
        with self._autocast():
            return self._tower(**{name: values[rows] for name, values in self._inputs.items()})
