"""The built-in renderer on a document that uses what the report uses, and the way to real Quarto."""

from __future__ import annotations

import re
import stat
from html.parser import HTMLParser
from pathlib import Path

import pytest

from plateaus.errors import InputError
from plateaus.render import RenderError, find_quarto, render
from plateaus.render import source as reading

QUARTO_YML = """project:
  type: default
bibliography: refs.bib
number-sections: true
execute:
  warning: false
format:
  html:
    css: own.css
    toc: true
    code-fold: true
    code-summary: The code
    html-math-method: mathml
    embed-resources: true
"""

INDEX = r"""---
title: "A & B"
author: Somebody
---

```{python}
#| include: false
hidden = 41
```

# First {#sec-first}

One is `{python} hidden + 1`, escaped is `{python} "a*b_c"`, raw is `{python} Raw()`; see @sec-first, @fig-one,
[-@fig-two], @tbl-numbers and @eq-line. Somebody said so [@known2020]. Plain code: `{not} python`.

```{python}
#| echo: false
import os
print("from the environment:", os.environ["GREETING"])
```

$$ y = x^2 $$ {#eq-line}

{{< include _part.qmd >}}

::: {.callout-note title="Given title" collapse="true"}
Folded.
:::

::: {.callout-tip}
## Heading as title

Open.
:::

| a | b |
|---|---|
| 1 | 2 |

: Numbers {#tbl-numbers}

# Second

```
{{< not a shortcode
```

Rendered by {{< meta rendered-by >}}; said {{< meta greeting >}}.
"""

PART = """
```{python}
#| output: asis
print('::: {.panel-tabset group="model"}')
for name in ("one", "two"):
    print(f"## {name}\\n\\n![Caption of *{name}*](dot.svg){{#fig-{name} fig-alt=\\"Alt of {name}\\"}}\\n")
print(":::")
```

::: {.panel-tabset group="model"}
## one
First again.

## two
Second again.
:::
"""

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><circle cx="5" cy="5" r="4"/></svg>'
BIB = "@article{known2020, author={Known, Ann}, title={A thing}, journal={J}, year={2020}}\n"


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data.replace("\u00a0", " ")

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [
            a for t, a in self.tags if t == tag and all(v in (a.get(k.rstrip("_")) or "") for k, v in wanted.items())
        ]


def project(folder: Path, index: str = INDEX) -> Path:
    folder.mkdir(parents=True)
    first = "class Raw:\n    def _repr_markdown_(self):\n        return '**bold**'\n"
    index = index.replace("hidden = 41\n", "hidden = 41\n" + first)
    files = {
        "_quarto.yml": QUARTO_YML,
        "index.qmd": index,
        "_part.qmd": PART,
        "dot.svg": SVG,
        "refs.bib": BIB,
        "own.css": "body{}",
    }
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Page:
    folder = tmp_path_factory.mktemp("render")
    made = render(
        project(folder / "p"),
        folder / "out.html",
        renderer="builtin",
        env={"GREETING": "hello"},
        metadata={"greeting": "good day"},
    )
    assert made.startswith("the built-in renderer (pandoc ")
    assert sorted(path.name for path in (folder / "p").iterdir()) == sorted(
        ["_quarto.yml", "index.qmd", "_part.qmd", "dot.svg", "refs.bib", "own.css"]
    )
    return Page((folder / "out.html").read_text(encoding="utf-8"))


def test_inline_expressions_are_computed_and_escaped(page):
    assert "One is 42, escaped is a*b_c, raw is bold" in page.text
    assert "from the environment: hello" in page.text
    assert "{not} python" in page.text


def test_cross_references_have_numbers_and_lead_somewhere(page):
    for text, target in (
        ("Section 1", "sec-first"),
        ("Figure 1", "fig-one"),
        ("2", "fig-two"),
        ("Table 1", "tbl-numbers"),
        ("Equation (1)", "eq-line"),
    ):
        assert text in page.text
        assert page.all("a", href=f"#{target}")
        assert any(attributes.get("id") == target for _, attributes in page.tags), target
    assert "Figure 1: Caption of one" in page.text
    assert "Table 1: Numbers" in page.text


def test_figures_have_alt_texts_and_everything_is_embedded(page):
    assert [image["alt"] for image in page.all("img")] == ["Alt of one", "Alt of two"]
    assert all(image["src"].startswith("data:image/svg+xml") for image in page.all("img"))
    loaded = [
        attributes.get(name) or ""
        for tag, attributes in page.tags
        for name in ("src", "href")
        if tag in ("script", "link", "img")
    ]
    assert not [address for address in loaded if re.match(r"(https?:)?//", address)]


def test_tabs_callouts_and_folded_code(page):
    assert len(page.all("div", class_="tabset")) == 2
    assert len(page.all("div", class_="tab-panel")) == 4
    assert page.all("details", class_="callout-note")
    assert page.all("div", class_="callout-tip")
    assert "Given title" in page.text
    assert "The code" in page.text
    assert "Heading as title" not in list(page.text.split("Contents")[1].splitlines())[:12]


def test_citations_sections_and_metadata(page):
    assert "Known 2020" in page.text.replace("\n", " ")
    assert "a thing" in page.text.lower()
    assert "said good day" in page.text
    assert "Rendered by the built-in renderer (pandoc" in page.text
    assert page.all("math")
    assert page.all("html", lang="en")


def test_equal_input_gives_equal_bytes(tmp_path):
    pages = []
    for name in ("a", "b"):
        folder = project(
            tmp_path / name / "p",
            "---\ntitle: T\n---\n\n# One\n\n![c](dot.svg){#fig-x fig-alt='x'}\n\n`{python} 1 + 1`\n",
        )
        render(folder, tmp_path / f"{name}.html", renderer="builtin")
        pages.append((tmp_path / f"{name}.html").read_bytes())
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("See @fig-nowhere.", "@fig-nowhere, which is nowhere defined"),
        ("```{python}\n1 / 0\n```", "ends in `1 / 0` failed.*ZeroDivisionError"),
        ("`{python} missing_name`", "missing_name.*NameError"),
        ("Said [@nobody1900].", "nobody1900"),
        ("{{< include gone.qmd >}}", "gone.qmd does not exist"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_the_earlier_page(body, message, tmp_path):
    output = tmp_path / "out.html"
    output.write_text("earlier")
    with pytest.raises(RenderError, match=message) as error:
        render(project(tmp_path / "p", f"---\ntitle: T\n---\n\n{body}\n"), output, renderer="builtin")
    assert "\n" not in str(error.value)
    assert output.read_text() == "earlier"


def stub(folder: Path, script: str, monkeypatch) -> None:
    folder.mkdir()
    path = folder / "quarto"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("QUARTO_PATH", str(path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


def test_quarto_is_called_in_a_copy_with_the_metadata(tmp_path, monkeypatch):
    script = 'if [ "$1" = --version ]; then echo 1.9.38; else echo "$PWD" > "$SEEN"; echo "$@" >> "$SEEN"; echo "<p>made</p>" > page.html; fi\n'
    stub(tmp_path / "bin", script, monkeypatch)
    seen = tmp_path / "seen"
    made = render(project(tmp_path / "p"), tmp_path / "out.html", env={"SEEN": str(seen)}, metadata={"title": "T t"})
    assert made == "Quarto 1.9.38"
    assert (tmp_path / "out.html").read_text() == "<p>made</p>\n"
    where, arguments = seen.read_text().splitlines()
    assert where != str(tmp_path / "p")
    assert arguments == "render index.qmd --to html --output page.html -M title:T t -M rendered-by:Quarto 1.9.38"


def test_a_quarto_that_fails_is_one_line(tmp_path, monkeypatch):
    stub(
        tmp_path / "bin",
        'if [ "$1" = --version ]; then echo 1.9.38; else echo "ERROR: no kernel" >&2; exit 3; fi\n',
        monkeypatch,
    )
    with pytest.raises(RenderError, match="quarto render failed: ERROR: no kernel"):
        render(project(tmp_path / "p"), tmp_path / "out.html")


def test_a_quarto_that_does_not_run_counts_as_none(tmp_path, monkeypatch):
    stub(tmp_path / "bin", "exit 1\n", monkeypatch)
    assert find_quarto() is None
    with pytest.raises(InputError, match="no working quarto"):
        render(project(tmp_path / "p"), tmp_path / "out.html", renderer="quarto")


def test_cells_are_told_from_other_fenced_code():
    parts = reading.split(
        "a\n\n```python\nx = `{python} 1`\n```\n\n```{python}\n#| label: c\ny\n```\nb `{python} 2` c\n"
    )
    assert [type(part).__name__ for part in parts if not isinstance(part, str)] == ["Cell", "Inline"]
    assert parts[-2] == reading.Inline("2")
