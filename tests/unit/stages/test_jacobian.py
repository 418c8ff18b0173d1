"""Jacobians of attention, block and chain against autograd through the plain model, and their identities."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plateaus.curves import geometry
from plateaus.curves.rows import stack
from plateaus.curves.trace import Trace, tangents
from plateaus.mechanism import attention_jacobian, block_jacobian, closed_attention, mlp_jacobian
from plateaus.model.transformer import Transformer
from plateaus.prompts.pairs import Pair, tokenise_with_file
from plateaus.stages.extract import endpoints
from plateaus.stages.interpolate import Ends, interpolate_pairs
from plateaus.stages.jacobian import COMPONENTS, jacobian_layer, start
from tests import oracle

PAIR = Pair("house-big-in", "The house was", "big", "in", "")


def traced(folder, steps: int, layer: int = 0) -> tuple[Transformer, Trace]:
    model = Transformer.load(folder, device="cpu")
    (pair,) = tokenise_with_file([PAIR], folder / "tokenizer.json", "model")
    ((residuals, _),) = endpoints(model, [pair])
    found = interpolate_pairs(
        model,
        [Ends(pair, residuals)],
        steps=steps,
        path="spherical",
        layers=[layer],
        trace_layer=layer,
        top_tokens=1,
        memory_gb=1.0,
    )[0].trace
    layers = tuple(range(layer + 1, model.n_layers))
    read, post = (torch.from_numpy(found[name]).reshape(len(layers), steps, -1) for name in ("mlp_input", "resid_post"))
    path = geometry.interpolate(*residuals[:, layer], geometry.alphas(steps), path="spherical", name="x")
    return model, Trace(pair, layers, geometry.alphas(steps), [path, *post[:-1]], list(read), list(post))


def measured(model, trace, *, exact=True, probes=8, components=COMPONENTS) -> dict[str, np.ndarray]:
    states, rows = [start(model, trace)], []
    for layer in trace.layers:
        (found,), states = jacobian_layer(
            model, layer, states, components=list(components), exact=exact, probes=probes, memory_gb=1.0
        )
        rows.append(found)
    return stack(rows)


def column(rows, component, name, layers) -> np.ndarray:
    chosen = rows["component"] == component
    return rows[name][chosen].reshape(layers, -1)


def plain_jacobian(folder, trace: Trace, step: int, first: int, last: int) -> torch.Tensor:
    """d resid_post[last] / d resid_post[first] at the last token, by autograd through the full sequence."""
    plain, tokenizer = oracle.load(folder)
    blocks = oracle.blocks_of(plain)
    ids = tokenizer(PAIR.prompt(PAIR.a), add_special_tokens=False).input_ids

    def run(x: torch.Tensor) -> torch.Tensor:
        kept: list[torch.Tensor] = []

        def patch(_, __, out):
            hidden = (out[0] if isinstance(out, tuple) else out).clone()
            hidden[0, -1] = x
            return (hidden, *out[1:]) if isinstance(out, tuple) else hidden

        def keep(_, __, out):
            kept.append((out[0] if isinstance(out, tuple) else out)[0, -1])

        handles = [blocks[first].register_forward_hook(patch), blocks[last].register_forward_hook(keep)]
        plain(torch.tensor([ids]), use_cache=False)
        for handle in handles:
            handle.remove()
        return kept[0]

    at = trace.resid_pre[trace.layers.index(first + 1)][step]
    return torch.autograd.functional.jacobian(run, at)


@pytest.mark.parametrize("kind", ["gpt2", "neox"])
def test_blocks_and_chains_equal_autograd_through_the_plain_model(kind, tiny_folder):
    folder = tiny_folder(kind)
    model, trace = traced(folder, steps=5)
    rows = measured(model, trace)
    n = len(trace.layers)
    for step in (0, 2, 4):
        for layer in (1, 3):
            block = plain_jacobian(folder, trace, step, layer - 1, layer)
            np.testing.assert_allclose(column(rows, "block", "frobenius", n)[layer - 1, step], block.norm(), rtol=1e-4)
            v = tangents(trace.resid_pre[layer - 1])[step]
            np.testing.assert_allclose(column(rows, "block", "gain", n)[layer - 1, step], (block @ v).norm(), rtol=1e-4)
        chain = plain_jacobian(folder, trace, step, 0, model.n_layers - 1)
        np.testing.assert_allclose(column(rows, "chain", "frobenius", n)[-1, step], chain.norm(), rtol=1e-4)
        v = tangents(trace.resid_pre[0])[step]
        np.testing.assert_allclose(column(rows, "chain", "gain", n)[-1, step], (chain @ v).norm(), rtol=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "neox", "gemma2", "olmo"])
def test_attention_equals_autograd(kind, tiny_folder):
    """The reference is the bridge's own attention, differentiated by reverse mode one row at a time."""
    model, trace = traced(tiny_folder(kind), steps=3)
    prefix = model.prefix(list(trace.pair.prefix))
    rows = trace.resid_pre[1]
    at = attention_jacobian.LayerAttention(model, 2, memory_gb=1.0).at(rows, prefix)
    found, v = at.matrices([2, 0, 1])[[1, 2, 0]], torch.randn(2, *rows.shape)
    pushed = at.push(v)
    differentiated = attention_jacobian.by_differentiation(model, 2, rows, prefix, chunk=7)
    for step, row in enumerate(rows):
        expected = torch.autograd.functional.jacobian(lambda x: model.attention(2, x[None], prefix)[0], row)
        torch.testing.assert_close(differentiated[step], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found[step], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(pushed[:, step], v[:, step] @ expected.T, rtol=1e-4, atol=1e-5)


def in_float64(value):
    """Convert the tensors of a record, and of the records nested in it, to float64."""
    if isinstance(value, torch.Tensor):
        return value.double()
    if hasattr(value, "_asdict"):
        return value._replace(**{name: in_float64(part) for name, part in value._asdict().items()})
    return value


def plain_attention(affine, prefix_keys, prefix_values, offsets):
    """Attention at the last token, head by head, from a residual vector to what attention adds to the stream."""
    heads, kv_heads = len(affine.queries), len(affine.keys)

    def run(x):
        read = affine.norm.normalise(x[None])[0][0]
        outputs = []
        for head in range(heads):
            shared = head // (heads // kv_heads)
            query = affine.queries[head] @ read + offsets["queries"][head]
            key = affine.keys[shared] @ read + offsets["keys"][shared]
            value = affine.values[shared] @ read + offsets["values"][shared]
            keys = torch.cat([prefix_keys[shared], key[None]])
            values = torch.cat([prefix_values[shared], value[None]])
            outputs.append((affine.scale * keys @ query).softmax(0) @ values)
        return affine.out @ torch.cat(outputs)

    return run


@pytest.mark.parametrize("kind", ["gpt2", "llama", "opt", "qwen2", "olmo"])
def test_attention_and_block_in_closed_form_equal_autograd_in_float64(kind, tiny_folder):
    """Uses the models' own matrices in plain float64 code, because the library's softmax and norms are not float64."""
    model, trace = traced(tiny_folder(kind), steps=3)
    prefix = model.prefix(list(trace.pair.prefix))
    rows = trace.resid_pre[1]
    heads = closed_attention.read_heads(model, 2, rows, prefix)
    affine = in_float64(closed_attention.read_affine(model, 2, prefix))
    affine = affine._replace(
        **{name: affine.norm.centre(getattr(affine, name)) for name in ("queries", "keys", "values")}
    )
    mlp = in_float64(model.mlp(2))
    x = rows.double()
    read = affine.norm.normalise(x)[0]
    # Queries, keys and values minus their linear part are the same at every row.
    parts = {"queries": heads.queries, "keys": heads.keys[:, :, -1], "values": heads.values[:, :, -1]}
    offsets = {name: (found[0].double() - getattr(affine, name) @ read[0]) for name, found in parts.items()}
    run = plain_attention(affine, prefix.keys[2][0].double(), prefix.values[2][0].double(), offsets)

    def at(name):
        return torch.stack([getattr(affine, name) @ one + offsets[name] for one in read])

    keys = torch.cat([prefix.keys[2].double().expand(len(x), -1, -1, -1), at("keys")[:, :, None]], 2)
    values = torch.cat([prefix.values[2].double().expand(len(x), -1, -1, -1), at("values")[:, :, None]], 2)
    groups = at("queries").shape[1] // keys.shape[1]
    scores = affine.scale * (keys.repeat_interleave(groups, 1) @ at("queries")[..., None]).squeeze(-1)
    z = (scores.softmax(-1)[:, :, None] @ values.repeat_interleave(groups, 1)).flatten(1)
    at_rows = closed_attention.Heads(at("queries"), keys, values, z)
    expected = torch.stack([torch.autograd.functional.jacobian(run, row) for row in x])
    # Test both orders of the products: per token, as here, and with the sum over tokens first, as with long prefixes.
    assert keys.shape[2] < at("queries").shape[2]
    found = closed_attention.jacobian(affine, at_rows, x)
    assert (found - expected).norm() / expected.norm() < 1e-10
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closed_attention, "_through_tokens", closed_attention._through_heads)
        over_heads = closed_attention.jacobian(affine, at_rows, x)
    assert not torch.equal(over_heads, found)
    assert (over_heads - expected).norm() / expected.norm() < 1e-10
    v = torch.randn(4, *x.shape, dtype=x.dtype)
    pushed = torch.einsum("nij,knj->kni", expected, v)
    assert (closed_attention.push(affine, at_rows, x, v) - pushed).norm() / pushed.norm() < 1e-10
    of_mlp = mlp_jacobian.jacobian(mlp, x + torch.stack([run(row) for row in x]))
    block = block_jacobian.compose(model.layout(2).parallel, of_mlp, found.clone())

    def run_block(row):
        after = row + run(row)
        return after + mlp(after[None])[0]

    whole = torch.stack([torch.autograd.functional.jacobian(run_block, row) for row in x])
    assert (block - whole).norm() / whole.norm() < 1e-10
    torch.testing.assert_close(
        run(x[0]).float(), model.attention(2, rows, prefix)[0] - _bias(model), atol=1e-4, rtol=1e-3
    )


def _bias(model) -> torch.Tensor:
    bias = getattr(model.bridge.blocks[2].attn.o.original_component, "bias", None)
    return torch.zeros(model.d_model) if bias is None else bias.detach()


@pytest.mark.parametrize(("kind", "closed_form"), [("gpt2", True), ("llama", True), ("opt", True), ("gemma2", False)])
def test_the_closed_form_of_attention_is_used_where_it_holds(kind, closed_form, tiny_folder):
    model, trace = traced(tiny_folder(kind), steps=3)
    prefix = model.prefix(list(trace.pair.prefix))
    at = attention_jacobian.LayerAttention(model, 2, memory_gb=1.0).at(trace.resid_pre[1], prefix)
    assert (at.affine is not None) is closed_form


def test_a_closed_form_that_does_not_hold_is_not_used(tiny_folder, monkeypatch):
    model, trace = traced(tiny_folder("gpt2"), steps=3)
    prefix = model.prefix(list(trace.pair.prefix))
    read = closed_attention.read_affine
    monkeypatch.setattr(
        closed_attention, "read_affine", lambda *given: (found := read(*given))._replace(scale=1.1 * found.scale)
    )
    at = attention_jacobian.LayerAttention(model, 2, memory_gb=1.0).at(trace.resid_pre[1], prefix)
    assert at.affine is None


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_gains_telescope_to_the_growth_of_the_steps(kind, tiny_folder):
    """The sum over layers of the log gains is the log growth of the step size, in the small-step limit."""
    model, trace = traced(tiny_folder(kind), steps=2001)
    rows = measured(model, trace, components=["block", "chain"], exact=False, probes=2)
    n = len(trace.layers)

    def step_size(x):  # from central differences, as the tangents are
        return torch.linalg.vector_norm(x[2:] - x[:-2], dim=-1).numpy()

    growth = np.log(step_size(trace.resid_post[-1]) / step_size(trace.resid_pre[0]))
    summed = np.log(column(rows, "block", "gain", n)).sum(0)[1:-1]
    np.testing.assert_allclose(summed, growth, atol=0.02)
    np.testing.assert_allclose(np.log(column(rows, "chain", "gain", n)[-1])[1:-1], growth, atol=0.02)


def test_gains_telescope_on_the_embedded_model(embedded_folder):
    model, trace = traced(embedded_folder, steps=801, layer=26)
    rows = measured(model, trace, components=["block"], exact=False, probes=2)

    def step_size(x):
        return torch.linalg.vector_norm(x[2:] - x[:-2], dim=-1).numpy()

    growth = step_size(trace.resid_post[-1]) / step_size(trace.resid_pre[0])
    gains = column(rows, "block", "gain", len(trace.layers)).prod(0)[1:-1]
    np.testing.assert_allclose(gains, growth, rtol=0.02)


def test_closed_forms_equal_autograd_in_float32_on_the_embedded_model(embedded_folder):
    model, trace = traced(embedded_folder, steps=5)
    for layer in (1, 14, 29):
        branch = model.mlp(layer)
        read = trace.mlp_input[trace.layers.index(layer)]
        found = mlp_jacobian.jacobian_norms(branch, mlp_jacobian.gram(branch), read, branch.linearise(read))
        for step, row in enumerate(read):
            matrix = torch.func.jacrev(lambda x, branch=branch: branch(x[None])[0])(row)
            assert abs(found.mlp[step] / matrix.norm() - 1) < 1e-4


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_estimate_is_within_its_own_error(kind, tiny_folder):
    model, trace = traced(tiny_folder(kind), steps=4)
    exact, estimated = measured(model, trace), measured(model, trace, exact=False, probes=400)
    for component in ("attn", "block", "chain"):
        rows = exact["component"] == component
        deviation = (estimated["frobenius"] - exact["frobenius"])[rows] / estimated["frobenius_error"][rows]
        assert np.abs(deviation).max() < 4.5
        assert (estimated["frobenius_error"][rows] / exact["frobenius"][rows] < 0.1).all()
        np.testing.assert_allclose(estimated["gain"][rows], exact["gain"][rows], rtol=1e-4)
    assert np.isnan(exact["frobenius_error"]).all()


def test_other_pairs_have_the_same_gains_without_the_matrices(tiny_folder):
    model, trace = traced(tiny_folder("gpt2"), steps=4)
    whole, gains, states = [], [], [start(model, trace), start(model, trace, whole=False)]
    for layer in trace.layers:
        (one, other), states = jacobian_layer(
            model, layer, states, components=list(COMPONENTS), exact=True, probes=2, memory_gb=1.0
        )
        whole.append(one)
        gains.append(other)
    whole, gains = stack(whole), stack(gains)
    assert set(gains["component"]) == set(COMPONENTS) - {"chain"}
    whole = {name: values[whole["component"] != "chain"] for name, values in whole.items()}
    np.testing.assert_allclose(gains["gain"], whole["gain"], rtol=1e-5)
    left_out = np.isin(whole["component"], ["attn", "block"])
    assert np.isnan(gains["frobenius"][left_out]).all()
    np.testing.assert_allclose(gains["frobenius"][~left_out], whole["frobenius"][~left_out], rtol=1e-6)


def test_the_gain_of_a_component_is_at_most_its_norm(tiny_folder):
    model, trace = traced(tiny_folder("gpt2"), steps=5)
    rows = measured(model, trace)
    assert (rows["gain"] <= rows["frobenius"] * (1 + 1e-5)).all()


def test_tangents_are_unit_and_point_along_the_path():
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    expected = torch.tensor([[1.0, 0.0], [0.5**0.5, 0.5**0.5], [0.0, 1.0], [0.0, 0.0]])
    torch.testing.assert_close(tangents(x), expected)
