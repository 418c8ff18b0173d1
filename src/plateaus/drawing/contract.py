"""The interface of the figures: what every figure module receives and returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from plateaus.curves.sharpness import Rule
from plateaus.data.results import Results
from plateaus.data.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class About(NamedTuple):
    """What a figure must know about a model besides its results.

    Attributes:
        layernorm: True if the model keeps its LayerNorm, False if it was removed by fine-tuning.
        controls: Ids of the models to compare it with, the fair control first.
        series: Id of the training run of which the model is a checkpoint; empty if it is not a checkpoint.
        training_step: Step of the checkpoint in that training run.
        trained: True if the weights were trained, False if they were drawn at random.
        parameters: Number of weights; 0 if it is not known.
        like: For random weights, id of the model whose architecture they have; empty for a trained model.
    """

    layernorm: bool = True
    controls: tuple[str, ...] = ()
    series: str = ""
    training_step: int = 0
    trained: bool = True
    parameters: int = 0
    like: str = ""


class Settings(NamedTuple):
    """The section `figures` of the config, the trace layer, the plateau rule, and what is known about the models.

    Attributes:
        pairs: Ids of the pairs to show, from left to right: the plateau first, the control second.
        depths: Numbers of layers from the interpolation layer to the recording layer, for f05_fixed_depth.
        dpi: Resolution of the PNG files.
        colormap: Matplotlib's name of the colour map for layers.
        trace_layer: The interpolation layer of the figures that show only one.
        rule: The rule that decides whether a curve is called a plateau.
        models: Model id to what the figures must know about the model.
        mapped: Ids of the models that have a table `map`.
        robust: Ids of the models that have a table `robustness`.
    """

    pairs: tuple[str, ...]
    depths: tuple[int, ...]
    dpi: int
    colormap: str
    trace_layer: int
    rule: Rule = Rule()
    models: Mapping[str, About] = {}
    mapped: tuple[str, ...] = ()
    robust: tuple[str, ...] = ()

    def about(self, model: str) -> About:
        """Return what is known about a model, or the defaults if nothing is."""
        return self.models.get(model, About())


class Drawing(NamedTuple):
    """A figure with its caption and alt text.

    Attributes:
        figure: The Matplotlib figure.
        caption: What the figure shows, for which model and pairs, in Markdown; every number in it is computed.
        alt: Plain text for readers who cannot see the figure: what there is to see in it.
        tables: The tables that it was drawn from.
        whole: True if it was drawn from all pairs of all models, False if only from one model and the pairs shown.
    """

    figure: Figure
    caption: str
    alt: str
    tables: tuple[Table, ...]
    whole: bool = False


class LeftOut(NamedTuple):
    """The reason why a figure cannot be drawn for a model or a config: a sentence without its full stop."""

    reason: str


class FigureModule(Protocol):
    """A module of `plateaus.figures` that draws one figure.

    Attributes:
        TITLE: Title of the figure.
        READS: The tables that it is drawn from.
        PER_MODEL: True if there is one figure per model, False if one figure stands for all models.
    """

    TITLE: str
    READS: tuple[Table, ...]
    PER_MODEL: bool

    def draw(self, results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
        """Draw the figure of a model, or return the reason why it cannot be drawn."""
        ...
