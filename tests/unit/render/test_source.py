"""Reading a Quarto project: its options, includes, shortcodes and cells."""

from __future__ import annotations

import datetime

import pytest

from plateaus.render import RenderError, page_options
from plateaus.render import source as reading


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_qmd", ".qmd").replace("_yml", ".yml")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def lines(text):
    return [reading.Line(line, "f.qmd", number) for number, line in enumerate(text.splitlines(keepends=True), 1)]


def test_options_are_merged_and_the_nearest_wins(tmp_path):
    write(
        tmp_path,
        _quarto_yml="toc: false\nexecute:\n  warning: false\n  echo: true\nformat:\n  html:\n    toc: true\n    css: a.css\n",
        index_qmd="---\ntitle: T\nexecute:\n  echo: false\nformat:\n  html:\n    css: b.css\n---\nText\n",
    )
    options, parts = reading.read(tmp_path, {"title": "From outside"})
    assert options == {
        "title": "From outside",
        "toc": True,
        "css": "b.css",
        "execute": {"warning": False, "echo": False},
    }
    assert parts == ["Text\n"]


def test_a_document_without_front_matter_or_project_file(tmp_path):
    assert reading.read(write(tmp_path, index_qmd="Text"), {}) == ({}, ["Text"])


def test_includes_are_relative_to_the_file_and_know_their_lines(tmp_path):
    write(
        tmp_path,
        index_qmd="---\ntitle: T\n---\n\n{{< include part/a.qmd >}}\n\nEnd\n",
        part__a_qmd="A\n\n{{< include b.qmd >}}",
        part__b_qmd="---\ntitle: own\n---\nB `{python} 1`",
    )
    _, parts = reading.read(tmp_path, {})
    assert "".join(part for part in parts if isinstance(part, str)) == "\nA\n\nB \n\nEnd\n"
    (inline,) = (part for part in parts if isinstance(part, reading.Inline))
    assert (inline.expression, inline.where.file, inline.where.number) == ("1", "part/b.qmd", 4)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"index_qmd": "a\n{{< include gone.qmd >}}\n"},
            r"index.qmd, line 2: the included file gone.qmd does not exist",
        ),
        ({"index_qmd": "{{< include index.qmd >}}\n"}, "index.qmd is included within itself"),
        ({"index_qmd": "---\ntitle: a: b\n---\n"}, "index.qmd is not YAML"),
        ({"index_qmd": "x", "_quarto_yml": "- a\n"}, "_quarto.yml: options must be a mapping"),
        ({"index_qmd": "\n```{python}\n#| label: a: b\n1\n```\n"}, "index.qmd, line 2: the cell's options"),
    ],
)
def test_what_cannot_be_read_is_named(files, message, tmp_path):
    with pytest.raises(RenderError, match=message):
        reading.read(write(tmp_path, **files), {})


def test_shortcodes():
    text = "{{< meta a >}} {{< meta b.c >}} {{< meta d >}} {{{< meta a >}}}\n{{< pagebreak >}}\n"
    shown = "".join(line.text for line in reading.shortcodes(lines(text), {"a": "A", "b": {"c": 2}}))
    assert shown.startswith("A 2 ?meta:d {{< meta a >}}\n")
    assert '<div class="pagebreak">' in shown


def test_cells_are_told_from_other_fenced_code():
    parts = reading.split(
        lines(
            "a\n\n```python\nx = `{python} 1`\n```\n\n```{python}\n#| label: c\n#| echo: false\ny\n```\n"
            "b `{python} 2` c ``{python} 3``\n````{python}\nz = '''\n```\n'''\n````\n```{{python}}\nw\n```\n"
        )
    )
    kept = [part for part in parts if not isinstance(part, str)]
    assert [type(part).__name__ for part in kept] == ["Cell", "Inline", "Cell"]
    assert kept[0].code == "y"
    assert kept[0].options == {"label": "c", "echo": False}
    assert kept[0].where.number == 7
    assert kept[1].expression == "2"
    assert kept[2].code == "z = '''\n```\n'''"
    assert "```{python}\nw\n```" in parts[-1]


def test_options_as_pandoc_takes_them():
    shown = page_options.shown(
        {
            "title": "T",
            "author": [{"name": {"given": "A", "family": "B"}}, "C"],
            "date": datetime.date(2026, 11, 3),
            "lang": "en-GB",
            "theme": "cosmo",
        }
    )
    assert shown["author"] == ["A B", "C"]
    assert shown["date"] == "3 November 2026"
    assert "theme" not in shown
    assert page_options.date("2026-11-03", "en") == "November 3, 2026"
    assert page_options.date("last spring", "en") == "last spring"
    flags = page_options.flags(
        {"toc": True, "toc-depth": 2, "css": ["a", "b"], "html-math-method": {"method": "mathml"}}
    )
    assert flags == ["--toc", "--toc-depth", "2", "--mathml", "--css", "a", "--css", "b"]
