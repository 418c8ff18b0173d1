"""The explorer: one linked view of every curve of the run, and one of its maps, which work without a network.

The curves come from `payload`. Observable Plot draws them; its script and that of d3, which it needs, lie beside this
file with their licences, as published (`d3` 7.9.0 and `@observablehq/plot` 0.6.17, both ISC). Plot was chosen over
Vega-Lite because it is about half as large (0.49 MB, not 0.87) and redraws a chart within milliseconds. Everything is
chosen in ordinary form controls, which keyboards and screen readers can use.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from plateaus.data.results import Results
from plateaus.drawing import frozen, style, wording
from plateaus.drawing import maps as drawing_maps
from plateaus.drawing.contract import Settings
from plateaus.page.explorer import map_payload, payload

HERE = Path(__file__).parent
SCRIPTS = ("d3.min.js", "plot.umd.min.js", "unpack.js", "explorer.js", "maps.js")


def scripts() -> str:
    """Return the scripts of the explorer as raw HTML, in the order in which they must load."""
    return "".join(f"<script>\n{(HERE / name).read_text(encoding='utf-8')}\n</script>\n" for name in SCRIPTS)


def html(results: Results, settings: Settings) -> str:
    """Return the explorer as raw HTML, without its scripts; it stays hidden until a script fills it.

    Args:
        results: The results of the run.
        settings: The settings of the figures; their first pair is shown first.
    """
    packed = payload.of_run(results, settings)
    about = {
        "conditions": {name: frozen.LOOKS[name].label for name in payload.CONDITIONS},
        "colours": [style.COLOUR_A, style.COLOUR_B],
        "pair": settings.pairs[0],
        "start": settings.trace_layer,
    }
    data = "".join(
        f'<script type="text/plain" class="explorer-data" data-model="{escape(model)}">{text}</script>\n'
        for model, text in packed.texts.items()
    )
    left_out = "" if packed.inner else (
        "<p>To keep the page small, curves recorded inside the model are here only for the pairs of the figures; the "
        "tables have all of them.</p>"
    )  # fmt: skip
    digits = wording.number(packed.unit, 4 if packed.unit < 1e-3 else 3)
    text = (HERE / "explorer.html").read_text(encoding="utf-8")
    filled = {
        "ABOUT": json.dumps(about, ensure_ascii=False).replace("</", "<\\/"),
        "DATA": data,
        "LEFT_OUT": left_out,
        "UNIT": digits,
    }
    for name, value in filled.items():
        text = text.replace(f"<!--{name}-->", value)
    return text


def maps(results: Results, settings: Settings) -> str:
    """Return the view of the fine maps as raw HTML; empty if the run has none.

    Args:
        results: The results of the run.
        settings: The settings of the figures.
    """
    packed = map_payload.of_run(results, settings)
    if packed is None:
        return ""
    text = (HERE / "maps.html").read_text(encoding="utf-8")
    colours = json.dumps({"colours": drawing_maps.COLOURS, "softening": drawing_maps.SOFTENING})
    return text.replace("<!--ABOUT-->", colours).replace("<!--DATA-->", packed)
