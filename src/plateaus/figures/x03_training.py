"""The sharpness at every checkpoint of each training run in the config, against the training step."""

from __future__ import annotations

from plateaus.data.results import Results
from plateaus.drawing import across, wording
from plateaus.drawing.contract import Drawing, LeftOut, Settings

TITLE = "Sharpness over training"
READS = across.READS
PER_MODEL = False


def series(settings: Settings) -> dict[str, dict[str, float]]:
    """Map each training run to its checkpoints and their steps, without runs that have only one checkpoint."""
    found: dict[str, dict[str, float]] = {}
    for model, about in settings.models.items():
        if about.series:
            found.setdefault(about.series, {})[model] = float(about.training_step)
    return {name: steps for name, steps in found.items() if len(steps) > 1}


def draw(results: Results, model: str, settings: Settings) -> Drawing | LeftOut:
    """Draw one panel per training run, with the steps on a logarithmic axis that has room for step 0."""
    found = {name: across.points(results, settings, steps) for name, steps in series(settings).items()}
    found = {name: points for name, points in found.items() if len(points) > 1}
    if not found:
        return LeftOut("this run has no curves of two or more checkpoints of one training run (`revisions` of a model)")
    from matplotlib.figure import Figure

    from plateaus.drawing import style

    figure = Figure(figsize=(style.WIDTH, 3.4 * len(found)), layout="constrained")
    for ax, (name, points) in zip(figure.subplots(len(found), squeeze=False)[:, 0], found.items(), strict=True):
        across.draw(ax, points, results, settings)
        positive = [point.x for point in points if point.x > 0]
        ax.set_xscale("symlog", linthresh=min(positive, default=1.0), linscale=0.5)
        ax.xaxis.set_major_formatter(lambda step, _: f"{step:g}")
        ax.set_xlim(left=0)
        ax.set_xlabel("Training step")
        ax.set_title(style.drawable(name), loc="left")
        ax.legend(loc="best")
    said = {name: across.ends(points, results, settings) for name, points in found.items()}
    counts = wording.listed(
        f"{wording.plural(len(points), 'checkpoint')} of `{name}`" for name, points in found.items()
    )
    caption = f"**Width of the boundary over training.** The figure shows {counts}. {across.reading(settings)}"
    alt = (
        f"{wording.plural(len(found), 'panel')} of the width of the boundary at the logits against training step. "
        + " ".join(f"{name}: {wording.each(pairs)}" for name, pairs in said.items())
    )
    return Drawing(figure, caption, alt, READS, whole=True)
