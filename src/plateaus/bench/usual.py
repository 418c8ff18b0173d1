"""The usual way: whole sequences, one run per interpolation layer and freezing condition, everything saved.

It follows the post's released code (https://github.com/MShinkle/activation_plateau_mechanisms) step by step: hooks on
TransformerLens' names record every component at every token, the activations of each run are written by `torch.save`,
and whole Jacobians are computed by `torch.func.jacrev`, one step at a time in blocks of 128 rows. What that code
computes twice, or keeps in memory without need, is not reproduced. Directional gains, the Jacobians of the norm and of
the MLP without its norm, and the product of the blocks' Jacobians before the last layer are left out, because that code
does not compute them. The cost measured here is therefore a lower bound on the cost of that code.

    python -m plateaus.bench.usual STAGE --model-folder FOLDER --work FOLDER --settings JSON ...

runs one stage, as `python -m plateaus.stages.STAGE` does.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plateaus.bench import components
from plateaus.curves import geometry
from plateaus.model.transformer import Transformer
from plateaus.prompts.pairs import Pair, TokenisedPair, tokenise_with_file
from plateaus.sources.quiet import go_offline

RECORDED = ("hook_attn_out", "hook_resid_mid", "mlp.hook_pre", "hook_mlp_out", "hook_resid_post")
Recorded = dict[str, Tensor]
Hook = Callable[[Tensor, Any], Tensor | None]


class Usual:
    """The stages on one model and some pairs, and the files that they write."""

    def __init__(
        self, model: Transformer, pairs: Sequence[TokenisedPair], work: Path, *, steps: int, path: str, kept: int
    ) -> None:
        self.model, self.pairs, self.work = model, pairs, work
        self.steps, self.path = steps, path
        self.kept = kept
        """The interpolation layer whose files later stages read; files of other layers are deleted once measured."""
        self.written = 0
        """Bytes of all files written, including deleted ones."""

    # ---- files

    def save(self, name: str, recorded: Recorded) -> Path:
        """Write recorded activations to a file and return its path."""
        file = self.work / f"{name}.pt"
        torch.save(recorded, file)
        self.written += file.stat().st_size
        return file

    def load(self, name: str) -> Recorded:
        """Read recorded activations from a file."""
        loaded: Recorded = torch.load(self.work / f"{name}.pt")
        return loaded

    # ---- runs

    @torch.no_grad()
    def run(self, ids: list[int], batch: int, hooks: list[tuple[str, Hook]]) -> Tensor:
        """Run a batch of identical prompts with hooks, and return the logits of all tokens."""
        logits: Tensor = self.model.bridge.run_with_hooks(torch.tensor([ids] * batch), fwd_hooks=hooks)
        return logits

    def endpoints(self, pair: TokenisedPair) -> tuple[Tensor, Tensor]:
        """Read resid_post of the two prompts at the last token, each (layers, d_model)."""
        both = self.load(f"{pair.pair.id}-endpoints")
        return both["a"], both["b"]

    def patched(self, pair: TokenisedPair, layer: int, frozen: Mapping[str, Hook]) -> Recorded:
        """Run with the path patched into resid_post of `layer`, recording everything from there on at all tokens."""
        a, b = self.endpoints(pair)
        points = geometry.interpolate(
            a[layer], b[layer], geometry.alphas(self.steps), path=self.path, name=f"pair '{pair.pair.id}'"
        )
        recorded: Recorded = {}

        def patch(value: Tensor, hook: Any) -> Tensor:
            value[:, -1] = points
            return value

        def record(name: str) -> Hook:
            def see(value: Tensor, hook: Any) -> None:
                recorded[name] = value.cpu().clone()

            return see

        hooks: list[tuple[str, Hook]] = [(f"blocks.{layer}.hook_resid_post", patch)]
        for later in range(layer, self.model.n_layers):
            names = [f"blocks.{later}.{point}" for point in RECORDED]
            if later > layer:
                hooks += [(name, frozen[name]) for name in frozen if name.startswith(f"blocks.{later}.")]
            hooks += [(name, record(name)) for name in names]
        hooks += [(name, hook) for name, hook in frozen.items() if not name.startswith("blocks.")]
        recorded["logits"] = self.run([*pair.prefix, pair.token_a], self.steps, hooks).cpu().clone()
        return recorded

    # ---- stages

    def extract(self) -> None:
        """Record resid_post of both prompts of every pair."""
        for pair in self.pairs:
            ends: Recorded = {}
            for end, token in (("a", pair.token_a), ("b", pair.token_b)):
                names = [f"blocks.{layer}.hook_resid_post" for layer in range(self.model.n_layers)]
                ends[end] = torch.stack(list(self.at_last_token([*pair.prefix, token], names).values()))
            self.save(f"{pair.pair.id}-endpoints", ends)

    def interpolate(self, layers: Sequence[int]) -> None:
        """Run every pair at every interpolation layer, and compute the relative distances of each run."""
        for pair in self.pairs:
            for layer in layers:
                name = f"{pair.pair.id}-{layer}"
                file = self.save(name, self.patched(pair, layer, {}))
                self.save(f"{name}-distances", self.distances(self.load(name), layer))
                if layer != self.kept:
                    file.unlink()

    def freeze(self, conditions: Sequence[str], layers: Sequence[int]) -> None:
        """Run every pair at every interpolation layer and condition; the baseline is from the stage interpolate."""
        for pair in self.pairs:
            outputs = self.of_endpoints(pair)
            for layer in layers:
                for condition in conditions:
                    name = f"{pair.pair.id}-{layer}-{condition}"
                    file = self.save(name, self.patched(pair, layer, self.frozen(condition, layer, outputs)))
                    self.save(f"{name}-distances", self.distances(self.load(name), layer))
                    file.unlink()

    def jacobian(self, steps: Sequence[int]) -> None:
        """Compute the Jacobians of MLP, attention and block in every layer after `kept`, and of all blocks together."""
        for pair in self.pairs:
            recorded = self.load(f"{pair.pair.id}-{self.kept}")
            found: Recorded = {}
            layers = range(self.kept + 1, self.model.n_layers)
            calls = {layer: components.call_of(self.model, pair, layer) for layer in layers}
            for layer in layers:
                for step in steps:
                    before = recorded[f"blocks.{layer - 1}.hook_resid_post"][step]
                    middle = by_token(recorded[f"blocks.{layer}.hook_resid_mid"], self.steps)[step, -1]
                    functions = {
                        "mlp": (components.mlp_of(self.model, layer), middle),
                        "attn": (components.attention_of(self.model, layer, before, calls[layer]), before[-1]),
                        "block": (components.blocks_of(self.model, {layer: calls[layer]}, before), before[-1]),
                    }
                    for component, (function, at) in functions.items():
                        found[f"{layer}-{step}-{component}"] = components.whole(function, at).norm()
            for step in steps:
                before = recorded[f"blocks.{self.kept}.hook_resid_post"][step]
                chain = components.whole(components.blocks_of(self.model, calls, before), before[-1])
                found[f"{layers[-1]}-{step}-chain"] = chain.norm()
            self.save(f"{pair.pair.id}-jacobian", found)

    def spline(self) -> None:
        """Compute Hamming distances between the signs of the hidden units' pre-activations at successive steps."""
        for pair in self.pairs:
            recorded = self.load(f"{pair.pair.id}-{self.kept}")
            found: Recorded = {}
            for layer in range(self.kept + 1, self.model.n_layers):
                active = by_token(recorded[f"blocks.{layer}.mlp.hook_pre"], self.steps)[:, -1] > 0
                found[str(layer)] = (active[1:] != active[:-1]).sum(-1)
            self.save(f"{pair.pair.id}-spline", found)

    # ---- parts of stages

    def distances(self, recorded: Recorded, layer: int) -> Recorded:
        """Compute the relative distances of resid_post and the logits, with a loop over the steps."""
        sites = {str(later): f"blocks.{later}.hook_resid_post" for later in range(layer, self.model.n_layers)}
        found = {}
        for site, name in (*sites.items(), ("logits", "logits")):
            values = recorded[name][:, -1]
            to_a = torch.stack([(value - values[0]).norm() for value in values])
            to_b = torch.stack([(value - values[-1]).norm() for value in values])
            found[site] = to_a / (to_a + to_b)
        return found

    def of_endpoints(self, pair: TokenisedPair) -> dict[str, Tensor]:
        """Record the outputs of attention and MLPs at the last token of both prompts: (end, d_model) by hook name."""
        names = [
            f"blocks.{layer}.{point}"
            for layer in range(self.model.n_layers)
            for point in ("hook_attn_out", "hook_mlp_out")
        ]
        at_a, at_b = (self.at_last_token([*pair.prefix, token], names) for token in (pair.token_a, pair.token_b))
        return {name: torch.stack([at_a[name], at_b[name]]) for name in names}

    def at_last_token(self, ids: list[int], names: Sequence[str]) -> Recorded:
        """Run one unpatched prompt and return the value at the last token by hook name."""
        seen: Recorded = {}

        def see(name: str) -> Hook:
            def hook(value: Tensor, hook: Any) -> None:
                seen[name] = by_token(value, 1)[0, -1].clone()

            return hook

        self.run(ids, 1, [(name, see(name)) for name in names])
        return {name: seen[name] for name in names}

    def frozen(self, condition: str, layer: int, outputs: dict[str, Tensor]) -> dict[str, Hook]:
        """Return the hooks of a freezing condition (see `plateaus.model.freezing`), by hook name."""
        alpha = geometry.alphas(self.steps)[:, None]

        def to_mean(value: Tensor, hook: Any) -> Tensor:
            value = value.clone()  # the bridge notices an edited norm scale only if it is a new tensor
            last = by_token(value, self.steps)[:, -1]
            last[:] = last.mean(0, keepdim=True)
            return value

        def to_secant(name: str) -> Hook:
            def replace(value: Tensor, hook: Any) -> Tensor:
                at_a, at_b = outputs[name]
                by_token(value, self.steps)[:, -1] = (1 - alpha) * at_a + alpha * at_b
                return value

            return replace

        later = range(layer + 1, self.model.n_layers)
        if condition == "norm_mean":
            points = [f"blocks.{one}.{norm}.hook_scale" for one in later for norm in ("ln1", "ln2")]
            return dict.fromkeys([*points, "ln_final.hook_scale"], to_mean)
        hooks: dict[str, Hook] = {}
        for component in ("attn", "mlp"):
            if component in condition:
                for one in later:
                    name = f"blocks.{one}.hook_{component}_out"
                    hooks[name] = to_secant(name) if condition.endswith("secant") else to_mean
        return hooks


def by_token(value: Tensor, batch: int) -> Tensor:
    """View a value as (batch, tokens, width); the MLPs of some models (OPT) merge batch and tokens."""
    return value.view(batch, -1, value.shape[-1])


def chosen_steps(steps: int, share: int) -> list[int]:
    """Return every `share`-th step, starting in the middle of the first `share` steps."""
    return list(range(steps))[share // 2 :: share]


def main() -> None:
    """Run one stage, and print as JSON the bytes that it wrote and its time after the model was loaded."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("stage", choices=["extract", "interpolate", "freeze", "jacobian", "spline"])
    parser.add_argument("--model-folder", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--settings", type=json.loads, required=True)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    go_offline()
    torch.set_num_threads(given.threads)
    settings = given.settings
    pairs = tokenise_with_file(
        [Pair(*row) for row in settings["pairs"]], given.model_folder / "tokenizer.json", "bench", settings["bos"]
    )
    model = Transformer.load(given.model_folder, centre=settings["centre"])
    usual = Usual(
        model, pairs, given.work, steps=settings["steps"], path=settings["path"], kept=settings["trace_layer"]
    )
    start, start_cpu = time.perf_counter(), time.process_time()
    scale = 1.0
    match given.stage:
        case "interpolate":
            usual.interpolate(settings["layers"])
        case "freeze":
            conditions = [condition for condition in settings["conditions"] if condition != "none"]
            usual.freeze(conditions, settings["freeze_layers"])
        case "jacobian":
            steps = chosen_steps(settings["steps"], settings["share"])
            usual.jacobian(steps)
            scale = settings["steps"] / len(steps)
        case stage:
            getattr(usual, stage)()
    taken = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - start_cpu}
    print(json.dumps({"bytes": usual.written, "scale": scale, **taken}))


if __name__ == "__main__":
    main()
