"""What every figure is given and gives back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from plateaus.curves.sharpness import Rule
from plateaus.data.results import Results
from plateaus.data.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class About(NamedTuple):
    """What a figure must know of a model beside its results.

    Attributes:
        layernorm: Whether its LayerNorm works, or was removed by fine-tuning.
        controls: Models that it is to be shown beside: its fair control first.
        series: Id of the training run that it is a checkpoint of; empty where it is none.
        training_step: Step of that run.
        trained: Whether its weights were trained and not drawn at random.
        parameters: Number of its weights; 0 where that is not known.
    """

    layernorm: bool = True
    controls: tuple[str, ...] = ()
    series: str = ""
    training_step: int = 0
    trained: bool = True
    parameters: int = 0


class Settings(NamedTuple):
    """The section `figures` of the config, the interpolation layer of the single-layer figures, and the plateau rule.

    Attributes:
        pairs: Ids of the pairs shown, from left to right: plateau first, control second.
        depths: Numbers of layers between interpolation and recording, for f05_fixed_depth.
        dpi: Resolution of the PNG files.
        colormap: Matplotlib's name of the colour map for layers.
        trace_layer: The interpolation layer of the figures that show a single one.
        rule: When a curve is called a plateau.
        models: Model id to what is to be known of it.
    """

    pairs: tuple[str, ...]
    depths: tuple[int, ...]
    dpi: int
    colormap: str
    trace_layer: int
    rule: Rule = Rule()
    models: Mapping[str, About] = {}

    def about(self, model: str) -> About:
        """What is known of a model."""
        return self.models.get(model, About())


class Drawing(NamedTuple):
    """A figure with what is said about it.

    Attributes:
        figure: The drawing.
        caption: Markdown: what is shown, of which model and pairs; every number is computed.
        alt: Plain text for readers who do not see the figure: what there is to be seen.
        tables: What it was drawn from.
        whole: Whether from all pairs of all models, and not just from those that it is shown for.
    """

    figure: Figure
    caption: str
    alt: str
    tables: tuple[Table, ...]
    whole: bool = False


class LeftOut(NamedTuple):
    """Why a model or a config cannot have a figure; a sentence without its full stop."""

    reason: str


class FigureModule(Protocol):
    """A module of this package that draws one figure."""

    TITLE: str
    READS: tuple[Table, ...]
    PER_MODEL: bool

    def draw(self, results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
        """Draw it, or say why it cannot be drawn."""
        ...
