"""Time the sweep alone in one process: its share of the machine's matrix speed, and how its time grows.

    python -m plateaus.bench.sweeps --model-folder FOLDER --threads N

prints JSON. The times do not include loading a model. They are compared with `plateaus.plan.flops`, which counts the
matrix products that the recorded rows need.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from plateaus.curves.sweep import Group, sweep
from plateaus.model.transformer import Transformer
from plateaus.plan import flops, speed
from plateaus.plan.shapes import Shape, shape_from
from plateaus.prompts.pairs import Pair, TokenisedPair
from plateaus.run.memory import BLOCKS_GB
from plateaus.sources.quiet import go_offline
from plateaus.stages.interpolate import Ends, interpolate_pairs

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
WIDTHS = (128, 256, 512, 768, 1024, 1280, 1600)
"""d_model of the random models of growing size, which have GPT-2's blocks and heads of width 64, up to GPT-2 XL's."""
BLOCKS = 4
PAIRS = [24, 60, 120, 240, 480, 960]
PREFIX, STEPS, CONTEXT, TOGETHER = 3, 50, 8, 4
"""Settings for the pairs: tokens before the last one, points on a path, pairs with the same context, and how many of
them the stage interpolate takes at a time."""
LARGE = {"n_embd": 1280, "n_head": 20, "n_layer": 6}
"""Six of the 36 blocks of GPT-2 Large; the share of the speed depends on the shape of a block, not on their number."""


class Subject(NamedTuple):
    """A loaded model and its sizes."""

    model: Transformer
    shape: Shape


class Curve(NamedTuple):
    """How the time of sweeps grows.

    Attributes:
        unit: What x counts.
        x: The measured sizes.
        seconds: Median time at each x.
        limit: Seconds that the operations take at the machine's matrix speed, at each x.
        exponent: Slope of log seconds over log x.
        limit_exponent: Slope of log limit over log x.
    """

    unit: str
    x: list[int]
    seconds: list[float]
    limit: list[float]
    exponent: float
    limit_exponent: float


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the slope of the least-squares line through log y over log x."""
    return statistics.linear_regression([math.log(value) for value in x], [math.log(value) for value in y]).slope


def groups(subject: Subject, layers: Sequence[int], steps: int) -> list[Group]:
    """Return random paths, since the patched values do not change the amount of work."""
    torch.manual_seed(0)
    return [Group(layer, torch.randn(steps, subject.model.d_model)) for layer in layers]


def timed(call: Callable[[], object], repeats: int = 3) -> float:
    """Return the median seconds of a call."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def swept(subject: Subject, prefix_length: int, chosen: list[Group], repeats: int = 3) -> float:
    """Return the median seconds of one sweep of these groups, for a prefix that has been run already."""
    prefix = subject.model.prefix([1] * prefix_length)

    def once() -> None:
        for _ in sweep(subject.model, prefix, chosen, memory_gb=BLOCKS_GB[0]):
            pass

    once()
    return timed(once, repeats)


def needed(subject: Subject, prefix_length: int, layers: Sequence[int], steps: int) -> float:
    """Return the operations of the matrix products in such a sweep."""
    rows = steps * sum(subject.shape.layers - 1 - layer for layer in layers)
    return rows * flops.block_row(subject.shape, prefix_length)


def share(subject: Subject, name: str, gflops: float, prefix_length: int = 3, steps: int = 50) -> dict[str, Any]:
    """Measure the whole sweep of one pair, with every layer as an interpolation layer, against the machine's speed."""
    layers = range(subject.shape.layers)
    seconds = swept(subject, prefix_length, groups(subject, layers, steps), 5)
    reached = needed(subject, prefix_length, layers, steps) / seconds / 1e9
    return {"shape": name, "seconds": seconds, "gflops": reached, "share": reached / gflops}


def pairs(subject: Subject) -> tuple[list[float], float]:
    """Time a loop over many pairs of a suite, as the stage interpolate processes those that do not go deep.

    Returns:
        Seconds from the start of the loop to the end of each pair, and the operations of one pair.
    """
    seconds: list[float] = []
    start = time.perf_counter()
    while len(seconds) < max(PAIRS):
        interpolate_pairs(
            subject.model, _ends(subject, len(seconds)), steps=STEPS, path="spherical", layers=[0], trace_layer=0,
            top_tokens=0, memory_gb=BLOCKS_GB[0], traced=False,
        )  # fmt: skip
        seconds += TOGETHER * [time.perf_counter() - start]
    of_context = flops.prefix_run(subject.shape, PREFIX)
    return seconds, flops.interpolate(subject.shape, PREFIX, STEPS, [0]) + of_context / CONTEXT


def _ends(subject: Subject, first: int) -> list[Ends]:
    """Return pairs that share a prefix, with random endpoints, since these do not change the amount of work."""
    prefix = [1, 2, first // CONTEXT % subject.model.d_vocab]
    shape = (TOGETHER, 2, subject.model.n_layers, subject.model.d_model)
    residuals = torch.randn(shape, generator=torch.Generator().manual_seed(first))
    pair = TokenisedPair(Pair("bench", "", "", "", ""), tuple(prefix), 0, 1)
    return [Ends(pair, one) for one in residuals]


def scaling(subject: Subject, gflops: float, sizes: Sequence[Subject]) -> dict[str, Curve]:
    """Measure time against pairs, interpolation layers, steps and prefix length of one model, and model size."""
    last = subject.shape.layers - 1
    seconds_of_pairs, of_pair = pairs(subject)

    def curve(unit: str, x: Sequence[int], at: Callable[[int], tuple[float, float]]) -> Curve:
        seconds, operations = zip(*map(at, x), strict=True)
        limit = [value / gflops / 1e9 for value in operations]
        return Curve(unit, list(x), list(seconds), limit, exponent(x, seconds), exponent(x, limit))

    def one(prefix: int, layers: Sequence[int], steps: int) -> tuple[float, float]:
        return swept(subject, prefix, groups(subject, layers, steps)), needed(subject, prefix, layers, steps)

    def size(parameters: int) -> tuple[float, float]:
        of_size = next(one for one in sizes if block_parameters(one.shape) == parameters)
        chosen = groups(of_size, [0], 200)
        return swept(of_size, 3, chosen), needed(of_size, 3, [0], 200)

    return {
        "pairs": curve("pairs", PAIRS, lambda n: (seconds_of_pairs[n - 1], n * of_pair)),
        "layers": curve("interpolation layers", _counts(last), lambda n: one(3, _spread(n, last), 50)),
        "steps": curve("steps", [2, 5, 10, 20, 50, 100, 200, 500], lambda n: one(3, [0], n)),
        "prefix": curve("tokens of the prefix", [1, 2, 4, 8, 16, 32, 64, 128, 256, 512], lambda n: one(n, [0], 50)),
        "size": curve("weights of the blocks", [block_parameters(one.shape) for one in sizes], size),
    }


def _counts(last: int) -> list[int]:
    return [count for count in (1, 2, 5, 10, 20, 50) if count <= last]


def _spread(count: int, last: int) -> list[int]:
    """Return `count` interpolation layers, spread evenly over those that have a block after them."""
    return [number * last // count for number in range(count)]


def block_parameters(shape: Shape) -> int:
    """Return the number of weights in all blocks."""
    return shape.layers * (shape.attention_weights + shape.mlp_weights)


@contextmanager
def random_gpt2(tokenizer: Path, **sizes: int) -> Iterator[Subject]:
    """Yield a GPT-2 of these sizes with random weights; its folder is deleted when the context ends."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=512, n_positions=1024, bos_token_id=0, eos_token_id=0)
    config.update(sizes)
    with tempfile.TemporaryDirectory(prefix="plateaus-bench-") as temporary:
        folder = Path(temporary)
        GPT2LMHeadModel(config).save_pretrained(folder)
        for name in TOKENIZER:
            if (tokenizer / name).is_file():
                shutil.copyfile(tokenizer / name, folder / name)
        yield subject(folder)


def subject(folder: Path) -> Subject:
    """Load the model of a folder, with its sizes."""
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return Subject(Transformer.load(folder), shape_from(told, 0, 0))


def marginal(of_pairs: Curve) -> float:
    """Return the time of one more pair divided by the time of its matrix products, between the first and last point."""
    more = of_pairs.seconds[-1] - of_pairs.seconds[0]
    return more / (of_pairs.limit[-1] - of_pairs.limit[0])


def main() -> None:
    """Run the measurements and print them as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model-folder", type=Path, required=True)
    parser.add_argument("--model", default="model")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    go_offline()
    torch.set_num_threads(given.threads)
    own = subject(given.model_folder)
    sizes = []
    for width in WIDTHS:
        with random_gpt2(given.model_folder, n_embd=width, n_head=width // 64, n_layer=BLOCKS) as one:
            sizes.append(one)
    with random_gpt2(given.model_folder, **LARGE) as large:
        gflops = speed.measure(given.threads, "cpu").gflops
        shares = [share(own, given.model, gflops), share(large, "GPT-2 Large", gflops)]
    curves = scaling(own, gflops, sizes)
    told = {name: curve._asdict() for name, curve in curves.items()}
    print(json.dumps({"gflops": gflops, "shares": shares, "scaling": told, "marginal": marginal(curves["pairs"])}))


if __name__ == "__main__":
    main()
