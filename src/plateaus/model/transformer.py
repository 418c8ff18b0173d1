"""Run a causal language model at its last token alone, after a prefix that is computed once.

This module hides the differences between architectures. Most of them are handled by TransformerLens' bridge, which
gives every model the same component names. Attention is causal and both prompts of a pair share their prefix, so the
keys and values of the prefix never change, and one residual vector at the last position (a row) is enough.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.model import architecture, loading
from plateaus.model.freezing import Freezing
from plateaus.model.prefix import Prefix

Rows = Float[Tensor, "rows d_model"]


class _ReachedError(Exception):
    """Stops a block once the hooks have seen everything that is needed; not an error."""


class BlockOutput(NamedTuple):
    """The output of one block at the last token.

    Attributes:
        resid_post: The residual stream after the block, (rows, d_model).
        mlp_input: The residual vectors that the MLP branch reads (before its norm), (rows, d_model).
        parts: If requested, `attn_out` and `mlp_out`, which attention and the MLP add to the residual stream, each
            (rows, d_model); otherwise empty.
    """

    resid_post: Rows
    mlp_input: Rows
    parts: dict[str, Rows]


class Transformer:
    """A language model that was loaded from a folder, for inference on one device in float32."""

    def __init__(self, bridge: Any) -> None:
        self.bridge = bridge
        self.n_layers: int = int(bridge.cfg.n_layers)
        self.d_model: int = int(bridge.cfg.d_model)
        self.d_mlp: int = int(bridge.cfg.d_mlp or 4 * bridge.cfg.d_model)
        self.n_heads: int = int(bridge.cfg.n_heads)
        self.d_vocab: int = int(bridge.cfg.d_vocab)
        whole = bridge.original_model
        self.device = next(tensor.device for tensor in itertools.chain(whole.parameters(), whole.buffers()))

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu", centre: bool = False) -> Transformer:
        """Load a Hugging Face folder (safetensors and tokenizer) without contacting a hub.

        Args:
            folder: The model folder, made by the fetch stage.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            centre: Remove the mean over d_model from everything that is written to the residual stream, as
                TransformerLens 2 did for the post (LayerNorm models; logits do not depend on it).

        Raises:
            InputError: if this machine has no such device, or norms that should be linear are not.
        """
        chosen = loading.pick_device(device)
        return cls(loading.boot(folder, chosen, centre))

    # ---- whole sequences -------------------------------------------------------------------------------------

    @torch.no_grad()
    def run(self, token_ids: list[int]) -> tuple[Float[Tensor, "layers d_model"], Float[Tensor, "position d_vocab"]]:
        """Run a plain forward pass of a whole prompt.

        Returns:
            resid_post of every layer at the last token, and the logits at every position.
        """
        captured: list[Tensor] = []
        with self._watch_blocks(lambda _, output: captured.append(_hidden(output)[0, -1].clone())):
            logits = self._forward(token_ids).logits
        return torch.stack(captured), logits[0].float()

    @torch.no_grad()
    def prefix(self, token_ids: list[int]) -> Prefix:
        """Run a prefix (possibly of no tokens) once and keep everything that the rows after it need."""
        cache = self._forward(token_ids, use_cache=True).past_key_values if token_ids else None
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        handles = [
            block.register_forward_pre_hook(
                lambda _, args, kwargs: calls.append((args[1:], dict(kwargs))), with_kwargs=True
            )
            for block in self.bridge.blocks
        ]
        keys = [] if cache is None else [layer.keys.clone() for layer in cache.layers]
        values = [] if cache is None else [layer.values.clone() for layer in cache.layers]
        try:
            # Any token will do: apart from its residual input, a block's arguments depend on positions only.
            after = self._forward([0], use_cache=True, **({} if cache is None else {"past_key_values": cache}))
        finally:
            for handle in handles:
                handle.remove()
        if cache is None:
            keys = [layer.keys[:, :, :0].clone() for layer in after.past_key_values.layers]
            values = [layer.values[:, :, :0].clone() for layer in after.past_key_values.layers]
        return Prefix(len(token_ids), tuple(keys), tuple(values), tuple(calls))

    def _forward(self, token_ids: list[int], **kwargs: Any) -> Any:
        kwargs.setdefault("use_cache", False)
        ids = torch.tensor([token_ids], device=self.device)
        return self.bridge.original_model(input_ids=ids, **kwargs)

    @contextmanager
    def _watch_blocks(self, see: Callable[[int, Any], None]) -> Iterator[None]:
        handles = [
            block.register_forward_hook(lambda _, __, output, layer=layer: see(layer, output))
            for layer, block in enumerate(self.bridge.blocks)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    # ---- the last token alone --------------------------------------------------------------------------------

    @torch.no_grad()
    def block(
        self, layer: int, rows: Rows, prefix: Prefix, freezing: Freezing | None = None, *, parts: bool = False
    ) -> BlockOutput:
        """Run one block on residual vectors at the last position.

        Args:
            layer: Index of the block.
            rows: The input of the block, resid_pre, one row per point of the paths.
            prefix: The shared prefix.
            freezing: The components to hold still; None for none.
            parts: Whether to return the outputs of attention and the MLP as well.
        """
        together = prefix.together(len(rows), layer)
        args, kwargs = prefix.call(layer, together=together)
        block = self.bridge.blocks[layer]
        seen: dict[str, Tensor] = {}

        def keep(name: str) -> Callable[[Tensor, Any], None]:
            return lambda value, hook: seen.__setitem__(name, value.reshape(rows.shape))

        def frozen(kind: str) -> Callable[[Tensor, Any], Tensor]:
            return lambda value, hook: freezing.apply(kind, value) if freezing else value

        points: list[tuple[Any, Callable[[Tensor, Any], Any]]] = []
        if parts:
            points = [(block.hook_attn_out, keep("attn_out")), (block.hook_mlp_out, keep("mlp_out"))]
        if freezing is not None:
            can = architecture.freezing_points(block)
            points += [(point, frozen(kind)) for kind, point in can if freezing.touches(kind)]
        reader = architecture.mlp_reader(block)
        handle = reader.register_forward_pre_hook(lambda _, inputs: keep("mlp_input")(inputs[0], None))
        with _hooked(points):
            try:
                output = _hidden(block(rows.unflatten(0, (-1, together)), *args, **kwargs))
            finally:
                handle.remove()
        return BlockOutput(output.reshape(rows.shape), seen.pop("mlp_input"), seen)

    def attention(self, layer: int, rows: Rows, prefix: Prefix) -> Rows:
        """Return what attention adds to the residual stream at the last position; differentiable.

        Args:
            layer: Index of the block.
            rows: resid_pre, before the norm of attention.
            prefix: The shared prefix.
        """
        seen: list[Tensor] = []

        def stop(value: Tensor, hook: Any) -> None:
            seen.append(value.reshape(rows.shape))
            raise _ReachedError

        args, kwargs = prefix.call(layer)
        block = self.bridge.blocks[layer]
        with _hooked([(block.hook_attn_out, stop)]), suppress(_ReachedError):
            block(rows[:, None, :], *args, **kwargs)  # the rest of the block never runs
        return seen[0]

    @torch.no_grad()
    def attention_parts(self, layer: int, rows: Rows, prefix: Prefix, *, after_norm: bool = False) -> dict[str, Tensor]:
        """Return the queries, keys, values and z of attention at the last position.

        Args:
            layer: Index of the block.
            rows: resid_pre, or the output of the norm before attention if `after_norm` is set.
            prefix: The shared prefix.
            after_norm: Whether `rows` are the output of the norm.

        Returns:
            `queries` (rows, heads, d_head), as they are multiplied with the keys, if the architecture exposes them;
            `keys` and `values` (rows, kv_heads, prefix and own token, d_head); `z` (rows, heads * d_head).
        """
        seen: dict[str, Tensor] = {}
        block = self.bridge.blocks[layer]
        attention = block.attn

        def stop(value: Tensor, hook: Any) -> None:
            seen["z"] = value.reshape(len(rows), -1)
            raise _ReachedError

        def keep_queries(value: Tensor, hook: Any) -> None:
            seen["queries"] = value.reshape(len(rows), self.n_heads, -1)

        points: list[tuple[Any, Callable[[Tensor, Any], Any]]] = [
            (architecture.queries_point(attention), keep_queries),
            (attention.o.hook_in, stop),
        ]
        if after_norm:
            points.append((block.ln1.hook_out, lambda value, hook: rows[:, None, :]))
        args, kwargs = prefix.call(layer, seen)
        with _hooked(points), suppress(_ReachedError):
            block(rows[:, None, :], *args, **kwargs)
        return seen

    @torch.no_grad()
    def logits(self, rows: Rows, norm_scale: Float[Tensor, "rows 1"] | None = None) -> Float[Tensor, "rows d_vocab"]:
        """Return the next-token logits of residual vectors after the last block.

        Args:
            rows: resid_post of the last block.
            norm_scale: If given, the scale that the final norm uses at every row instead of its own.
        """
        points = []
        if norm_scale is not None:
            points = [(self.bridge.ln_final.hook_scale, lambda value, hook: norm_scale.reshape(value.shape))]
        with _hooked(points):
            logits: Tensor = self.bridge.unembed(self.bridge.ln_final(rows[:, None, :]))[:, 0]
        return architecture.cap_logits(self.bridge, logits)

    @torch.no_grad()
    def final_norm_scale(self, rows: Rows) -> Float[Tensor, "rows 1"]:
        """Return the scale by which the final norm divides each row."""
        seen: list[Tensor] = []
        with _hooked([(self.bridge.ln_final.hook_scale, lambda value, hook: seen.append(value.reshape(-1, 1)))]):
            self.bridge.ln_final(rows[:, None, :])
        return seen[0]

    def token(self, token_id: int) -> str:
        """Return the text of one token."""
        return str(self.bridge.tokenizer.decode([token_id]))

    def bytes_per_row(self, prefix_length: int) -> int:
        """Return the most memory that one row needs in a block, in bytes of float32, with a measured margin of two."""
        attention = 2 * self.n_heads * (prefix_length + 1) + 4 * (prefix_length + 1) * self.d_model
        return 4 * 2 * (8 * self.d_model + 4 * self.d_mlp + attention)


def _hidden(output: Any) -> Tensor:
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


@contextmanager
def _hooked(points: Sequence[tuple[Any, Callable[..., Any]]]) -> Iterator[None]:
    """Add TransformerLens hooks to hook points for the duration of a `with` block."""
    for point, function in points:
        point.add_hook(function)
    try:
        with warnings.catch_warnings():
            # The library warns about edited scales, but holding a norm's scale still is intended here, and tested.
            warnings.filterwarnings("ignore", message="A forward hook edited hook_scale")
            yield
    finally:
        for point, _ in points:
            point.remove_hooks()
