"""Rows, bytes on disk and peak memory of each stage, from the shapes of what it holds and the constants measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from plateaus.data.schemas import TABLES, VECTOR
from plateaus.plan import calibration, flops
from plateaus.plan.shapes import Shape


class PairSize(NamedTuple):
    """What of a pair its cost follows from.

    Attributes:
        prefix: Number of tokens that both prompts share.
        layers: Its interpolation layers.
        whole: Whether its attention, block and chain Jacobians have norms, or gains alone.
    """

    prefix: int
    layers: tuple[int, ...]
    whole: bool


class Settings(NamedTuple):
    """What of the config a model's cost follows from, layers counted from the front.

    Attributes:
        steps: Points of a path.
        layers: Interpolation layers.
        trace_layer: The traced one.
        top_tokens: As in the config.
        freeze_layers: Interpolation layers of the frozen runs.
        conditions: What is frozen.
        components: Jacobian components.
        exact_up_to: As in the config.
        probes: As in the config.
        top_neurons: As in the config.
        memory_gb: Budget of a block.
        centre: Whether the model is rewritten in centred coordinates.
        narrow: Whether its weights stay in memory as they are stored, in bfloat16.
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
        """Read them from a resolved config; layers that the model does not have are left to the stages to refuse."""
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
        """Number of layers after the traced one."""
        return max(0, shape.layers - 1 - self.trace_layer)


def _layers(chosen: str | Sequence[int], n_layers: int) -> tuple[int, ...]:
    if chosen == "all":
        return tuple(range(n_layers))
    counted = {int(layer) + n_layers if int(layer) < 0 else int(layer) for layer in chosen}
    return tuple(sorted(layer for layer in counted if 0 <= layer < n_layers))


# ---- rows ------------------------------------------------------------------------------------------------------


def rows(stage: str, shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> dict[str, int]:
    """Table to its number of rows for these pairs; exact but for `tokens`, which depends on what the model says."""
    steps, traced, count = settings.steps, settings.traced(shape), len(pairs)
    match stage:
        case "extract":
            return {"extract": count * 2 * shape.layers, "endpoints": count}
        case "interpolate":
            return {
                "interpolate": sum(_curve_rows(steps, pair.layers, shape) for pair in pairs),
                "endpoint_check": sum(2 * len(pair.layers) for pair in pairs),
                "trace": count * traced * steps,
                # Both ends' likeliest tokens differ more often than not, and one or two others lead in between.
                "tokens": count * (2 * settings.top_tokens + 1) * steps,
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
            curves = sum(_curve_rows(1, pair.layers, shape) for pair in pairs)
            frozen = len(settings.conditions) * _curve_rows(1, settings.freeze_layers, shape)
            return {"sharpness": curves + count * frozen}
        case _:
            raise ValueError(f"the plan does not know the stage {stage}")


def _curve_rows(steps: int, layers: Sequence[int], shape: Shape) -> int:
    """Per interpolation layer, every layer from it on and the logits."""
    return steps * sum(shape.layers - layer + 1 for layer in layers)


# ---- disk ------------------------------------------------------------------------------------------------------


def disk_bytes(counts: Mapping[str, int], shape: Shape, distinct: float) -> float:
    """Size of the Parquet files of these tables.

    Args:
        counts: Table to its number of rows.
        shape: The model's.
        distinct: Share of the prompts that are no pair's before; the vectors of a prompt are stored once.
    """
    total = 0.0
    for name, count in counts.items():
        columns = sum(kind == VECTOR for kind in TABLES[name].columns.values())
        values = count * shape.d_model
        kept = 4 * values * calibration.VECTOR_ON_DISK * (distinct if name == "extract" else 1.0)
        indices = calibration.DICTIONARY_INDEX * min(values, calibration.DICTIONARY_VALUES)
        per_row = calibration.ROW_BYTES.get(name, calibration.OTHER_ROW)
        if name == "codes":
            per_row += shape.d_mlp / 8 * calibration.CODE_ON_DISK
        empty = calibration.JACOBIAN_FILE_BYTES if name == "jacobian" else calibration.FILE_BYTES
        total += empty + columns * (kept + indices) + count * per_row
    return total


# ---- memory ----------------------------------------------------------------------------------------------------


def memory_bytes(stage: str, shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> float:
    """Peak resident memory of one job over these pairs.

    The model is a mapped file, of which those pages count that the stage reads: all, but for the spline stage, which
    reads the MLPs alone; where the file is in another type, or the model is centred, it is a copy in memory.
    """
    if stage == "sharpness":
        read = sum(sum(rows(part, shape, settings, pairs).values()) for part in ("interpolate", "freeze"))
        return calibration.SHARPNESS_BYTES + read * calibration.CURVE_ROW_READ
    working = {
        "extract": _extract,
        "interpolate": _interpolate,
        "freeze": _freeze,
        "jacobian": _jacobian,
        "spline": _spline,
    }
    base = calibration.BASE_BYTES
    converting = 0.0
    if converted(shape) and not settings.narrow:
        converting = base + shape.model_bytes + calibration.CONVERTED * shape.file_bytes
    return max(converting, base + loaded_bytes(stage, shape, settings) + working[stage](shape, settings, pairs))


def converted(shape: Shape) -> bool:
    """Whether the file has another type than float32, so that it is not the model in memory as it is."""
    return shape.file_bytes < 0.9 * shape.model_bytes


def loaded_bytes(stage: str, shape: Shape, settings: Settings) -> float:
    """The model's share of a job's memory."""
    embedding = 4.0 * shape.vocabulary * shape.d_model
    if settings.centre and shape.centred:
        blocks = 4.0 * shape.layers * (shape.attention_weights + shape.mlp_weights)
        own = calibration.CENTRED_BLOCKS * blocks + calibration.CENTRED_EMBEDDINGS * embedding
        return own + shape.model_bytes
    left = calibration.EMBEDDINGS_LEFT["LayerNorm" if shape.centred else "RMSNorm"] * embedding
    if settings.narrow:  # and the widest matrix in float32, while it is read
        return left / 2 + shape.file_bytes + max(embedding, 4.0 * shape.d_model * shape.d_mlp)
    if stage == "spline" and not converted(shape):
        return left + 4.0 * settings.traced(shape) * shape.mlp_weights
    return left + shape.model_bytes


def _table_bytes(stage: str, shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> float:
    """The rows of a stage before they are written: as NumPy columns, then as the table built from them."""
    counts = rows(stage, shape, settings, pairs)
    vectors = {"extract": 1, "trace": 2}
    return sum(
        count * (calibration.ROW_IN_MEMORY + vectors.get(name, 0) * 4 * shape.d_model * calibration.VECTOR_IN_MEMORY)
        for name, count in counts.items()
    )


def longest(pairs: Sequence[PairSize]) -> int:
    """The longest prefix."""
    return max(pair.prefix for pair in pairs)


def _extract(shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> float:
    logits = 2 * (longest(pairs) + 1) * shape.vocabulary * 4.0
    return logits + 6 * 8.0 * shape.vocabulary + _table_bytes("extract", shape, settings, pairs)


def _logits(shape: Shape, settings: Settings) -> float:
    """The logits of some paths, and the differences that its measures make of one of them."""
    one = 4.0 * min(settings.steps, flops.LOGIT_BLOCK + 1) * shape.vocabulary
    return max(one, flops.LOGIT_BYTES) + calibration.LOGITS_COPIES * one


def _sweep(shape: Shape, settings: Settings, pairs: Sequence[PairSize], groups: int) -> float:
    """The rows of all groups with the copies made of them, and one chunk's intermediate results."""
    state = 4.0 * groups * settings.steps * shape.d_model
    group = settings.steps * shape.bytes_per_row(longest(pairs))
    chunk = max(min(groups * group, settings.memory_gb * 1e9), group)
    return calibration.STATE_COPIES * state + calibration.CHUNK_USED * chunk


def _interpolate(shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> float:
    tokens = 2 * 4.0 * settings.steps * shape.vocabulary
    kept = _table_bytes("interpolate", shape, settings, pairs)
    return kept + max(
        _sweep(shape, settings, pairs, max(len(pair.layers) for pair in pairs)), _logits(shape, settings) + tokens
    )


def _freeze(shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> float:
    groups = len(settings.freeze_layers) * len(settings.conditions)
    kept = _table_bytes("freeze", shape, settings, pairs)
    return kept + max(_sweep(shape, settings, pairs, groups), _logits(shape, settings))


def _traces(shape: Shape, settings: Settings, pairs: int) -> float:
    """The traces of all pairs as read (resid_pre, mlp_input and resid_post), which every later stage keeps."""
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
        block = (whole + 4) * images + calibration.PUSH_USED * min(group, settings.memory_gb * 1e9 / 4)
        if exact:
            nodes = min(steps, calibration.NODES_AT_MOST)
            hidden = min(nodes * 4.0 * d * (4 * m + 4 * d), settings.memory_gb * 1e9 / 4)
            block += hidden + 4.0 * d**2 * (nodes * (whole + 3) + shape.heads)
    kept = _table_bytes("jacobian", shape, settings, pairs)
    return kept + _traces(shape, settings, len(pairs)) + mlp + matrices + block


def _spline(shape: Shape, settings: Settings, pairs: Sequence[PairSize]) -> float:
    matrices = 4.0 * shape.d_mlp**2 + 8.0 * shape.d_model * shape.d_mlp if shape.relu else 0.0
    mlp = (shape.mlp_inputs + 1) * 4.0 * shape.d_model * shape.d_mlp
    kept = _table_bytes("spline", shape, settings, pairs)
    return kept + _traces(shape, settings, len(pairs)) + mlp + matrices
