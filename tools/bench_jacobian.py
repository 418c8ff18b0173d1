"""Time the closed-form Jacobian norm of an MLP against torch.func.jacrev on the same inputs, in one run.

    python tools/bench_jacobian.py [--d-model 1280] [--d-mlp 5120] [--steps 50] [--pairs 100] [--repeats 3]

The MLP is one layer with random weights, at GPT-2 Large's sizes by default. The time of the closed form includes
computing its Gram matrix; it is measured for one pair and for many pairs that share the Gram matrix. jacrev is timed
one step at a time, as in the post's released code, and with all steps of a pair batched by vmap, and the faster of the
two is compared. All times are medians over the repeats, except for the batched jacrev, which runs once.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from plateaus.mechanism import mlp_jacobian
from plateaus.model.mlp import Mlp
from plateaus.model.norm import Norm
from plateaus.plan.machine import machine


def branch(d_model: int, d_mlp: int) -> Mlp:
    """An MLP branch with GPT-2's architecture and random weights."""
    torch.manual_seed(0)
    norm = Norm(1 + 0.1 * torch.randn(d_model), 0.1 * torch.randn(d_model), 1e-5, centred=True)
    return Mlp(
        norm=norm,
        w_in=torch.randn(d_mlp, d_model) / d_model**0.5,
        b_in=0.1 * torch.randn(d_mlp),
        w_gate=None,
        b_gate=None,
        w_out=torch.randn(d_model, d_mlp) / d_mlp**0.5,
        b_out=0.1 * torch.randn(d_model),
        activation=lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    )


def timed(run: Callable[[], Tensor], repeats: int) -> tuple[float, Tensor]:
    """Return the median seconds of a call over its repeats, and the result of the last call."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def main() -> None:
    """Run the measurements and print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in (("d-model", 1280), ("d-mlp", 5120), ("steps", 50), ("pairs", 100), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    mlp = branch(given.d_model, given.d_mlp)
    inputs = torch.randn(given.pairs, given.steps, given.d_model)

    def one(x: Tensor) -> Tensor:
        return mlp(x[None])[0]

    def closed_form(pairs: int) -> Tensor:
        matrices = mlp_jacobian.gram(mlp)
        return torch.cat([mlp_jacobian.jacobian_norms(mlp, matrices, x, mlp.linearise(x)).mlp for x in inputs[:pairs]])

    def by_steps() -> Tensor:
        return torch.stack([torch.func.jacrev(one)(x).norm() for x in inputs[0]])

    def batched() -> Tensor:
        norm = torch.func.vmap(lambda x: torch.func.jacrev(one)(x).norm(), chunk_size=5)
        result: Tensor = norm(inputs[0])
        return result

    with torch.no_grad():
        closed_form(1)  # warm-up
        single, ours = timed(lambda: closed_form(1), given.repeats)
        many, _ = timed(lambda: closed_form(given.pairs), given.repeats)
        looped, theirs = timed(by_steps, given.repeats)
        mapped, _ = timed(batched, 1)
    usual = min(looped, mapped)
    error = float((ours / theirs - 1).abs().max())
    print(f"{machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32")
    print(f"one layer, d_model {given.d_model}, d_mlp {given.d_mlp}, {given.steps} steps per pair")
    print(f"jacrev, one pair:                 {usual:9.3f} s  (step by step {looped:.3f}, batched {mapped:.3f})")
    print(f"closed form, one pair:            {single:9.3f} s  {usual / single:7.1f} times faster")
    per_pair = many / given.pairs
    print(f"closed form, {given.pairs} pairs, per pair: {per_pair:9.4f} s  {usual / per_pair:7.1f} times faster")
    print(f"largest relative difference:      {error:9.1e}")


if __name__ == "__main__":
    main()
