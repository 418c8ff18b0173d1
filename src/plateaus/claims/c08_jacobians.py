"""C8: the MLPs' Jacobian norms peak at the boundary."""

from __future__ import annotations

from plateaus.judging.evidence import Evidence, some
from plateaus.judging.interface import Claim, Finding
from plateaus.judging.measures import BOUNDARIES, boundaries, closeness, contrast, dose, per_pair, profiles

CLAIM = Claim(
    id="C8",
    title="MLP Jacobian norms peak at the boundary",
    says="There is a clear spike in the magnitudes of the MLPs' Jacobians in the same area where step sizes peak.",
    measure="the closeness above chance of the peak of the MLPs' |J|_F to the boundary's middle (in alpha, mean over "
    "layers)",
    needs={
        "sharpness": BOUNDARIES,
        "jacobian": ("pair", "component", "layer", "step", "alpha", "frobenius", "gain"),
    },
    expected=1,
    figure="f09_jacobians",
)
PARTS = {"mlp_fc": "the MLPs without their norm", "norm": "the norms alone"}


def test(evidence: Evidence) -> Finding:
    """Test where the norm peaks, against circular shifts; show the same for its parts and the directional gain."""
    edges = boundaries(evidence)
    table = evidence.table("jacobian", {"component": ["mlp", *PARTS]})
    mlp = table[table["component"] == "mlp"]
    whole = profiles(mlp, "frobenius")
    shown = [
        evidence.secondary("log |J|_F inside over outside", per_pair(whole, edges, contrast), "mean"),
        evidence.secondary(
            "closeness of the peak of the directional gain |J v| of the MLPs",
            per_pair(profiles(mlp, "gain"), edges, lambda one, edge: closeness(one, edge.middle)),
            "mean",
        ),
        evidence.secondary("log |J v| inside over outside", per_pair(profiles(mlp, "gain"), edges, contrast), "mean"),
    ]
    for part, name in PARTS.items():
        found = profiles(table[table["component"] == part], "frobenius")
        values = per_pair(found, edges, lambda one, edge: closeness(one, edge.middle))
        shown.append(evidence.secondary(f"closeness of the peak of |J|_F of {name}", values, "mean"))
    values = per_pair(whole, edges, lambda one, edge: closeness(one, edge.middle))
    return evidence.mean(values, secondary=some(*shown, dose(evidence, values)))
