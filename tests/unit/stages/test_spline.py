"""Spline codes against plain loops over the Hugging Face modules, and the actual effect of switching a unit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plateaus.data import tables
from plateaus.mechanism import mlp_jacobian, splines
from plateaus.stages.spline import neuron_rows, spline_layer
from tests import oracle
from tests.unit.stages.test_jacobian import traced


def plain_pre_activation(model, kind: str, layer: int, x: torch.Tensor) -> torch.Tensor:
    block = oracle.blocks_of(model)[layer]
    match kind:
        case "gpt2":
            return block.mlp.c_fc(block.ln_2(x))
        case "opt":
            return block.fc1(block.final_layer_norm(x))
        case "neox":
            return block.mlp.dense_h_to_4h(block.post_attention_layernorm(x))
        case _:
            return block.mlp.gate_proj(block.post_attention_layernorm(x))


@pytest.mark.parametrize("kind", ["gpt2", "llama", "opt", "neox"])
def test_density_equals_plain_loops(kind, tiny_folder):
    folder = tiny_folder(kind)
    model, trace = traced(folder, steps=6)
    plain, _ = oracle.load(folder)
    for layer in (1, 4):
        rows, codes = spline_layer(model.mlp(layer), trace, layer)
        read = trace.mlp_input[layer - 1]
        signs = [[bool(value > 0) for value in plain_pre_activation(plain, kind, layer, x[None])[0]] for x in read]
        for step in range(5):
            crossed = sum(one != other for one, other in zip(signs[step], signs[step + 1], strict=True))
            assert rows["hamming"][step] == crossed
            moved = float((read[step + 1] - read[step]).norm())
            assert rows["density"][step] == pytest.approx(crossed / moved, rel=1e-5)
        assert rows["alpha"][0] == pytest.approx(0.1)
        assert codes["code"][0] == np.packbits(np.array(signs[0])).tobytes()


def test_a_gated_code_is_the_gates_and_not_the_products(tiny_folder):
    model, trace = traced(tiny_folder("llama"), steps=6)
    branch, read = model.mlp(2), trace.mlp_input[1]
    normalised = branch.norm(read)
    product = branch.activation(branch.pre_activation(read)) * (normalised @ branch.w_in.T + branch.b_in)
    ours = np.unpackbits(splines.codes(branch, read), axis=-1)[:, : branch.w_in.shape[0]]
    differ = (ours != (product > 0).numpy()).mean()
    assert 0.3 < differ < 0.7


def test_density_is_zero_where_the_input_stands_still(tiny_folder):
    model, trace = traced(tiny_folder("gpt2"), steps=3)
    branch, x = model.mlp(1), trace.mlp_input[0]
    found = splines.density(branch, torch.stack([x[0], x[0], x[2]]))
    assert found.density[0] == 0
    assert found.hamming[0] == 0
    assert found.density[1] > 0


def test_switching_a_relu_unit_changes_the_norm_by_what_is_said(tiny_folder):
    model, trace = traced(tiny_folder("opt"), steps=3)
    branch, x = model.mlp(2), trace.mlp_input[1].double()
    branch = branch._replace(
        norm=branch.norm._replace(gain=branch.norm.gain.double(), bias=branch.norm.bias.double()),
        **{name: value.double() for name, value in branch._asdict().items() if isinstance(value, torch.Tensor)},
    )
    matrices = mlp_jacobian.gram(branch)
    found = splines.switches(branch, matrices, x)
    before = mlp_jacobian.jacobian_norms(branch, matrices, x, branch.linearise(x)).mlp_fc.square()
    torch.testing.assert_close(found.contribution.sum(-1), before)
    a, _ = branch.folded()
    for unit in range(0, 64, 7):
        g = found.active[0].double()
        g[unit] = 1 - g[unit]
        switched = (branch.w_out @ (g[:, None] * a)).square().sum()
        torch.testing.assert_close(switched - before[0], found.switch[0, unit])


def test_the_best_switches_are_listed_in_order(tiny_folder):
    model, trace = traced(tiny_folder("opt"), steps=3)
    branch = model.mlp(2)
    rows = neuron_rows(branch, mlp_jacobian.gram(branch), trace, 2, top=4)
    switch = rows["switch"].reshape(3, 4)
    assert (np.diff(switch, axis=1) <= 0).all()
    everything = splines.switches(branch, mlp_jacobian.gram(branch), trace.mlp_input[1]).switch.amax(-1)
    np.testing.assert_allclose(switch[:, 0], everything.numpy(), rtol=1e-5)


@pytest.mark.parametrize(("kind", "relu"), [("opt", True), ("gpt2", False), ("llama", False), ("neox", False)])
def test_only_relu_models_have_switches(kind, relu, tiny_folder):
    model, trace = traced(tiny_folder(kind), steps=3)
    branch = model.mlp(2)
    assert splines.is_relu(branch) is relu
    if not relu:
        with pytest.raises(ValueError, match="ReLU"):
            splines.switches(branch, mlp_jacobian.gram(branch), trace.mlp_input[1])


def test_an_empty_table_of_neurons_is_a_table(tmp_path):
    empty = {name: np.array([], dtype=object) for name in tables.NEURONS.columns}
    tables.write(tmp_path / "n.parquet", tables.NEURONS, empty, {})
    assert len(tables.read_frame(tables.NEURONS, [tmp_path / "n.parquet"])) == 0
