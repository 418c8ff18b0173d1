"""The built-in renderer on a document that uses every supported feature."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from plateaus.render import render

QUARTO_YML = """project:
  type: default
bibliography: references.bib
number-sections: true
link-citations: true
execute:
  warning: false
format:
  html:
    theme: default
    css: styles.css
    embed-resources: true
    html-math-method: mathml
    code-fold: true
    code-summary: Code
    code-tools: true
    toc: true
    toc-depth: 2
    toc-title: Contents
"""

INDEX = r"""---
title: "Every feature & more: a sample"
subtitle: A page that uses all there is
author:
  - name: Ann Known
    affiliation: Somewhere
  - Bob Else
date: 2026-11-23
abstract: |
  An *abstract* of two lines, with enough words in it that it wraps on a screen of ordinary width, as abstracts do.
lang: en-GB
---

```{python}
#| include: false
import os
from IPython.display import Markdown, HTML, SVG
hidden = 41
```

# First section {#sec-first}

One is `{python} hidden + 1`, escaped is `{python} "a*b_c"`, raw is `{python} Markdown("**bold**")`; see @sec-first,
@sec-sub, @fig-one, [-@fig-two], [@fig-one; @fig-two], [Panel @fig-part-b], @tbl-numbers, @tbl-div, and @eq-line.
Somebody said so [@known2020, p. 3], as @known2020 did. A footnote.[^note] Plain code: `{not} python`.

[^note]: The footnote's text.

$$ y = x^2 + \frac{\lVert x(\alpha) - A \rVert}{\lVert x(\alpha) - A \rVert + \lVert x(\alpha) - B \rVert} $$ {#eq-line}

```{python}
#| label: hello
print("from the environment:", os.environ.get("GREETING"))
import warnings; warnings.warn("not shown")
```

## A subsection {#sec-sub}

![Caption of *one*, as in @tbl-numbers, long enough that it runs over more than a single line of the page when shown.](dot.svg){#fig-one fig-alt="Alt of \"one\""}

::: {#fig-two}
![](dot.svg){fig-alt="Alt of two"}

Caption of a **fenced** figure.
:::

::: {#fig-part layout-ncol=2}
![First part](dot.svg){#fig-part-a fig-alt="Alt a"}

![Second part](dot.svg){#fig-part-b fig-alt="Alt b"}

Two parts together, of which @fig-part-b is the second.
:::

::: {layout-ncol=2}
![Left](dot.svg)

![Right](dot.svg)
:::

{{< include _part.qmd >}}

{{< pagebreak >}}

# Tables and lists

| Name of the thing | b | Another column with a long head | d | e | f | g | A last column with a long head |
|:---|---:|---|---|---|---|---|---|
| one-hundred-and-something | 2.50 | some text | 1 | 2 | 3 | 4 | unbreakable_name_of_a_column |
| two | 12.75 | some text | 1 | 2 | 3 | 4 | x |

: Numbers of things. {#tbl-numbers}

::: {#tbl-div}
+-------+-------+
| a     | b     |
+=======+=======+
| 1     | - x   |
|       | - y   |
+-------+-------+

In a div.
:::

| plain | table |
|---|---|
| 1 | 2 |

Term
:   Its definition.

```{python}
#| label: tbl-frame
#| tbl-cap: From a cell, as HTML.
#| echo: false
HTML("<table><tr><th>k</th></tr><tr><td>v</td></tr></table>")
```

As @tbl-frame shows, and @fig-cell.

```{python}
#| label: fig-cell
#| fig-cap: "Drawn by a *cell*."
#| fig-alt: "A line"
#| code-summary: "How it is drawn"
SVG("dot.svg")
```

```{python}
#| eval: false
never_run()
```

```{python}
#| output: false
print("not shown")
```

```{python}
#| echo: false
Markdown("Shown as **Markdown**, see @fig-cell.")
```

```{{python}}
shown_not_run()
```

# Callouts

::: {.callout-note}
## Heading as title

Open, with `code`.
:::

::: {.callout-tip title="Given *title*" collapse="true"}
Folded.
:::

::: {.callout-warning}
No title.
:::

::: {.callout-important title="Important!"}
Text.
:::

::: {.callout-caution collapse="false" title="Careful"}
Text.
:::

::: {.content-visible when-format="html"}
Only in HTML.
:::

::: {.content-visible when-format="pdf"}
Only in PDF.
:::

::: {.content-hidden when-format="html"}
Hidden in HTML.
:::

::: {.column-margin}
In the margin.
:::

::: {.column-page}
![A wide one](dot.svg){#fig-wide fig-alt="wide"}
:::

```{=html}
<p class="raw">Raw <b>HTML</b>.</p>
```

```python
# A comment
def f(x: int = 3) -> str:
    return "text" + str(x) + "a line that is long enough to be wider than the page and to scroll in its own box, always"
```

# References {.unnumbered}

::: {#refs}
:::

::: {.rendered-by}
Rendered by {{< meta rendered-by >}}; said {{< meta greeting >}}.
:::
"""

PART = r"""
## Included {#sec-included}

```{python}
#| output: asis
#| echo: false
print('::: {.panel-tabset group="model"}')
for name in ("gpt2-large", "smollm2"):
    print(f"## {name}\n\n![Caption of *{name}*](dot.svg){{#fig-{name} fig-alt=\"Alt of {name}\"}}\n")
print(":::")
```

::: {.panel-tabset group="model"}
## gpt2-large
First again, @fig-gpt2-large.

## smollm2
Second again, @fig-smollm2.
:::
"""

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><circle cx="5" cy="5" r="4"/></svg>'
BIB = "@article{known2020, author={Known, Ann}, title={A thing}, journal={J}, year={2020}}\n"
FILES = {
    "_quarto.yml": QUARTO_YML,
    "index.qmd": INDEX,
    "_part.qmd": PART,
    "dot.svg": SVG,
    "references.bib": BIB,
    "styles.css": ".own { color: #123456 }\n",
}
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}


class Element:
    """An element of the page: its tag, attributes, children and text."""

    def __init__(self, tag, attributes, parent=None):
        self.tag, self.attributes, self.parent = tag, attributes, parent
        self.children: list[Element] = []
        self.pieces: list[str | Element] = []

    @property
    def raw(self):
        return "".join(piece if isinstance(piece, str) else piece.raw for piece in self.pieces)

    @property
    def text(self):
        return " ".join(self.raw.replace("\u00a0", " ").split())

    def all(self, tag=None, **wanted):
        """Return the descendants with this tag, these values of id or href, and these words in class."""
        found = []
        for child in self.children:
            ok = tag in (None, child.tag)
            for name, value in wanted.items():
                have = child.attributes.get(name.rstrip("_")) or ""
                ok = ok and (set(value.split()) <= set(have.split()) if name == "class_" else have == value)
            found += ([child] if ok else []) + child.all(tag, **wanted)
        return found

    def one(self, tag=None, **wanted):
        (found,) = self.all(tag, **wanted)
        return found


class Parser(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.at = self.root = Element("", {})
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        element = Element(tag, dict(attrs), self.at)
        self.at.children.append(element)
        self.at.pieces.append(element)
        if tag not in VOID:
            self.at = element

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.at = self.at.parent

    def handle_endtag(self, tag):
        assert self.at.tag == tag, f"</{tag}> closes <{self.at.tag}>"
        self.at = self.at.parent

    def handle_data(self, data):
        if self.at.tag not in {"script", "style", "annotation"}:
            self.at.pieces.append(data)


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "project").mkdir()
    for name, text in FILES.items():
        (folder / "project" / name).write_text(text, encoding="utf-8")
    pages = []
    for name in ("a.html", "b.html"):
        made = render(
            folder / "project",
            folder / name,
            renderer="builtin",
            env={"GREETING": "hello"},
            metadata={"greeting": "good day"},
        )
        assert made.startswith("the built-in renderer (pandoc ")
        pages.append((folder / name).read_bytes())
    assert pages[0] == pages[1], "equal input gives equal bytes"
    assert {path.name for path in (folder / "project").iterdir()} == set(FILES), "the project is left as it was"
    return pages[0].decode()


@pytest.fixture(scope="module")
def page(html):
    parser = Parser(html)
    assert parser.at is parser.root, "every element is closed"
    return parser.root


def test_title_block_and_landmarks(page):
    assert page.one("html").attributes["lang"] == "en-GB"
    assert page.one("title").text == "Every feature & more: a sample"
    head = page.one("header", id="title-block")
    for text in (
        "Every feature & more: a sample",
        "A page that",
        "Ann Known, Bob Else",
        "23 November 2026",
        "Abstract",
    ):
        assert text in head.text
    assert head.one("section", class_="abstract").one("em").text == "abstract"
    assert page.one("main").attributes["id"] == "content"
    assert page.one("a", class_="skip").attributes["href"] == "#content"
    assert page.one("footer").text.startswith("Rendered by the built-in renderer (pandoc")
    assert page.one("footer").text.endswith("said good day.")
    assert "Rendered by" not in page.one("main").text


def test_nothing_is_loaded_from_elsewhere(page, html):
    for element in page.all():
        for name in ("src", "srcset", "poster", "data", "action"):
            assert not re.match(r"(https?:)?//", element.attributes.get(name) or ""), element.tag
        if element.tag == "link":
            assert element.attributes["href"].startswith("data:")
    assert "@import" not in html
    assert not re.search(r"url\([\"']?(https?:)?//", html)
    # SVG is embedded as pictures, because the ids of inline SVG elements could collide.
    assert page.all("svg") == []


def test_ids_are_unique_and_links_within_the_page_lead_somewhere(page):
    ids = [element.attributes["id"] for element in page.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    for link in page.all("a"):
        if link.attributes.get("href", "").startswith("#"):
            assert link.attributes["href"][1:] in ids


def test_table_of_contents_has_sections_but_no_tabs_or_callouts(page):
    assert [link.text for link in page.one("nav").all("a")] == [
        "1 First section",
        "1.1 A subsection",
        "1.2 Included",
        "2 Tables and lists",
        "3 Callouts",
        "References",
    ]


def test_inline_expressions_and_cells(page):
    text = page.one("main").text
    assert "One is 42, escaped is a*b_c, raw is bold; see" in text
    assert "from the environment: hello" in text
    assert "{not} python" in text
    assert "```{python} shown_not_run() ```" in text
    assert "Shown as Markdown, see Figure 6." in text
    assert "not shown" not in "".join(one.text for one in page.all("pre", class_="cell-output"))
    folded = [details.one("summary").text for details in page.all("details", class_="code-fold")]
    assert folded == ["Code", "How it is drawn", "Code", "Code"]
    assert page.all("code", class_="sourceCode python")
    assert page.one("p", class_="raw").one("b").text == "HTML"


def test_references_say_what_quarto_says(page):
    paragraph = page.one("section", id="sec-first").all("p")[0].text
    assert (
        "see Section 1, Section 1.1, Figure 1, 2, Figure 1, Figure 2, Panel 3 (b), Table 1, Table 2, and Equation 1."
        in paragraph
    )
    assert "Somebody said so (Known 2020, 3), as Known (2020) did." in paragraph


@pytest.mark.parametrize(
    ("identifier", "caption", "alt"),
    [
        ("fig-one", "Figure 1: Caption of one, as in Table 1, long", 'Alt of "one"'),
        ("fig-two", "Figure 2: Caption of a fenced figure.", "Alt of two"),
        ("fig-part-b", "(b) Second part", "Alt b"),
        ("fig-gpt2-large", "Figure 4: Caption of gpt2-large", "Alt of gpt2-large"),
        ("fig-smollm2", "Figure 5: Caption of smollm2", "Alt of smollm2"),
        ("fig-cell", "Figure 6: Drawn by a cell.", "A line"),
        ("fig-wide", "Figure 7: A wide one", "wide"),
    ],
)
def test_figures(page, identifier, caption, alt):
    figure = page.one("div", id=identifier)
    assert figure.one("figcaption").text.startswith(caption)
    assert figure.one("img").attributes["alt"] == alt
    assert figure.one("img").attributes["src"].startswith("data:image/svg+xml")
    assert "fig-alt" not in figure.one("img").attributes


def test_parts_of_a_figure_are_a_grid(page):
    figure = page.one("div", id="fig-part")
    captions = [caption.text for caption in figure.all("figcaption")]
    assert captions == ["(a) First part", "(b) Second part", captions[-1]]
    assert captions[-1] == "Figure 3: Two parts together, of which Figure 3 (b) is the second."
    row = figure.one("div", class_="layout-row")
    assert row.attributes["style"].count("minmax") == len(row.children) == 2


@pytest.mark.parametrize(
    ("identifier", "caption"),
    [
        ("tbl-numbers", "Table 1: Numbers of things."),
        ("tbl-div", "Table 2: In a div."),
        ("tbl-frame", "Table 3: From a cell, as HTML."),
    ],
)
def test_tables(page, identifier, caption):
    figure = page.one("div", id=identifier)
    assert figure.one("figcaption").text == caption
    assert figure.one("figure").children[0].tag == "figcaption"
    assert figure.one("table").all("caption") == []


def test_tables_scroll_in_a_box_of_their_own(page):
    boxed = [table for box in page.all("div", class_="table-box") for table in box.all("table")]
    assert len(boxed) == len(page.all("table")) == 4


def test_equation_has_its_number(page):
    equation = page.one("span", id="eq-line")
    assert equation.one("math").attributes["display"] == "block"
    assert equation.one("span", class_="equation-number").text == "(1)"


def test_tabsets_of_one_group(page):
    first, second = page.all("div", class_="tabset")
    assert first.attributes["data-group"] == second.attributes["data-group"] == "model"
    for tabset in (first, second):
        assert [title.text for title in tabset.all("div", class_="tab-title")] == ["gpt2-large", "smollm2"]
        panels = tabset.all("div", class_="tab-panel")
        assert len(panels) == 2
        # Without the script all panels are shown.
        assert not any("hidden" in panel.attributes for panel in panels)
        assert all(panel.attributes["id"] for panel in panels)
    assert "First again, Figure 4." in second.text


def test_script_makes_keyboard_tabs(html):
    script = html[html.rindex("<script>") :]
    words = ["tablist", "tabpanel", "aria-selected", "aria-controls", "ArrowLeft", "ArrowRight", "Home", "End"]
    assert [word for word in words if word not in script] == []


def test_callouts(page):
    note = page.one("div", class_="callout callout-note")
    assert note.one("span", class_="callout-title").text == "Note: Heading as title"
    assert note.one("div", class_="callout-body").text == "Open, with code."
    tip = page.one("details", class_="callout-tip")
    assert "open" not in tip.attributes
    assert tip.one("summary").one("em").text == "title"
    assert "open" in page.one("details", class_="callout-caution").attributes
    assert page.one("div", class_="callout-warning").one("span", class_="callout-title").text == "Warning"
    assert "Important!" in page.one("div", class_="callout-important").text


def test_what_is_for_other_formats_is_left_out(page):
    text = page.one("main").text
    assert "Only in HTML." in text
    assert "Only in PDF" not in text
    assert "Hidden in HTML" not in text


def test_notes_lists_and_references(page):
    assert page.one("section", id="footnotes").one("li").text.startswith("The footnote’s text.")
    assert page.one("dt").text == "Term"
    assert page.one("div", id="refs").text.startswith("Known, Ann. 2020.")
    assert page.all("div", class_="pagebreak")
    assert page.one("div", class_="column-margin").text == "In the margin."
