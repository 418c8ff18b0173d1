"""Simulated tables for the tests of the claims: runs without an effect, and runs with the effect that a claim states.

Pairs share words and contexts as in the suite: words recur across contexts, and every quantity of a pair has components
that depend on its words and on its context. Only the columns that claims read are filled in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from plateaus.claims import registry
from plateaus.judging import testing
from plateaus.judging.evidence import Filters
from plateaus.judging.interface import Rules
from plateaus.judging.testing import Models
from plateaus.judging.verdicts import Judgement, judge

Floats = NDArray[np.float64]
MODEL, RANDOM = "model", "model-random"
MODELS = Models((MODEL, RANDOM), {MODEL: RANDOM}, frozenset({RANDOM}))
LAYERS, STEPS, CONTEXTS, PER_CONTEXT, WORDS = 8, 20, 8, 6, 36
"""Sizes of a simulated run: 48 pairs, as in the default run."""

W_PATH = 0.8
"""w of every simulated path."""
UNNATURAL = "unnatural-"
"""Beginning of the ids of the pairs whose words cannot stand in their context."""

EFFECTS: dict[str, float] = {
    "C0": 0.15, "C1": 0.15, "C2": 0.7, "C3": 0.7, "C4": 0.35, "C5": 0.2, "C6": 0.05, "C7": 0.15, "C8": 0.08, "C9": 0.5,
    "C10": 0.2, "C11": 0.07, "C12": 0.15, "C13": 0.8, "C14": 0.1,
}  # fmt: skip
"""The effect at which the power of each claim's test is stated, roughly in the unit of its measure. For C6 it is the
distance to the equivalence margin, so that the value here means no change at all."""


class Made(NamedTuple):
    """A simulated run, which can be used as a `plateaus.judging.evidence.Source`.

    Attributes:
        tables: (model, table) to the rows of the table.
    """

    tables: dict[tuple[str, str], pd.DataFrame]

    def __call__(self, model: str, table: str, columns: Sequence[str], filters: Filters) -> pd.DataFrame | None:
        """Return the filtered rows of a table; None if the table or a column is missing."""
        frame = self.tables.get((model, table))
        if frame is None or not {*columns, *filters} <= set(frame.columns):
            return None
        mask = np.ones(len(frame), dtype=bool)
        for name, values in filters.items():
            mask &= frame[name].isin(list(values)).to_numpy()
        return frame.loc[mask, list(columns)].reset_index(drop=True)


class Pairs:
    """The pairs of a suite, with noise that pairs with the same words or context share."""

    def __init__(self, generator: np.random.Generator, *, shared: float = 0.5) -> None:
        self.generator, self.shared = generator, shared
        rows = []
        for context in range(CONTEXTS):
            words = generator.permutation(WORDS)[: 2 * PER_CONTEXT].reshape(-1, 2)
            rows += [(context, int(a), int(b)) for a, b in words]
        self.of = np.array(rows)
        self.ids = [f"c{context}-w{a}-w{b}" for context, a, b in rows]
        self.frame = pd.DataFrame(
            {
                "pair": self.ids,
                "context": [f"context {context}" for context in self.of[:, 0]],
                "a": [f"w{a}" for a in self.of[:, 1]],
                "b": [f"w{b}" for b in self.of[:, 2]],
                "tags": "suite;natural",
                "separator": " ",
            }
        )

    def __len__(self) -> int:
        return len(self.ids)

    def noise(self, *shape: int) -> Floats:
        """Draw standard normal values (pairs, *shape); words and contexts explain a part `shared` of the variance."""
        draw = self.generator.standard_normal
        words, contexts = draw((WORDS, *shape)), draw((CONTEXTS, *shape))
        own = draw((len(self), *shape))
        part = (words[self.of[:, 1]] + words[self.of[:, 2]]) / np.sqrt(2)
        common = np.sqrt(0.7) * part + np.sqrt(0.3) * contexts[self.of[:, 0]]
        return np.asarray(np.sqrt(self.shared) * common + np.sqrt(1 - self.shared) * own)


def smooth(noise: Floats, width: float = 1.5) -> Floats:
    """Smooth noise along the last axis, as on a circle, and keep its variance at 1."""
    n = noise.shape[-1]
    apart = np.minimum(np.arange(n), n - np.arange(n))
    kernel = np.exp(-0.5 * (apart / width) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    return np.asarray(np.fft.irfft(np.fft.rfft(noise) * np.fft.rfft(kernel), n))


def spike(alpha: Floats, middle: Floats, width: float = 0.08) -> Floats:
    """Return a bump of height 1 at each pair's middle (pairs,), shape (pairs, steps)."""
    return np.asarray(np.exp(-0.5 * ((alpha[None, :] - middle[:, None]) / width) ** 2))


def grid(pairs: Pairs, axes: Mapping[str, Any], **columns: NDArray[Any]) -> pd.DataFrame:
    """Return a table with one row per pair and grid point; `columns` must broadcast to the shape (pairs, *axes)."""
    sizes = [len(values) for values in axes.values()]
    index = np.indices((len(pairs), *sizes)).reshape(1 + len(sizes), -1)
    made: dict[str, Any] = {"pair": np.array(pairs.ids, dtype=object)[index[0]]}
    made |= {name: np.asarray(values)[index[1 + k]] for k, (name, values) in enumerate(axes.items())}
    made |= {name: np.broadcast_to(x, (len(pairs), *sizes)).reshape(-1) for name, x in columns.items()}
    return pd.DataFrame(made)


PARTS = {"layers": ("C2", "C3", "C4"), "path": ("C7", "C8", "C9", "C10", "C11", "C12")}
"""The claims that need more than the curves of the logits, by what they need."""


def make(generator: np.random.Generator, effects: dict[str, float], claims: Sequence[str] = tuple(EFFECTS)) -> Made:
    """Simulate a run in which the claims in `effects` have those effects and all other claims have none.

    Only the tables that `claims` need are made. The noise of trends over layers and of profiles along the path is
    smooth, as in real runs, and shared between pairs.
    """
    pairs = Pairs(generator)
    n, draw = len(pairs), generator
    e = {name: effects.get(name, 0.0) for name in EFFECTS}
    alpha, between = np.linspace(0, 1, STEPS), (np.arange(STEPS - 1) + 0.5) / (STEPS - 1)
    middle = np.clip(0.5 + 0.08 * pairs.noise(), 0.25, 0.75)
    jsd = pairs.noise()
    covariates = {name: pairs.noise() for name in ("angle", "log_p_a", "log_p_b")}
    # w at the logits has a part that the covariates explain, which C13 must regress out, and a part from jsd.
    explained = 0.5 * covariates["angle"] + 0.3 * covariates["log_p_a"]
    jsd = jsd + 0.5 * covariates["angle"]
    semantic = -e["C13"] / max(1e-9, np.sqrt(1 - e["C13"] ** 2)) * (jsd - 0.5 * covariates["angle"])
    base = 0.5 + 0.05 * (explained + pairs.noise() + semantic)
    # C1 and C14 are stated in strength s = 1 - w / w_path.
    w_random = base + W_PATH * e["C1"] + 0.15 * pairs.noise()
    w_unnatural = base + W_PATH * e["C14"] + 0.15 * pairs.noise()
    passed = draw.random(n) < 0.01 + e["C0"]
    logits = {"interp_layer": [0], "site": ["logits"], "record_layer": [LAYERS]}
    edges = {
        "midpoint": middle[:, None, None, None, None, None],
        "rest_a": middle[:, None, None, None, None, None] - 0.15,
        "rest_b": 0.85 - middle[:, None, None, None, None, None],
    }
    extra = dict(w_path=np.array(W_PATH), **edges)

    def of_logits(stage: str, condition: str, w: Floats, passes: NDArray[np.bool_]) -> pd.DataFrame:
        axes = {"stage": [stage], "condition": [condition], **logits}
        wide, met = w[:, None, None, None, None, None], passes[:, None, None, None, None, None]
        return grid(pairs, axes, w=wide, strength=1 - wide / W_PATH, plateau=met, half_plateau=met, **extra)

    shifts = {
        "mlp_secant": e["C5"] + 0.2 * pairs.noise(),
        "attn_secant": 0.02 * pairs.noise(),
        "mlp_mean": e["C5"] + 0.2 * pairs.noise(),
        "attn_mean": 0.02 * pairs.noise(),
        # Without an effect, the change is exactly at the margin, where a test must not find equivalence.
        "norm_mean": (0.05 - e["C6"]) + 0.05 * pairs.noise(),
    }
    sharp = [of_logits("interpolate", "none", base, passed), of_logits("freeze", "none", base, passed)]
    sharp += [of_logits("freeze", name, base + change, passed) for name, change in shifts.items()]
    if set(claims) & set(PARTS["layers"]):
        sharp.append(over_layers(pairs, e))
    listed = pairs.frame.assign(jsd=jsd, **covariates)
    if "C14" in claims:
        # The same words in contexts where neither can stand.
        other = of_logits("interpolate", "none", w_unnatural, passed)
        sharp.append(other.assign(pair=UNNATURAL + other["pair"]))
        tags = "suite;unnatural;of:" + listed["pair"]
        listed = pd.concat([listed, listed.assign(pair=UNNATURAL + listed["pair"], tags=tags)], ignore_index=True)
    tables = {
        (MODEL, "endpoints"): listed,
        (MODEL, "sharpness"): pd.concat(sharp, ignore_index=True),
        (RANDOM, "sharpness"): of_logits("interpolate", "none", w_random, draw.random(n) < 0.01),
        (RANDOM, "endpoints"): pairs.frame.assign(jsd=jsd, **covariates),
    }
    if set(claims) & set(PARTS["path"]):
        tables |= along_path(pairs, e, alpha, between, middle)
    return Made(tables)


def over_layers(pairs: Pairs, e: dict[str, float]) -> pd.DataFrame:
    """Simulate widths over interpolation and recording layers: a trend plus random walks.

    log w = log 0.8 - c N + noise, where c is 0 without the effects of C2, C3 and C4. There is never a trend in L. The
    trends of C2 (over recording layers) and C3 (over interpolation layers) follow from N alone.
    """
    n = len(pairs)
    depth, record = np.arange(LAYERS)[:, None], np.arange(LAYERS)[None, :]
    gap = np.maximum(record - depth, 0)
    trend = 0.07 * max(e["C2"], e["C3"]) + 0.2 * e["C4"]
    # The noise is correlated between neighbouring layers and symmetric in N and L, so that without an effect neither
    # of them explains more.
    walk = pairs.noise(LAYERS, LAYERS)
    rows, columns = np.cumsum(pairs.noise(LAYERS), axis=1), np.cumsum(pairs.noise(LAYERS), axis=1)
    by_gap = np.take_along_axis(rows[:, None, :], np.broadcast_to(gap, (n, LAYERS, LAYERS)), axis=2)
    by_depth = np.broadcast_to(columns[:, :, None], (n, LAYERS, LAYERS))
    log_w = np.log(0.8) - trend * gap + 0.08 * by_gap + 0.08 * by_depth + 0.05 * walk
    axes = {
        "stage": ["interpolate"], "condition": ["none"], "interp_layer": range(LAYERS), "site": ["resid_post"],
        "record_layer": range(LAYERS),
    }  # fmt: skip
    w = np.exp(log_w)[:, None, None, :, None, :]
    half = np.array(0.5)
    no = np.array(False)
    frame = grid(
        pairs, axes, w=w, w_path=np.array(W_PATH), strength=1 - w / W_PATH, plateau=no, half_plateau=no, midpoint=half,
        rest_a=half, rest_b=half,
    )  # fmt: skip
    return frame[frame["record_layer"] >= frame["interp_layer"]]


def along_path(
    pairs: Pairs, e: dict[str, float], alpha: Floats, between: Floats, middle: Floats
) -> dict[tuple[str, str], pd.DataFrame]:
    """Simulate step sizes, Jacobian norms and spline densities along the path."""
    n, draw = len(pairs), pairs.generator
    layers = np.arange(1, LAYERS)
    # Each pair's profiles are shifted by a random amount, so that their peaks are unrelated to the boundary.
    at = draw.integers(0, STEPS, n)

    def anywhere(x: Floats) -> Floats:
        return np.asarray(np.stack([np.roll(one, k % one.shape[-1], axis=-1) for one, k in zip(x, at, strict=True)]))

    def bump(effect: float, positions: Floats) -> Floats:
        return effect * spike(positions, middle)

    growth = anywhere(smooth(pairs.noise(STEPS - 1)))
    own = anywhere(smooth(pairs.noise(LAYERS - 1, STEPS)))
    jacobian = 0.4 * own + bump(8 * e["C8"], alpha)[:, None, :]
    if e["C10"]:
        at_points = np.concatenate([growth, growth[:, -1:]], axis=1)
        jacobian = jacobian + 0.4 * e["C10"] * at_points[:, None, :]
    norm = np.exp(jacobian)
    if e["C9"]:
        width = 0.3 * np.exp(-2 * e["C9"] * layers / LAYERS)
        norm = 0.4 * np.exp(0.5 * own)
        norm += np.exp(-0.5 * ((alpha - middle[:, None, None]) / width[None, :, None]) ** 2)
    components = grid(
        pairs, {"component": ["mlp", "mlp_fc", "norm"], "layer": layers, "step": range(STEPS)},
        frobenius=norm[:, None], gain=norm[:, None], alpha=alpha,
    )  # fmt: skip
    logits_step = np.exp(anywhere(smooth(pairs.noise(STEPS - 1))) + bump(12 * e["C7"], between))
    padded = np.concatenate([logits_step, np.full((n, 1), np.nan)], axis=1)
    flat = {"distance": alpha, "alpha": alpha}
    at_logits = grid(
        pairs, {"interp_layer": [0], "site": ["logits"], "record_layer": [LAYERS], "step": range(STEPS)},
        step_size=padded[:, None, None, None], **flat,
    )  # fmt: skip
    first, last = np.ones((n, STEPS - 1)), np.exp(growth)
    # The predicted curve lays the steps end to end. Without an effect, the measured curve is as near to it as to a
    # straight line; with an effect, it is nearer to the prediction.
    predicted = np.concatenate([np.zeros((n, 1)), np.cumsum(last, 1)], 1) / last.sum(1, keepdims=True)
    towards = np.clip(0.5 + 4 * e["C11"] + 0.25 * pairs.noise(), 0, 1)[:, None]
    measured = towards * predicted + (1 - towards) * alpha
    steps = np.stack([first, last], axis=1)
    steps = np.concatenate([steps, np.full((n, 2, 1), np.nan)], axis=2)
    at_layers = grid(
        pairs, {"interp_layer": [0], "site": ["resid_post"], "record_layer": [0, LAYERS - 1], "step": range(STEPS)},
        step_size=steps[:, None, None], alpha=alpha,
        distance=np.stack([np.broadcast_to(alpha, measured.shape), measured], axis=1)[:, None, None],
    )  # fmt: skip
    density = np.exp(
        0.4 * anywhere(smooth(pairs.noise(LAYERS - 1, STEPS - 1))) + bump(1.2 * e["C12"], between)[:, None, :]
    )
    spline = grid(
        pairs, {"layer": layers, "step": range(STEPS - 1)}, density=density, alpha=between, input_step=np.array(1.0)
    )
    return {
        (MODEL, "jacobian"): components,
        (MODEL, "interpolate"): pd.concat([at_logits, at_layers], ignore_index=True),
        (MODEL, "spline"): spline,
    }


def judged(made: Made, claims: Sequence[str], rules: Rules, models: Models = MODELS) -> list[Judgement]:
    """Test claims on a simulated run and judge them."""
    return judge(testing.run_all(registry.chosen(claims), made, models, trace_layer=0, rules=rules), rules)


def rejections(claim: str, effect: float, sets: int, seed: int, rules: Rules) -> list[Judgement]:
    """Judge one claim on `sets` simulated runs, alone, so that p values are not corrected for other claims."""
    only = Models((MODEL,), {MODEL: RANDOM}, frozenset())
    effects = {claim: effect} if effect else {}
    return [
        judged(make(np.random.default_rng([seed, k]), effects, [claim]), [claim], rules, only)[0] for k in range(sets)
    ]
