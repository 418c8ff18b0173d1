"""Rows, bytes on disk and peak memory of each stage, from the sizes of its arrays and the measured constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from plateaus.curves.limits import LOGIT_BLOCK, LOGIT_BYTES
from plateaus.data.schemas import TABLES, VECTOR
from plateaus.plan import calibration, flops
from plateaus.plan.flops import SELFCHECK_ROWS
from plateaus.plan.shapes import Shape

EXTRACT_TOKENS, SWEPT_ROWS = 128, 200
"""The same values as `TOKENS` in `plateaus.stages.extract` and `ROWS` in `plateaus.stages.interpolate`, which load
torch."""


class PairSize(NamedTuple):
    """The properties of a pair that determine its cost.

    Attributes:
        prefix: Number of tokens that both prompts share.
        layers: Interpolation layers of the pair.
        whole: Whether the norms of the attention, block and chain Jacobians are computed, or only gains.
        stages: The stages after `interpolate` that work on the pair.
        traced: Whether the vectors and next-token probabilities along its path are kept.
        context: The text that both prompts share.
    """

    prefix: int
    layers: tuple[int, ...]
    whole: bool
    stages: frozenset[str] = frozenset({"freeze", "jacobian", "spline"})
    traced: bool = True
    context: str = ""


class Settings(NamedTuple):
    """The settings of the config that determine a model's cost; layers are counted from the first one.

    Attributes:
        steps: Number of points on a path.
        layers: Interpolation layers.
        trace_layer: The interpolation layer whose path is traced.
        top_tokens: As in the config.
        freeze_layers: Interpolation layers of the frozen runs.
        conditions: Freezing conditions.
        components: Jacobian components.
        exact_up_to: As in the config.
        probes: As in the config.
        top_neurons: As in the config.
        memory_gb: Memory budget of a block of rows, GB.
        centre: Whether the model is rewritten in centred coordinates.
        narrow: Whether the weights are stored in bfloat16 and stay in bfloat16 in memory.
    """

    steps: int
    layers: tuple[int, ...]
    trace_layer: int
    top_tokens: int
    freeze_layers: tuple[int, ...]
    conditions: tuple[str, ...]
    components: tuple[str, ...]
    exact_up_to: int
    probes: int
    top_neurons: int
    memory_gb: float
    centre: bool
    narrow: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any], model: str, shape: Shape, block_gb: float = 1.0) -> Settings:
        """Read the settings from a resolved config.

        Layers that the model does not have are dropped here; the stages refuse them.
        """
        interpolate, jacobian = config["interpolate"], config["jacobian"]
        return cls(
            steps=interpolate["steps"],
            layers=_layers(interpolate["layers"], shape.layers),
            trace_layer=interpolate["trace_layer"],
            top_tokens=interpolate["top_tokens"],
            freeze_layers=_layers(config["freeze"]["layers"], shape.layers),
            conditions=tuple(config["freeze"]["conditions"]),
            components=tuple(jacobian["components"]),
            exact_up_to=jacobian["exact_up_to"],
            probes=jacobian["probes"],
            top_neurons=config["spline"]["top_neurons"],
            memory_gb=block_gb,
            centre=bool(config["models"][model].get("centre", False)),
            narrow=config["models"][model].get("storage") == "bfloat16",
        )

    def traced(self, shape: Shape) -> int:
        """Return the number of layers after the trace layer."""
        return max(0, shape.layers - 1 - self.trace_layer)


def _layers(chosen: str | Sequence[int], n_layers: int) -> tuple[int, ...]:
    if chosen == "all":
        return tuple(range(n_layers))
    counted = {int(layer) + n_layers if int(layer) < 0 else int(layer) for layer in chosen}
    return tuple(sorted(layer for layer in counted if 0 <= layer < n_layers))


# ---- rows ------------------------------------------------------------------------------------------------------


def rows(stage: str, shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> dict[str, int]:
    """Return the number of rows of each table that a stage writes for these pairs.

    The numbers are exact except for `tokens`, which depends on the model's predictions.

    Raises:
        ValueError: the stage is not one with a job per model and shard.
    """
    steps, traced, count = settings.steps, settings.traced(shape), len(pairs)
    kept = sum(pair.traced for pair in pairs)
    match stage:
        case "extract":
            return {"extract": count * 2 * shape.layers, "endpoints": count}
        case "interpolate":
            return {
                # and one more curve, of the next-token distributions
                "interpolate": sum(_curve_rows(steps, pair.layers, shape) + steps for pair in pairs),
                "endpoint_check": sum(2 * len(pair.layers) for pair in pairs),
                "trace": kept * traced * steps,
                # The likeliest tokens of the two ends mostly differ, and one or two others lead in between.
                "tokens": kept * (2 * settings.top_tokens + 1) * steps,
            }
        case "freeze":
            return {"freeze": count * len(settings.conditions) * _curve_rows(steps, settings.freeze_layers, shape)}
        case "jacobian":
            chains = sum("chain" in settings.components and not pair.whole for pair in pairs)
            return {"jacobian": (count * len(settings.components) - chains) * traced * steps}
        case "spline":
            neurons = traced * steps * min(settings.top_neurons, shape.d_mlp) if shape.relu else 0
            return {"spline": count * traced * (steps - 1), "codes": count * traced * steps, "neurons": count * neurons}
        case "sharpness":
            curves = sum(_curve_rows(1, pair.layers, shape) + 1 for pair in pairs)
            frozen = len(settings.conditions) * _curve_rows(1, settings.freeze_layers, shape)
            return {"sharpness": curves + sum("freeze" in pair.stages for pair in pairs) * frozen}
        case "robustness":
            return {"robustness": 2 * count * len(flops.robust_curves(steps, settings.trace_layer))}
        case _:
            raise ValueError(f"the plan has no cost model for the stage {stage}")


def _curve_rows(steps: int, layers: Sequence[int], shape: Shape) -> int:
    """Count the rows of curves: each interpolation layer is recorded at every layer from it on and at the logits."""
    return steps * sum(shape.layers - layer + 1 for layer in layers)


# ---- disk ------------------------------------------------------------------------------------------------------


def disk_bytes(counts: Mapping[str, int], shape: Shape, distinct: float) -> float:
    """Return the size of the Parquet files of these tables, bytes.

    Args:
        counts: Number of rows by table.
        shape: Shape of the model.
        distinct: Share of the pairs' prompts that are distinct; the vectors of a repeated prompt are stored once.
    """
    total = 0.0
    for name, count in counts.items():
        columns = sum(kind == VECTOR for kind in TABLES[name].columns.values())
        values = count * shape.d_model
        kept = 4 * values * calibration.VECTOR_ON_DISK * (distinct if name == "extract" else 1.0)
        per_row = calibration.ROW_BYTES.get(name, calibration.OTHER_ROW)
        if name == "codes":
            per_row += shape.d_mlp / 8 * calibration.CODE_ON_DISK
        empty = calibration.JACOBIAN_FILE_BYTES if name == "jacobian" else calibration.FILE_BYTES
        total += empty + columns * kept + count * per_row
    return total


# ---- memory ----------------------------------------------------------------------------------------------------


def memory_bytes(stage: str, shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> float:
    """Return the peak resident memory of one job over these pairs, bytes.

    The model is a memory-mapped file, and only the pages that the stage reads count: all of them, except in the stage
    spline, which reads only the MLPs. If the file is not in float32 or the model is centred, the model is a copy in
    memory.
    """
    if stage == "sharpness":
        read = sum(sum(rows(part, shape, settings, pairs).values()) for part in ("interpolate", "freeze"))
        return calibration.SHARPNESS_BYTES + read * calibration.CURVE_ROW_READ
    working = {
        "selfcheck": _selfcheck,
        "extract": _extract,
        "interpolate": _interpolate,
        "freeze": _freeze,
        "jacobian": _jacobian,
        "spline": _spline,
        "map": _map,
        "robustness": _robustness,
    }
    base = calibration.BASE_BYTES + calibration.TOKEN_BYTES * shape.vocabulary
    converting = 0.0
    if converted(shape) and not settings.narrow:
        converting = base + shape.model_bytes + calibration.CONVERTED * shape.file_bytes
    return max(converting, base + loaded_bytes(stage, shape, settings) + working[stage](shape, settings, pairs))


def converted(shape: Shape) -> bool:
    """Return whether the weights file is not in float32, so that it cannot be mapped as the model in memory."""
    return shape.file_bytes < 0.9 * shape.model_bytes


def loaded_bytes(stage: str, shape: Shape, settings: Settings) -> float:
    """Return the model's share of a job's memory, bytes."""
    embedding = 4.0 * shape.vocabulary * shape.d_model
    if settings.centre and shape.centred:
        blocks = 4.0 * shape.layers * (shape.attention_weights + shape.mlp_weights)
        own = calibration.CENTRED_BLOCKS * blocks + calibration.CENTRED_EMBEDDINGS * embedding
        return own + shape.model_bytes
    left = calibration.EMBEDDINGS_LEFT["LayerNorm" if shape.centred else "RMSNorm"] * embedding
    if settings.narrow:  # add the widest matrix in float32, while it is read
        return left / 2 + shape.file_bytes + max(embedding, 4.0 * shape.d_model * shape.d_mlp)
    if stage == "robustness" and not converted(shape):  # the rounded weights are a copy of the mapped file
        return left + 2 * shape.model_bytes
    if stage == "spline" and not converted(shape):
        return left + 4.0 * settings.traced(shape) * shape.mlp_weights
    return left + shape.model_bytes


def _table_bytes(stage: str, shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> float:
    """Return the bytes of a stage's rows before they are written: NumPy columns and the table built from them."""
    counts = rows(stage, shape, settings, pairs)
    vectors = {"extract": 1, "trace": 2}
    return sum(
        count * (calibration.ROW_IN_MEMORY + vectors.get(name, 0) * 4 * shape.d_model * calibration.VECTOR_IN_MEMORY)
        for name, count in counts.items()
    )


def longest(pairs: Sequence[PairSize]) -> int:
    """Return the length of the longest prefix, in tokens."""
    return max((pair.prefix for pair in pairs), default=0)


def _selfcheck(shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> float:
    d, m, rows = shape.d_model, shape.d_mlp, SELFCHECK_ROWS
    tokens = longest(pairs) + 1
    logits = (rows + 2) * tokens * 4.0 * shape.vocabulary
    kept = rows * tokens * 4.0 * d * shape.layers * 2
    matrices = (4 if shape.gated else 1) * 4.0 * m**2 + 4.0 * d * (4 * m + 4 * d) + 4.0 * d**2 * (shape.heads + 4)
    return max(logits + kept, matrices + kept)


def _extract(shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> float:
    logits = max(2 * (longest(pairs) + 1), EXTRACT_TOKENS) * shape.vocabulary * 4.0
    return logits + 6 * 8.0 * shape.vocabulary + _table_bytes("extract", shape, settings, pairs)


def _logits(shape: Shape, settings: Settings) -> float:
    """Return the bytes of the logits of several paths, and of the differences that measuring one path creates.

    With coordinates, it is the bytes of their square root while it is computed, or of the coordinates of several paths.
    """
    if flops.coordinates(shape):
        several = max(8.0 * settings.steps * shape.d_model, LOGIT_BYTES)
        root = calibration.ROOT_COPIES * 8.0 * shape.d_model**2
        return root + max(calibration.ROOT_BYTES, calibration.COORDINATES_COPIES * several)
    one = 4.0 * min(settings.steps, LOGIT_BLOCK + 1) * shape.vocabulary
    return max(one, LOGIT_BYTES) + calibration.LOGITS_COPIES * one


def _sweep(shape: Shape, settings: Settings, pairs: Sequence[PairSize], groups: int) -> float:
    """Return the bytes of the rows of all groups with their copies, and of one chunk's intermediate results."""
    state = 4.0 * groups * settings.steps * shape.d_model
    group = settings.steps * shape.bytes_per_row(longest(pairs))
    chunk = max(min(groups * group, settings.memory_gb * 1e9), group)
    return calibration.STATE_COPIES * state + calibration.CHUNK_USED * chunk


def _interpolate(shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> float:
    kept = _table_bytes("interpolate", shape, settings, pairs)
    groups = max(SWEPT_ROWS // settings.steps, *(len(pair.layers) for pair in pairs), 1)
    return kept + max(
        _sweep(shape, settings, pairs, groups), _logits(shape, settings) + _distributions(shape, settings)
    )


def _distributions(shape: Shape, settings: Settings) -> float:
    """Return the bytes of the next-token distributions along one path, and of the logits that they are made from."""
    return 4.0 * (settings.steps + 2 * min(settings.steps, LOGIT_BLOCK)) * shape.vocabulary


def _freeze(shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> float:
    groups = len(settings.freeze_layers) * len(settings.conditions)
    kept = _table_bytes("freeze", shape, settings, pairs)
    return kept + max(_sweep(shape, settings, pairs, groups), _logits(shape, settings))


def _traces(shape: Shape, settings: Settings, pairs: int) -> float:
    """Return the bytes of the traces of all pairs (resid_pre, mlp_input, resid_post), which later stages hold."""
    return calibration.TRACE_COPIES * 4.0 * pairs * settings.traced(shape) * settings.steps * shape.d_model


def _jacobian(shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> float:
    d, m, steps = shape.d_model, shape.d_mlp, settings.steps
    whole = sum(pair.whole for pair in pairs)
    mlp = (2 * shape.mlp_inputs + 1) * 4.0 * d * m
    matrices = (4 if shape.gated else 1) * 4.0 * m**2 if {"mlp", "mlp_fc"} & set(settings.components) else 0.0
    block = 0.0
    if whole and {"attn", "block", "chain"} & set(settings.components):
        exact = d <= settings.exact_up_to
        probes = flops.sketch_directions(steps, d) if exact else settings.probes
        images = 4.0 * probes * steps * d
        group = probes * steps * shape.bytes_per_row(longest(pairs))
        block = (whole + 4) * images + calibration.PUSH_USED * min(group, settings.memory_gb * 1e9 / 8)
        if exact:
            nodes = min(steps, calibration.NODES_AT_MOST)
            hidden = min(nodes * 4.0 * d * (4 * m + 4 * d), settings.memory_gb * 1e9 / 16)
            block += hidden + 4.0 * d**2 * (nodes * (whole + 3) + shape.heads)
    kept = _table_bytes("jacobian", shape, settings, pairs)
    return kept + _traces(shape, settings, len(pairs)) + mlp + matrices + block


def _spline(shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> float:
    matrices = 4.0 * shape.d_mlp**2 + 8.0 * shape.d_model * shape.d_mlp if shape.relu else 0.0
    mlp = (shape.mlp_inputs + 1) * 4.0 * shape.d_model * shape.d_mlp
    kept = _table_bytes("spline", shape, settings, pairs)
    return kept + _traces(shape, settings, len(pairs)) + mlp + matrices


def _map(shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> float:
    """Return the bytes of a map with `settings.steps` points along each side, and of all pairs' endpoints."""
    endpoints = 2 * 4.0 * len(pairs) * 2 * shape.layers * shape.d_model
    working = max(
        _sweep(shape, settings, pairs, settings.steps), _logits(shape, settings) + _distributions(shape, settings)
    )
    return endpoints + working


def _robustness(shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> float:
    """Return the bytes of the longest path, or of its next-token distributions."""
    longest_path = settings._replace(steps=2 * settings.steps)
    return max(
        _sweep(shape, longest_path, pairs, 1), _logits(shape, longest_path) + _distributions(shape, longest_path)
    )
