"""Floating-point operations of the matrix products in each stage, counted from the code of the stages.

A product of (n, k) and (k, m) counts as 2 n k m operations. Elementwise work, norms and softmax are not counted; the
efficiencies in `plateaus.plan.calibration` were measured against these counts and so include their time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from plateaus.curves.limits import LOGIT_BLOCK
from plateaus.plan.shapes import Shape

ROOT_STRIP, ROOT_TRIED = 128, 8
"""The same values as `STRIP` and twice `TRIED` in `plateaus.model.unembedding`, which loads torch."""
GRAM_BLOCKS = 8
"""The same value as `BLOCKS` in `plateaus.mechanism.mlp_jacobian`, which loads torch."""
TRIED, TRIED_OUT = 3, 8
"""The same values as `TRIED` in `plateaus.mechanism.attention_jacobian` and in `closed_attention`, which load torch."""
SELFCHECK_ROWS, SELFCHECK_MATRICES = 4, 3
"""The same values as `ROWS` in `plateaus.mechanism.reference` and `MATRIX_LAYERS` in `plateaus.mechanism.selfcheck`,
which load torch."""
SKETCH = 8
"""The same value as `DIMENSIONS_PER_STEP` in `plateaus.mechanism.nodes`, which loads torch."""
BASELINE = "none"
"""The same value as `BASELINE` in `plateaus.model.freezing`, which loads torch."""
NODES = 12
"""Nodes of a path of 50 or more steps: the mean over layers for the post's two pairs on SmolLM2-135M."""


def attention_row(shape: Shape, prefix: int) -> float:
    """Count one row through attention: four weight products, and scores and values over the prefix and itself."""
    return 2.0 * shape.attention_weights + 4.0 * shape.heads * shape.d_head * (prefix + 1)


def block_row(shape: Shape, prefix: int) -> float:
    """Count one row through one block."""
    return attention_row(shape, prefix) + 2.0 * shape.mlp_weights


def logits_row(shape: Shape) -> float:
    """Count the logits of one row."""
    return 2.0 * shape.d_model * shape.vocabulary


def coordinates(shape: Shape) -> bool:
    """Return whether the logits along paths are measured by coordinates, as in `curves.logits.measure_logits`."""
    return not shape.capped


def _coordinates_row(shape: Shape) -> float:
    return 2.0 * shape.d_model**2


def logit_root(shape: Shape) -> float:
    """Count the square root behind the coordinates, once per job: W^T W on and below the diagonal, and the check."""
    if not coordinates(shape):
        return 0.0
    strips = range(0, shape.d_model, ROOT_STRIP)
    entries = sum((shape.d_model - first) * min(ROOT_STRIP, shape.d_model - first) for first in strips)
    tried = ROOT_TRIED * (_coordinates_row(shape) + logits_row(shape))
    return 2.0 * shape.vocabulary * entries + tried


def sequence(shape: Shape, tokens: int) -> float:
    """Count a whole sequence through the model, including the logits of every token."""
    return tokens * (shape.layers * block_row(shape, tokens - 1) + logits_row(shape))


def prefix_run(shape: Shape, prefix: int) -> float:
    """Count what `Transformer.prefix` runs: the prefix, and one token after it."""
    after = shape.layers * block_row(shape, prefix) + logits_row(shape)
    return (sequence(shape, prefix) if prefix else 0.0) + after


def selfcheck(shape: Shape, prefix: int, layers: int) -> float:
    """Count the stage selfcheck: a few points of one path, and whole Jacobians in a few blocks."""
    tokens, rows = prefix + 1, SELFCHECK_ROWS
    plain = (2 + rows) * sequence(shape, tokens) + 3 * rows * tokens * layers * block_row(shape, prefix)
    swept = 2 * sequence(shape, tokens) + prefix_run(shape, prefix)
    in_block = 8 * rows * block_row(shape, prefix) + _affine(shape, prefix) + 2 * _block_push(shape, prefix, rows, 1)
    d, m = shape.d_model, shape.d_mlp
    of_mlp = gram(shape) + (shape.mlp_inputs + d) * 2.0 * d * m
    matrices = _attention_matrices(shape, prefix, 1) + of_mlp + 2.0 * d**3
    return plain + swept + layers * in_block + SELFCHECK_MATRICES * matrices


def extract(shape: Shape, prefix: int) -> float:
    """Count the stage extract for one pair: two whole prompts."""
    return 2 * sequence(shape, prefix + 1)


def sweep(shape: Shape, prefix: int, steps: int, layers: Sequence[int]) -> float:
    """Count a sweep: each interpolation layer's path through every later block, and the measures of what it records."""
    rows = steps * sum(shape.layers - 1 - layer for layer in layers)
    recorded = steps * sum(shape.layers - layer for layer in layers)
    return rows * block_row(shape, prefix) + recorded * 2.0 * shape.d_model


def path_logits(shape: Shape, steps: int) -> float:
    """Count the logits along one path and their measures; a long path computes the logits of its two ends twice."""
    if coordinates(shape):
        return steps * (_coordinates_row(shape) + 2.0 * shape.d_model)
    if steps <= LOGIT_BLOCK + 1:
        return steps * (logits_row(shape) + 2.0 * shape.vocabulary)
    blocks = -(-steps // LOGIT_BLOCK)
    rows = steps + (blocks - 1) + 2  # every block also reads the first step of the next block
    return rows * logits_row(shape) + (steps + blocks - 1) * 2.0 * shape.vocabulary


def interpolate(shape: Shape, prefix: int, steps: int, layers: Sequence[int]) -> float:
    """Count the stage interpolate for one pair.

    It runs the sweep, the measures of the logits of every path, and the logits of the two unpatched prompts and of
    every step of the trace layer's path, for next-token distributions. With coordinates, the logits at the two ends of
    every path are added. `prefix_run` and `logit_root` are not included, since pairs share them.
    """
    full = 2 + steps + (2 * len(layers) if coordinates(shape) else 0)
    logits = len(layers) * path_logits(shape, steps) + full * logits_row(shape)
    return sweep(shape, prefix, steps, layers) + logits


def freeze(
    shape: Shape,
    prefix: int,
    steps: int,
    layers: Sequence[int],
    conditions: Sequence[str],
    known: Collection[int] = (),
) -> float:
    """Count the stage freeze for one pair: sweep and logits of every condition, and two rows per block for secants.

    The curves without freezing are not computed at the `known` layers, where `interpolate` has them. `prefix_run` and
    `logit_root` are not included, since pairs share them.
    """
    secants = 0.0
    if any(condition.endswith("_secant") for condition in conditions) and layers:
        secants = 2 * (shape.layers - 1 - min(layers)) * block_row(shape, prefix)
    computed = [layer for layer in layers if layer not in known]
    swept = [computed if condition == BASELINE else layers for condition in conditions]
    return secants + sum(sweep(shape, prefix, steps, one) + len(one) * path_logits(shape, steps) for one in swept)


def map_triple(shape: Shape, prefix: int, side: int, layer: int) -> float:
    """Count the map of one triple: every point through the later blocks, its logits, and their coordinates.

    `logit_root` is not included.
    """
    points, corners = side**2, 3
    rows = points * ((shape.layers - 1 - layer) * block_row(shape, prefix) + logits_row(shape))
    by_logits = _coordinates_row(shape) if coordinates(shape) else logits_row(shape)
    return prefix_run(shape, prefix) + rows + corners * logits_row(shape) + (points + corners) * by_logits


def robust_curves(steps: int, trace_layer: int) -> list[tuple[int, int]]:
    """Return the steps and the interpolation layer of each curve of one pair in the stage robustness.

    These are the run's own setting, the other kind of path, swapped words, another beginning and rounded weights; half
    and twice the steps; layers 0 to 2; and the embedding, which is counted as layer 0.
    """
    same, layers = [(steps, trace_layer)] * 5, [(steps, layer) for layer in (0, 1, 2, 0)]
    return [*same, (steps // 2, trace_layer), (2 * steps, trace_layer), *layers]


def robustness(shape: Shape, prefix: int, steps: int, trace_layer: int) -> float:
    """Count the stage robustness for one pair: every curve runs both prompts, a sweep and two yardsticks.

    The prefix is run for the model, for its copy with rounded weights, and with another beginning.

    `logit_root` is not included.
    """
    curves = robust_curves(steps, trace_layer)
    each = 2 * sequence(shape, prefix + 1)
    swept = sum(
        sweep(shape, prefix, points, [layer]) + path_logits(shape, points) + points * logits_row(shape)
        for points, layer in curves
    )
    return len(curves) * each + 3 * prefix_run(shape, prefix) + swept + steps * block_row(shape, prefix)


def gram(shape: Shape) -> float:
    """Count the Gram matrices of one layer (`mlp_jacobian.gram`).

    Symmetric matrices compute only the blocks on and below the diagonal; the mixed matrix of a gated MLP is computed
    whole. With a norm after the MLP, there are all of these for the output weights with and without the norm's gain.
    """
    whole = 4.0 * shape.d_mlp**2 * shape.d_model
    symmetric = whole * (GRAM_BLOCKS + 1) / (2 * GRAM_BLOCKS)
    return (2 if shape.norm_after else 1) * (2 * symmetric + whole if shape.gated else symmetric)


def mlp_norms(shape: Shape, steps: int) -> float:
    """Count norms and gains of one pair and layer, given the Gram matrices (`jacobian_norms`, `push`, `push_fc`)."""
    m = shape.d_mlp
    size = -(-m // GRAM_BLOCKS)
    symmetric = 2.0 * steps * sum((m - start) * min(size, m - start) for start in range(0, m, size))
    forms = 2 * symmetric + 2.0 * steps * m**2 if shape.gated else symmetric
    along = 2.0 * steps * shape.d_model * m
    return forms + along + _mlp_push(shape, steps)


def linearise(shape: Shape, steps: int) -> float:
    """Count the coefficients of the hidden units of one pair and layer, which are computed once and shared."""
    return shape.mlp_inputs * 2.0 * steps * shape.d_model * shape.d_mlp


def _mlp_push(shape: Shape, steps: int) -> float:
    """Count the product J v of the linearised MLP."""
    return (shape.mlp_inputs + 1) * 2.0 * steps * shape.d_model * shape.d_mlp


def _attention_push(shape: Shape, prefix: int, steps: int, directions: int) -> float:
    """Count forward-mode derivatives of attention: the value, shared by all directions of a chunk, and each direction.

    Forward mode in torch computes the weight products of the value twice.
    """
    value = attention_row(shape, prefix) + 2.0 * shape.attention_weights
    along = 2.0 * shape.attention_weights + 8.0 * shape.heads * shape.d_head * (prefix + 1)
    return steps * (value + directions * along)


def _closed_row(shape: Shape, prefix: int) -> float:
    """Count what every use of attention's closed form needs per row: the scores, and the path through the key."""
    inner = shape.heads * shape.d_head
    return 2.0 * inner * (prefix + 1) + 2.0 * inner * shape.d_model


def _attention_read(shape: Shape, prefix: int, rows: int) -> float:
    """Count rows through queries, keys, values and scores."""
    return rows * (2.0 * shape.d_model * shape.d_head * (shape.heads + 2 * shape.kv_heads)) + rows * 4.0 * (
        shape.heads * shape.d_head * (prefix + 1)
    )


def _affine(shape: Shape, prefix: int) -> float:
    """Count reading attention's matrices off the model and trying them on a few rows, once per layer and length."""
    if not shape.closed:
        return 0.0
    out = _attention_read(shape, prefix, TRIED_OUT) + TRIED_OUT * attention_row(shape, prefix)
    out += (TRIED_OUT - 1) * 2.0 * shape.heads * shape.d_head * shape.d_model
    tried = _attention_read(shape, prefix, TRIED) + _attention_push(shape, prefix, TRIED, 1)
    return out + _attention_read(shape, prefix, shape.d_model + 1) + tried + _closed_push(shape, prefix, TRIED, 1)


def _closed_push(shape: Shape, prefix: int, steps: int, directions: int) -> float:
    """Count pushing directions through the closed form of attention."""
    d, inner = shape.d_model, shape.heads * shape.d_head
    along = 2.0 * d * (2 * inner + shape.kv_heads * shape.d_head) + 4.0 * inner * (prefix + 1) + 2.0 * shape.heads * d
    return steps * (_closed_row(shape, prefix) + directions * along)


def _block_push(shape: Shape, prefix: int, steps: int, directions: int) -> float:
    push = _closed_push if shape.closed else _attention_push
    return push(shape, prefix, steps, directions) + directions * _mlp_push(shape, steps)


def _attention_matrices(shape: Shape, prefix: int, rows: int) -> float:
    """Count J_attn at some rows of one layer, in closed form or by differentiation along every basis vector."""
    d, inner = shape.d_model, shape.heads * shape.d_head
    if not shape.closed:
        return _attention_push(shape, prefix, rows, d)
    values = 2.0 * d * d * inner + 2.0 * rows * shape.heads * d * d
    if prefix + 1 < shape.d_head:
        rank = shape.heads * (prefix + 1)
        scores = 2 * 2.0 * rows * rank * shape.d_head * d + 2.0 * rows * rank * d * d
    else:
        scores = 2.0 * rows * inner * shape.d_head * (prefix + 1 + d) + 2.0 * rows * d * d * inner
    return rows * _closed_row(shape, prefix) + values + scores + 2.0 * rows * d**2


def sketch_directions(steps: int, d_model: int) -> int:
    """Return the number of random directions of a sketch, as `plateaus.mechanism.nodes.directions` does."""
    return max(4, -(-SKETCH * steps // d_model))


def block_gains(shape: Shape, prefix: int, steps: int) -> float:
    """Count the directional gains of attention and block for one pair and layer."""
    read = _attention_read(shape, prefix, steps) if shape.closed else 0.0
    return read + _block_push(shape, prefix, steps, 1)


def block_norms(shape: Shape, prefix: int, steps: int, *, exact: bool, probes: int, first: bool, nodes: int) -> float:
    """Count the norms and gains of attention, block and chain for one pair and layer.

    Args:
        shape: Shape of the model.
        prefix: Number of tokens in the prefix.
        steps: Number of steps of the path.
        exact: Whether the norms come from whole matrices at the path's nodes, or from random directions.
        probes: Number of random directions if the norms are not exact.
        first: Whether this is the first layer of the chain, where the chain is the block itself.
        nodes: Number of steps that are nodes.
    """
    sketch = sketch_directions(steps, shape.d_model) if exact else probes
    read = _attention_read(shape, prefix, steps) if shape.closed else 0.0
    pushed = read + _block_push(shape, prefix, steps, 2 + (1 if first else 2) * sketch)
    if not exact:
        return pushed
    d, m = shape.d_model, shape.d_mlp
    choosing = 3 * 2.0 * steps**2 * sketch * d
    mlp = (shape.mlp_inputs * 2.0 * d * m + 2.0 * d * d * m + 2.0 * d * d) * nodes
    products = (0 if shape.parallel else 1) + (0 if first else 1)
    norms = 3 * 2.0 * nodes**2 * (d**2 + steps)
    matrices = _attention_matrices(shape, prefix, nodes) + mlp + products * 2.0 * nodes * d**3
    return pushed + choosing + matrices + norms


def jacobian(
    shape: Shape,
    prefixes: Sequence[int],
    whole: Sequence[bool],
    steps: int,
    layers: int,
    *,
    components: Sequence[str],
    exact_up_to: int,
    probes: int,
    nodes: int = NODES,
) -> float:
    """Count one job of the stage jacobian: the Gram matrices once, and everything else for each pair.

    `prefix_run` is not included, since pairs share it.

    Args:
        shape: Shape of the model.
        prefixes: Number of tokens in each pair's prefix.
        whole: For each pair, whether attention, block and chain have norms, or only gains.
        steps: Number of steps of the path.
        layers: Number of traced layers.
        components: As in the config.
        exact_up_to: As in the config.
        probes: As in the config.
        nodes: Number of steps that are nodes.
    """
    of_mlp = bool({"mlp", "mlp_fc"} & set(components))
    of_block = bool({"attn", "block", "chain"} & set(components))
    total = layers * gram(shape) if of_mlp else 0.0
    for prefix, matrices in zip(prefixes, whole, strict=True):
        for number in range(layers):
            total += linearise(shape, steps)
            total += mlp_norms(shape, steps) if of_mlp else 0.0
            if of_block and not matrices:
                total += block_gains(shape, prefix, steps)
            elif of_block:
                exact, of_path = shape.d_model <= exact_up_to, min(nodes, steps)
                total += block_norms(shape, prefix, steps, exact=exact, probes=probes, first=number == 0, nodes=of_path)
    if of_block:
        total += layers * sum(_affine(shape, prefix) for prefix in set(prefixes))
    return total


def spline(shape: Shape, steps: int, layers: int) -> float:
    """Count the stage spline for one pair.

    Codes are computed twice (for the density and for the table). ReLU models add the Gram matrix and single switches.
    """
    codes = 2.0 * steps * shape.d_model * shape.d_mlp
    each = 2 * codes
    if shape.relu:
        each += gram(shape) + codes + 2.0 * steps * shape.d_mlp**2
    return layers * each
