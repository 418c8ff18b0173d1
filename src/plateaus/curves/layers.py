"""Which interpolation layers a config asks for."""

from __future__ import annotations

from collections.abc import Sequence


def choose_layers(layers: str | Sequence[int], n_layers: int) -> list[int]:
    """Return the interpolation layers that a config asks for, sorted and without duplicates.

    Args:
        layers: ``all``, or a list of layers in which negative numbers count from the last layer.
        n_layers: Number of layers of the model.

    Raises:
        ValueError: a layer that the model does not have.
    """
    if layers == "all":
        return list(range(n_layers))
    chosen = sorted({int(layer) + n_layers if int(layer) < 0 else int(layer) for layer in layers})
    outside = [layer for layer in chosen if not 0 <= layer < n_layers]
    if outside:
        raise ValueError(
            f"layer {outside[0]} is not in the model, which has layers 0 to {n_layers - 1}: choose from these"
        )
    return chosen
