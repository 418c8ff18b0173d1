"""The animation of the mechanism, as self-contained HTML; f10_mechanism shows its first and last frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from plateaus.data.results import Results
from plateaus.drawing import panels, picture, style
from plateaus.drawing.contract import Settings
from plateaus.drawing.picture import Frames
from plateaus.figures import f10_mechanism

SCRIPT = Path(__file__).with_suffix(".js")


def script() -> str:
    """Return the script that runs all players of a page, as raw HTML; a page needs it once."""
    return f"<script>\n{SCRIPT.read_text(encoding='utf-8')}</script>"


def html(results: Results, model: str, settings: Settings) -> str | None:
    """Return one model's player as raw HTML, or None if f10_mechanism is left out for the model."""
    if f10_mechanism.left_out(results, model, settings):
        return None
    pairs = [panels.words(results, pair) for pair in settings.pairs]
    shown = [picture.of_model(results, model, pair.id, settings.trace_layer) for pair in pairs]
    data = {
        "frames": shown[0].layers,
        "panels": [
            _panel("Toy: one shallow bump per layer", picture.toy()),
            *(_panel(f"{pair.name}, measured gains", one) for pair, one in zip(pairs, shown, strict=True)),
        ],
    }
    # A closing tag inside the data would end the script element, so its slash is escaped.
    text = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    last = len(shown[0].layers) - 1
    return f"""<figure class="player" hidden>
<div class="player-panels"></div>
<div class="player-controls">
<button type="button">Play</button>
<label>Layer <input type="range" min="0" max="{last}" step="1" value="0"></label>
<output aria-live="off"></output>
</div>
<figcaption>The dots are the interpolation steps, which each layer draws together or pushes apart. The dashed line is
the relative distance that this predicts, and the solid line is the measured one. Press Play, or move the slider (the
arrow keys work too).</figcaption>
<script type="application/json">{text}</script>
</figure>
<noscript><p>The animation needs JavaScript; the figure below shows its first and last frame.</p></noscript>"""


def _panel(title: str, frames: Frames) -> dict[str, Any]:
    from matplotlib.colors import to_hex

    colours = style.layer_colours("viridis", [0, 1]).to_rgba(np.asarray(frames.alpha))
    return {
        "title": title,
        "alpha": _rounded(frames.alpha),
        "position": [_rounded(row) for row in frames.position],
        "measured": None if frames.measured is None else [_rounded(row) for row in frames.measured],
        "colours": [to_hex(tuple(colour)) for colour in colours],
    }


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 4) for value in values]
