"""Run a causal language model at its last token alone, after a prefix that is computed once.

This module hides the differences between architectures. Most of them are handled by TransformerLens' bridge, which
gives every model the same component names. Attention is causal and both prompts of a pair share their prefix, so the
keys and values of the prefix never change, and one residual vector at the last position (a row) is enough.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plateaus.model import architecture, branches, layout, loading, logit_head, products, trial, unembedding
from plateaus.model.freezing import Freezing
from plateaus.model.layout import Layout
from plateaus.model.logit_head import LogitHead
from plateaus.model.mlp import Mlp
from plateaus.model.prefix import Prefix

Rows = Float[Tensor, "rows d_model"]
KEPT_PREFIXES = 8
"""How many prefixes a model keeps."""
TRIED_TOGETHER = 4
"""How many rows share a copy of a prefix in the trial of whether they can."""


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

    def __init__(self, bridge: Any, folder: Path) -> None:
        self.bridge = bridge
        self.folder = folder
        self.n_layers: int = int(bridge.cfg.n_layers)
        self.d_model: int = int(bridge.cfg.d_model)
        self.d_mlp: int = int(bridge.cfg.d_mlp or 4 * bridge.cfg.d_model)
        self.n_heads: int = int(bridge.cfg.n_heads)
        self.d_vocab: int = int(bridge.cfg.d_vocab)
        whole = bridge.original_model
        self.device = next(tensor.device for tensor in itertools.chain(whole.parameters(), whole.buffers()))
        self._layouts: dict[int, Layout] = {}
        self._prefixes: dict[tuple[int, ...], Prefix] = {}
        self._can_share: dict[tuple[int, int], bool] = {}

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu", centre: bool = False, rounded: bool = False) -> Transformer:
        """Load a Hugging Face folder (safetensors and tokenizer) without contacting a hub.

        Args:
            folder: The model folder, made by the fetch stage.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            centre: Remove the mean over d_model from everything that is written to the residual stream, as
                TransformerLens 2 did for the post (LayerNorm models; logits do not depend on it).
            rounded: Round all weights to bfloat16, as `storage: bfloat16` does on disk.

        Raises:
            InputError: if this machine has no such device, or the model is of a kind that is not supported (see
                `loading.boot`, `plateaus.model.layout` and `plateaus.model.logit_head`).
        """
        chosen = loading.pick_device(device)
        found = cls(loading.boot(folder, chosen, centre, rounded=rounded), folder)
        for layer in range(found.n_layers):
            found.layout(layer)
        assert found._logit_head
        return found

    # ---- whole sequences -------------------------------------------------------------------------------------

    def run(self, token_ids: list[int]) -> tuple[Float[Tensor, "layers d_model"], Float[Tensor, "position d_vocab"]]:
        """Run a plain forward pass of a whole prompt.

        Returns:
            resid_post of every layer at the last token, and the logits at every position.
        """
        residuals, logits = self.run_together([token_ids])
        return residuals[0], logits[0]

    @torch.no_grad()
    @products.in_modules
    def run_together(
        self, prompts: list[list[int]]
    ) -> tuple[Float[Tensor, "prompts layers d_model"], Float[Tensor, "prompts position d_vocab"]]:
        """Run a plain forward pass of several prompts of the same length.

        Returns:
            For each prompt, what `run` returns.
        """
        captured: list[Tensor] = []
        with self._watch_blocks(lambda _, output: captured.append(_hidden(output)[:, -1].clone())):
            logits = self._forward(prompts).logits
        return torch.stack(captured, dim=1), logits.float()

    @torch.no_grad()
    def embedding(self, token_ids: list[int]) -> Float[Tensor, " d_model"]:
        """Return resid_pre of the first block at the last token of a prompt: all that happens before the blocks."""
        seen: list[Tensor] = []
        handle = self.bridge.blocks[0].register_forward_pre_hook(
            lambda _, args, kwargs: seen.append((args[0] if args else kwargs["hidden_states"])[0, -1].clone()),
            with_kwargs=True,
        )
        try:
            self._forward([token_ids])
        finally:
            handle.remove()
        return seen[0]

    def prefix(self, token_ids: list[int]) -> Prefix:
        """Run a prefix (possibly of no tokens) and keep everything that the rows after it need.

        The last few prefixes are kept, since pairs of the same context follow each other.
        """
        key = tuple(token_ids)
        if key not in self._prefixes:
            if len(self._prefixes) == KEPT_PREFIXES:
                del self._prefixes[next(iter(self._prefixes))]  # the oldest one
            self._prefixes[key] = self._run_prefix(token_ids)
        return self._prefixes[key]

    @torch.no_grad()
    @products.in_modules
    def _run_prefix(self, token_ids: list[int]) -> Prefix:
        cache = self._forward([token_ids], use_cache=True).past_key_values if token_ids else None
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
            after = self._forward([[0]], use_cache=True, **({} if cache is None else {"past_key_values": cache}))
        finally:
            for handle in handles:
                handle.remove()
        if cache is None:
            keys = [layer.keys[:, :, :0].clone() for layer in after.past_key_values.layers]
            values = [layer.values[:, :, :0].clone() for layer in after.past_key_values.layers]
        return Prefix(len(token_ids), tuple(keys), tuple(values), tuple(calls))

    def _forward(self, prompts: list[list[int]], **kwargs: Any) -> Any:
        kwargs.setdefault("use_cache", False)
        ids = torch.tensor(prompts, device=self.device)
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
    @products.in_modules
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
        together = self._together(layer, len(rows), prefix)
        args, kwargs = prefix.call(layer, len(rows) // together, together=together)
        block = self.bridge.blocks[layer]
        found = self.layout(layer)
        scales = {"attn": found.attn_scale, "mlp": found.mlp_scale}
        seen: dict[str, Tensor] = {}

        def keep(name: str, scale: float = 1.0) -> Callable[[Tensor, Any], None]:
            return lambda value, hook: seen.__setitem__(name, _scaled(value, scale).reshape(rows.shape))

        def frozen(kind: str) -> Callable[[Tensor, Any], Tensor]:
            scale = scales.get(kind, 1.0)

            def hold(value: Tensor, hook: Any) -> Tensor:
                # What is held still is what the component adds to the residual stream.
                return _scaled(freezing.apply(kind, _scaled(value, scale)), 1 / scale) if freezing else value

            return hold

        points: list[tuple[Any, Callable[[Tensor, Any], Any]]] = []
        if parts:
            points = [(block.hook_attn_out, keep("attn_out", found.attn_scale))]
            points.append((block.hook_mlp_out, keep("mlp_out", found.mlp_scale)))
        if freezing is not None:
            can = architecture.freezing_points(block)
            points += [(point, frozen(kind)) for kind, point in can if freezing.touches(kind)]
        if found.parallel:
            seen["mlp_input"] = rows
        with architecture.hooked(points), ExitStack() as stack:
            if not found.parallel:
                reader = architecture.mlp_reader(block)
                handle = reader.register_forward_pre_hook(lambda _, inputs: keep("mlp_input")(inputs[0], None))
                stack.callback(handle.remove)
            output = _hidden(block(rows.unflatten(0, (-1, together)), *args, **kwargs))
        return BlockOutput(output.reshape(rows.shape), seen.pop("mlp_input"), seen)

    def _together(self, layer: int, rows: int, prefix: Prefix) -> int:
        """Return how many rows to put into one sequence of this block; see `Prefix.together`.

        A trial decides whether the rows really do not matter to each other. They do if the place of a key counts beside
        its position, as in MPT's ALiBi and GPT-Neo's windows.
        """
        together = prefix.together(rows, layer)
        if together == 1:
            return 1
        if (layer, prefix.length) not in self._can_share:
            tried = trial.rows(TRIED_TOGETHER, self.d_model, prefix.keys[layer], seed=layer)
            block, seen = self.bridge.blocks[layer], []
            keep = (block.hook_attn_out, lambda value, hook: seen.append(value.reshape(tried.shape).clone()))
            with architecture.hooked([keep]):
                for count in (1, TRIED_TOGETHER):
                    args, kwargs = prefix.call(layer, TRIED_TOGETHER // count, together=count)
                    block(tried.unflatten(0, (-1, count)), *args, **kwargs)
            self._can_share[layer, prefix.length] = trial.misfit(seen[1], seen[0]) < trial.AGREEMENT
        return together if self._can_share[layer, prefix.length] else 1

    def layout(self, layer: int) -> Layout:
        """Return the layout of a block, which is found when it is first asked for.

        Raises:
            InputError: the block is not regular; see `plateaus.model.layout`.
        """
        if layer not in self._layouts:
            block, prefix = self.bridge.blocks[layer], self._probe_prefix
            args, kwargs = prefix.call(layer, layout.PROBES)
            self._layouts[layer] = layout.of_block(
                block,
                lambda rows: _hidden(block(rows[:, None], *args, **kwargs)).reshape(rows.shape),
                self.d_model,
                prefix.keys[layer].new_empty(0),
                self.bridge.original_model.config,
                layer,
            )
        return self._layouts[layer]

    @cached_property
    def _probe_prefix(self) -> Prefix:
        return self.prefix([0, 1])  # any tokens will do

    def mlp(self, layer: int) -> Mlp:
        """Return the MLP branch of a block as plain weights.

        Raises:
            InputError: the branch is of no known kind; see `plateaus.model.branches.mlp_of`.
        """
        config = self.bridge.original_model.config
        return branches.mlp_of(self.bridge.blocks[layer], self.layout(layer), config, layer)

    def attention(self, layer: int, rows: Rows, prefix: Prefix) -> Rows:
        """Return what attention adds to the residual stream at the last position; differentiable.

        Args:
            layer: Index of the block.
            rows: resid_pre, before the norm of attention.
            prefix: The shared prefix.
        """
        seen: list[Tensor] = []

        scale = self.layout(layer).attn_scale

        def stop(value: Tensor, hook: Any) -> None:
            seen.append(_scaled(value, scale).reshape(rows.shape))
            raise _ReachedError

        args, kwargs = prefix.call(layer, len(rows))
        block = self.bridge.blocks[layer]
        with architecture.hooked([(block.hook_attn_out, stop)]), suppress(_ReachedError):
            block(rows[:, None, :], *args, **kwargs)  # the rest of the block never runs
        return seen[0]

    @torch.no_grad()
    @products.in_modules
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
            (attention.o.hook_in, stop),
        ]
        queries = architecture.queries_point(attention)
        if queries is not None:
            points.append((queries, keep_queries))
        if after_norm:
            points.append((block.ln1.hook_out, lambda value, hook: rows[:, None, :]))
        args, kwargs = prefix.call(layer, len(rows), seen)
        with architecture.hooked(points), suppress(_ReachedError):
            block(rows[:, None, :], *args, **kwargs)
        return seen

    @torch.no_grad()
    @products.in_modules
    def logits(self, rows: Rows, norm_scale: Float[Tensor, "rows 1"] | None = None) -> Float[Tensor, "rows d_vocab"]:
        """Return the next-token logits of residual vectors after the last block.

        Args:
            rows: resid_post of the last block.
            norm_scale: If given, the scale that the final norm uses at every row instead of its own.
        """
        logits: Tensor = self.bridge.unembed(self._final_norm(rows, norm_scale)[:, None, :])[:, 0]
        return self._logit_head(logits)

    @cached_property
    def _logit_head(self) -> LogitHead:
        return logit_head.of_model(self.bridge)

    @cached_property
    def logit_root(self) -> unembedding.Root | None:
        """What maps outputs of the final norm to coordinates of the logits; None if the logits are not affine."""
        linear = self.bridge.unembed.original_component
        if self._logit_head.cap is not None or not isinstance(linear, torch.nn.Linear):
            return None
        bias = getattr(linear, "bias", None)  # the bridge gives a model without a bias one of zeros
        return unembedding.root_of(
            linear.weight.detach(),
            bias.detach() if bias is not None and bias.any() else None,
            scale=self._logit_head.scale,
            normalise=self._final_norm,
            logits=self.logits,
        )

    @torch.no_grad()
    def logit_coordinates(
        self, rows: Rows, norm_scale: Float[Tensor, "rows 1"] | None = None
    ) -> Float[Tensor, "rows n"]:
        """Return float64 vectors with the same lengths, distances and inner products as the logits of these rows.

        They are about as long as a row, and not as the vocabulary; see `plateaus.model.unembedding`.

        Args:
            rows: resid_post of the last block.
            norm_scale: As for `logits`.

        Raises:
            ValueError: this model's logits have no such vectors, so that `logit_root` is None.
        """
        if self.logit_root is None:
            raise ValueError("the logits are not an affine map of the output of the final norm")
        return self.logit_root(self._final_norm(rows, norm_scale))

    @torch.no_grad()
    def _final_norm(self, rows: Rows, norm_scale: Float[Tensor, "rows 1"] | None = None) -> Rows:
        """Return the output of the final norm, with the scale at every row replaced if one is given."""
        points = []
        if norm_scale is not None:
            points = [(self.bridge.ln_final.hook_scale, lambda value, hook: norm_scale.reshape(value.shape))]
        with architecture.hooked(points):
            normalised: Tensor = self.bridge.ln_final(rows[:, None, :])[:, 0]
        return normalised

    @torch.no_grad()
    def final_norm_scale(self, rows: Rows) -> Float[Tensor, "rows 1"]:
        """Return the scale by which the final norm divides each row."""
        seen: list[Tensor] = []
        with architecture.hooked(
            [(self.bridge.ln_final.hook_scale, lambda value, hook: seen.append(value.reshape(-1, 1)))]
        ):
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


def _scaled(value: Tensor, scale: float) -> Tensor:
    return value if scale == 1 else scale * value
