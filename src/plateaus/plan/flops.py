"""How many floating-point operations each stage's matrix products take: counted from the code of the stages.

A product of (n, k) and (k, m) counts 2 n k m. Elementwise work, norms and softmax are left out; the efficiencies of
`plateaus.plan.calibration` were measured against these counts and so hold their share.
"""

from __future__ import annotations

from collections.abc import Sequence

from plateaus.plan.shapes import Shape

LOGIT_BLOCK, LOGIT_BYTES = 64, 1e8
"""As in `plateaus.curves`, which loads torch."""
GRAM_BLOCKS = 8
"""As `BLOCKS` in `plateaus.mlp`, which loads torch."""


def attention_row(shape: Shape, prefix: int) -> float:
    """One row through attention: its four weight products, and queries and values over prefix and own token."""
    return 2.0 * shape.attention_weights + 4.0 * shape.heads * shape.d_head * (prefix + 1)


def block_row(shape: Shape, prefix: int) -> float:
    """One row through one block."""
    return attention_row(shape, prefix) + 2.0 * shape.mlp_weights


def logits_row(shape: Shape) -> float:
    """One row's logits."""
    return 2.0 * shape.d_model * shape.vocabulary


def sequence(shape: Shape, tokens: int) -> float:
    """A whole sequence through the model, logits of every token included."""
    return tokens * (shape.layers * block_row(shape, tokens - 1) + logits_row(shape))


def prefix_run(shape: Shape, prefix: int) -> float:
    """What `Transformer.prefix` runs: the prefix, and one token after it."""
    after = shape.layers * block_row(shape, prefix) + logits_row(shape)
    return (sequence(shape, prefix) if prefix else 0.0) + after


def extract(shape: Shape, prefix: int) -> float:
    """One pair: two whole prompts."""
    return 2 * sequence(shape, prefix + 1)


def sweep(shape: Shape, prefix: int, steps: int, layers: Sequence[int]) -> float:
    """The paths of these interpolation layers through every block after their own, and their measures."""
    rows = steps * sum(shape.layers - 1 - layer for layer in layers)
    recorded = steps * sum(shape.layers - layer for layer in layers)
    return rows * block_row(shape, prefix) + recorded * 2.0 * shape.d_model


def path_logits(shape: Shape, steps: int) -> float:
    """The logits along one path, the two ends of a long one once more, and their measures."""
    if steps <= LOGIT_BLOCK + 1:
        return steps * (logits_row(shape) + 2.0 * shape.vocabulary)
    blocks = -(-steps // LOGIT_BLOCK)
    rows = steps + (blocks - 1) + 2  # every block reads one step of the next
    return rows * logits_row(shape) + (steps + blocks - 1) * 2.0 * shape.vocabulary


def interpolate(shape: Shape, prefix: int, steps: int, layers: Sequence[int]) -> float:
    """One pair: the sweep, every path's logits, the unpatched ones, and the traced path's probabilities."""
    logits = len(layers) * path_logits(shape, steps) + (steps + 2) * logits_row(shape)
    return prefix_run(shape, prefix) + sweep(shape, prefix, steps, layers) + logits


def freeze(shape: Shape, prefix: int, steps: int, layers: Sequence[int], conditions: Sequence[str]) -> float:
    """One pair: the sweep and the logits of every condition, and the secants' two rows per block."""
    secants = 0.0
    if any(condition.endswith("_secant") for condition in conditions) and layers:
        secants = 2 * (shape.layers - 1 - min(layers)) * block_row(shape, prefix)
    each = sweep(shape, prefix, steps, layers) + len(layers) * path_logits(shape, steps)
    return prefix_run(shape, prefix) + len(conditions) * each + secants


def gram(shape: Shape) -> float:
    """The Gram matrices of one layer (`plateaus.mlp.gram`): blocks on and below the diagonal, the mixed one whole."""
    whole = 4.0 * shape.d_mlp**2 * shape.d_model
    symmetric = whole * (GRAM_BLOCKS + 1) / (2 * GRAM_BLOCKS)
    return 2 * symmetric + whole if shape.gated else symmetric


def mlp_norms(shape: Shape, steps: int) -> float:
    """The norms and gains of one pair and layer, given the Gram matrices (`jacobian_norms`, `push`, `push_fc`)."""
    forms = (3 if shape.gated else 1) * 2.0 * steps * shape.d_mlp**2
    return forms + 3 * _mlp_push(shape, steps)


def linearise(shape: Shape, steps: int) -> float:
    """The coefficients of the hidden units of one pair and layer, once for all that needs them."""
    return shape.mlp_inputs * 2.0 * steps * shape.d_model * shape.d_mlp


def _mlp_push(shape: Shape, steps: int) -> float:
    """J v of the linearised MLP."""
    return (shape.mlp_inputs + 1) * 2.0 * steps * shape.d_model * shape.d_mlp


def _attention_push(shape: Shape, prefix: int, steps: int, directions: int, chunk: int | None = None) -> float:
    """Forward-mode derivatives of attention: the value once per chunk of directions, then each direction.

    The value's weight products are taken twice by torch's forward mode.
    """
    value = attention_row(shape, prefix) + 2.0 * shape.attention_weights
    along = 2.0 * shape.attention_weights + 8.0 * shape.heads * shape.d_head * (prefix + 1)
    chunks = 1 if chunk is None else -(-directions // chunk)
    return steps * (chunks * value + directions * along)


def _block_push(shape: Shape, prefix: int, steps: int, directions: int) -> float:
    return _attention_push(shape, prefix, steps, directions) + directions * _mlp_push(shape, steps)


def _attention_matrix(shape: Shape, prefix: int, steps: int, memory_gb: float) -> float:
    """J_attn at every step of one layer, in closed form or by differentiation along every basis vector."""
    d, inner = shape.d_model, shape.heads * shape.d_head
    if not shape.closed:
        return _attention_push(shape, prefix, steps, d, direction_chunk(shape, prefix, memory_gb))
    read = (d + 1 + steps) * 2.0 * d * shape.d_head * (shape.heads + 2 * shape.kv_heads)
    values = 2.0 * d * d * inner + 2.0 * steps * shape.heads * d * d
    own = 2.0 * steps * inner * d
    if prefix + 1 < shape.d_head:
        rank = shape.heads * (prefix + 1)
        scores = 2 * 2.0 * steps * rank * shape.d_head * d + 2.0 * steps * rank * d * d
    else:
        scores = 2.0 * steps * inner * shape.d_head * (prefix + 1 + d) + 2.0 * steps * d * d * inner
    return read + values + own + scores + 4.0 * steps * d**2


def matrix_steps(shape: Shape, memory_gb: float) -> int:
    """How many steps' matrices `exact_norms` makes at a time, given a quarter of the budget."""
    return max(1, int(memory_gb / 4 * 1e9 / (4 * shape.d_model * (4 * shape.d_mlp + 8 * shape.d_model))))


def direction_chunk(shape: Shape, prefix: int, memory_gb: float) -> int:
    """How many directions `exact_norms` pushes through attention at a time."""
    rows = matrix_steps(shape, memory_gb) * shape.bytes_per_row(prefix)
    return max(1, int(memory_gb / 4 * 1e9 / rows))


def block_gains(shape: Shape, prefix: int, steps: int, *, chain: bool) -> float:
    """Directional gains of attention and block of one pair and layer, and of the chain, which has its own direction."""
    return _block_push(shape, prefix, steps, 2 if chain else 1)


def block_norms(
    shape: Shape, prefix: int, steps: int, *, exact: bool, probes: int, first: bool, memory_gb: float
) -> float:
    """Norms and gains of the same.

    Args:
        shape: The model's.
        prefix: Tokens of the prefix.
        steps: Steps of the path.
        exact: Whether by whole matrices; else from random directions.
        probes: How many of them.
        first: Whether it is the chain's first layer, whose product is the block itself.
        memory_gb: The config's budget.
    """
    gains = block_gains(shape, prefix, steps, chain=True)
    if not exact:
        # The chain's images before the first layer are the random directions themselves.
        return gains + (1 if first else 2) * _block_push(shape, prefix, steps, probes)
    d, m = shape.d_model, shape.d_mlp
    mlp = (shape.mlp_inputs * 2.0 * d * m + 2.0 * d * d * m + 2.0 * d * d) * steps
    products = (0 if shape.parallel else 1) + (0 if first else 1)
    return gains + _attention_matrix(shape, prefix, steps, memory_gb) + mlp + products * 2.0 * steps * d**3


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
    memory_gb: float,
) -> float:
    """One job: the Gram matrices once, everything else for each pair.

    Args:
        shape: The model's.
        prefixes: Tokens of each pair's prefix.
        whole: Whether each pair's attention, block and chain have norms, or gains alone.
        steps: Steps of the path.
        layers: Number of traced layers.
        components: As in the config.
        exact_up_to: As in the config.
        probes: As in the config.
        memory_gb: As in the config.
    """
    of_mlp = bool({"mlp", "mlp_fc"} & set(components))
    of_block = bool({"attn", "block", "chain"} & set(components))
    total = layers * gram(shape) if of_mlp else 0.0
    for prefix, matrices in zip(prefixes, whole, strict=True):
        total += prefix_run(shape, prefix)
        for number in range(layers):
            total += linearise(shape, steps)
            total += mlp_norms(shape, steps) if of_mlp else 0.0
            if of_block and not matrices:
                total += block_gains(shape, prefix, steps, chain=False)
            elif of_block:
                exact = shape.d_model <= exact_up_to
                total += block_norms(
                    shape, prefix, steps, exact=exact, probes=probes, first=number == 0, memory_gb=memory_gb
                )
    return total


def spline(shape: Shape, steps: int, layers: int) -> float:
    """One pair: codes twice (for density and to be kept), and for ReLU models the Gram matrix and single switches."""
    codes = 2.0 * steps * shape.d_model * shape.d_mlp
    each = 2 * codes
    if shape.relu:
        each += gram(shape) + codes + 2.0 * steps * shape.d_mlp**2
    return layers * each
