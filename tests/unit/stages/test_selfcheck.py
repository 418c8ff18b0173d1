"""The check of a model against itself: right models pass, broken formulas are named, and nothing is checked twice."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from plateaus.data.schemas import QUANTITIES
from plateaus.errors import InputError
from plateaus.mechanism import closed_attention, mlp_jacobian, splines
from plateaus.mechanism import selfcheck as checks
from plateaus.model.norm import Norm
from plateaus.stages import selfcheck
from plateaus.stages.fetch import make_model
from plateaus.stages.job import Job

PAIR = ["house-big-in", "The house was", "big", "in", "", " "]


@pytest.fixture
def job_of(tiny_folder, tmp_path: Path):
    """Return a function that makes a job of a stage for a tiny model, whose folder is fetched first."""

    def make(kind: str, *, source: Path | None = None, said: list[str] | None = None, **reading) -> Job:
        folder = tmp_path / f"{kind}-folder"
        if not folder.is_dir():
            make_model("tiny", {"source": "local", "path": str(source or tiny_folder(kind))}, folder)
        return Job(
            stage="interpolate", root=tmp_path / "run", model="tiny", shard="s0-of-1",
            slice={"centre": False, "bos": "auto", **reading}, model_folder=folder, extra={"check": PAIR}, threads=1,
            device="cpu", memory_gb=1.0, progress=(said if said is not None else []).append,
        )  # fmt: skip

    return make


def table(job: Job):
    return pq.read_table(job.root / "data/tiny/selfcheck/all.parquet").to_pandas()


def test_the_table_has_every_quantity_in_every_block(job_of):
    job = job_of("llama")
    selfcheck.ensure(job)
    found = table(job)
    assert set(found["quantity"]) == set(QUANTITIES)
    assert (found["error"] <= 1e-5).all()
    in_blocks = found[found["quantity"].isin(["resid_post", "sum", "mlp", "attn_jvp", "mlp_jvp", "block_jvp", "codes"])]
    assert in_blocks.groupby("layer").size().to_dict() == dict.fromkeys(range(1, 5), 7)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_centred_model_is_right_whether_or_not_it_can_be_centred(kind, job_of):
    job = job_of(kind, centre=True)
    selfcheck.ensure(job)
    assert (table(job)["error"] <= 1e-5).all()


def test_a_model_is_checked_again_only_if_something_has_changed(job_of, monkeypatch):
    said: list[str] = []
    selfcheck.ensure(job_of("llama", said=said))
    assert "the largest error is" in said[-1]
    for change, again in (({}, False), ({"bos": True}, True), ({"bos": True}, False)):
        said.clear()
        selfcheck.ensure(job_of("llama", said=said, **change))
        assert bool(said) == again
    monkeypatch.setattr(selfcheck, "code_digest", lambda stage: "other code")
    selfcheck.ensure(job_of("llama", said=said, bos=True))
    assert said


def flipped(function):
    return lambda *arguments, **named: -function(*arguments, **named)


def break_attention(monkeypatch) -> None:
    """Flip the sign of the closed form after its trial, which would otherwise leave it aside."""
    push = closed_attention.push
    monkeypatch.setattr("plateaus.mechanism.attention_jacobian.LayerAttention._holds", lambda *_: True)
    monkeypatch.setattr(closed_attention, "push", flipped(push))


def break_norm(monkeypatch) -> None:
    """Drop the division by sigma in the derivative of a norm."""
    push = Norm.push
    monkeypatch.setattr(Norm, "push", lambda self, x, v: push(self, x, v) * self.normalise(x)[1])


def break_gram(monkeypatch) -> None:
    """Count the mixed term of a gated MLP once instead of twice."""
    form = mlp_jacobian._form_of
    monkeypatch.setattr(
        mlp_jacobian,
        "_form_of",
        lambda gram, at: form(gram, at) - ((at.through_in @ gram.in_gate) * at.through_gate).sum(-1),
    )


def break_codes(monkeypatch) -> None:
    """Take the sign of the up projection of a gated MLP instead of that of its gate."""
    codes = splines.codes
    monkeypatch.setattr(splines, "codes", lambda mlp, x: codes(mlp._replace(w_gate=mlp.w_in, b_gate=mlp.b_in), x))


def break_activation(monkeypatch) -> None:
    """Change the slope of the activation function by one per cent."""
    derivative = "plateaus.model.mlp.derivative"
    monkeypatch.setattr(
        derivative, lambda activation, z: 1.01 * torch.func.vmap(torch.func.vmap(torch.func.grad(activation)))(z)
    )


@pytest.mark.parametrize(
    ("breaking", "quantities"),
    [
        (break_attention, {"attn_jvp", "block_jvp"}),
        (break_norm, {"mlp_jvp", "block_jvp"}),
        (break_gram, {"frobenius"}),
        (break_codes, {"codes"}),
        (break_activation, {"mlp_jvp", "block_jvp", "frobenius"}),
    ],
)
def test_a_broken_formula_is_seen_in_the_quantities_that_use_it(breaking, quantities, job_of, monkeypatch):
    breaking(monkeypatch)
    assert {error.quantity for error in selfcheck.measure(job_of("llama")) if error.fails} >= quantities


def test_the_refusal_names_model_architecture_layer_quantity_and_error(job_of, monkeypatch):
    break_norm(monkeypatch)
    job = job_of("llama")
    with pytest.raises(InputError) as caught:
        selfcheck.ensure(job)
    message = str(caught.value)
    assert message.startswith("model tiny (LlamaForCausalLM): in layer 1, ")
    assert "is off by " in message
    assert f"(at most {checks.TOLERANCE:g} is allowed), so its numbers could not be trusted" in message
    assert not list((job.root / "data").rglob("*.parquet"))


def test_weights_that_are_missing_are_not_made_up(job_of, tiny_folder, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    source = tmp_path / "without"
    source.mkdir()
    for path in tiny_folder("llama").iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    weights = load_file(source / "model.safetensors")
    del weights["model.layers.2.mlp.down_proj.weight"]
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lacks 1 of the weights of LlamaForCausalLM, such as model\.layers\.2\.mlp"):
        selfcheck.ensure(job_of("llama", source=source))


def test_attention_that_is_not_causal_is_refused(job_of, monkeypatch):
    from transformers.models.llama import modeling_llama

    monkeypatch.setattr(modeling_llama, "create_causal_mask", lambda **_: None)
    with pytest.raises(InputError, match="what the prefix sees of the last token is off by"):
        selfcheck.ensure(job_of("llama"))


def test_an_unknown_failure_says_that_the_blocks_cannot_be_run(job_of, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(selfcheck, "measure", fail)
    with pytest.raises(InputError, match=r"^model tiny \(LlamaForCausalLM\): its blocks cannot be run one by one"):
        selfcheck.ensure(job_of("llama"))
