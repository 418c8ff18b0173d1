"""The source of the report shows every figure, resolves every reference and computes every number."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from plateaus import figures, page
from plateaus.page.notebook import Page
from plateaus.run import code_inputs

REPORT = Path(__file__).parents[3] / "report"
INDEX = (REPORT / "index.qmd").read_text(encoding="utf-8")
INCLUDED = re.findall(r"\{\{< include (\S+) >\}\}", INDEX)
SOURCE = "\n".join([INDEX, *((REPORT / name).read_text(encoding="utf-8") for name in INCLUDED)])
CELLS = re.findall(r"^```\{python\}\n(.*?)^```$", SOURCE, re.DOTALL | re.MULTILINE)
INLINE = re.findall(r"(?<!`)`\{python\}[ \t]+([^`]+)`", SOURCE)
PROSE = re.sub(r"^```.*?^```$", "", SOURCE, flags=re.DOTALL | re.MULTILINE)
CITED = set(re.findall(r"(?<![\w.])@([A-Za-z][\w-]*)", re.sub(r"`[^`]*`", "", PROSE)))
CROSS = {key for key in CITED if re.match(r"(fig|tbl|sec|eq)-", key)}
BIB = (REPORT / "references.bib").read_text(encoding="utf-8")


def test_every_chapter_is_included_once():
    chapters = {path.relative_to(REPORT).as_posix() for path in (REPORT / "chapters").glob("*.qmd")}
    assert set(INCLUDED) == chapters
    assert len(INCLUDED) == len(chapters)


def test_every_figure_of_the_registry_is_shown_once():
    shown = re.findall(r'page\.show\("(\w+)"\)', "\n".join(CELLS))
    assert sorted(shown) == sorted(figures.NAMES)


def test_figures_referred_to_exist():
    assert set(re.findall(r'page\.ref\("(\w+)"\)', "\n".join(INLINE))) <= set(figures.NAMES)


def test_cross_references_lead_somewhere():
    defined = set(re.findall(r"\{#([\w-]+)", SOURCE))
    assert len(defined) == len(re.findall(r"\{#([\w-]+)", SOURCE)), "an id is defined twice"
    code = "\n".join(path.read_text() for room in (figures, page) for path in Path(room.__file__).parent.glob("*.py"))
    defined |= set(re.findall(r"\{#((?:fig|tbl)-[\w-]+)", code.replace("{{#", "{#")))
    defined |= {f"fig-{name}" for name in figures.NAMES if not figures.FIGURES[name].PER_MODEL}
    assert defined >= CROSS


def test_bibliography_and_citations_agree():
    keys = re.findall(r"^@\w+\{([\w-]+),", BIB, re.MULTILINE)
    assert len(keys) == len(set(keys))
    assert set(keys) == CITED - CROSS


def test_bibliography_entries_are_complete():
    for entry in re.split(r"^(?=@)", BIB, flags=re.MULTILINE):
        if entry.strip():
            fields = set(re.findall(r"^\s+(\w+)\s*=", entry, re.MULTILINE))
            assert {"author", "title", "year"} <= fields, entry


def test_cells_are_short_and_print_markdown():
    for cell in CELLS:
        options = re.findall(r"^#\| (.*)$", cell, re.MULTILINE)
        assert options in (["output: asis"], ["include: false"])
        assert len([line for line in cell.splitlines() if line and not line.startswith("#|")]) <= 4
        compile(cell, "cell", "exec")


def test_what_cells_and_sentences_name_exists():
    for expression in [*INLINE, *CELLS]:
        for name in re.findall(r"(?<!plateaus\.)\bpage\.(\w+)", expression):
            assert hasattr(Page, name), name
    for expression in INLINE:
        compile(expression, "inline", "eval")
        for name in re.findall(r"^limits\[\"(\w+)\"\]", expression):
            assert name in Page.thresholds


def test_inline_expressions_stay_on_their_line():
    assert len(INLINE) == len(re.findall(r"(?<!`)`\{python\}", SOURCE))
    assert not any("\n" in expression for expression in INLINE)


def test_no_result_is_typed():
    """Decimal fractions in the prose are either in the mathematics of a definition or computed."""
    prose = re.sub(r"^---$.*?^---$", "", PROSE, count=1, flags=re.DOTALL | re.MULTILINE)
    prose = re.sub(r"`[^`]*`|\$\$.*?\$\$|\$[^$]*\$", "", prose, flags=re.DOTALL)
    prose = prose.replace("Apache-2.0", "")
    assert re.findall(r"\d+\.\d+", prose) == []


def test_project_is_one_page_that_loads_nothing():
    project = yaml.safe_load((REPORT / "_quarto.yml").read_text(encoding="utf-8"))
    assert project["project"]["render"] == ["index.qmd"]
    html = project["format"]["html"]
    assert html["embed-resources"] is True
    assert html["html-math-method"] == "mathml"
    assert html["theme"] == "default"  # other themes load fonts from elsewhere
    for text in (SOURCE, (REPORT / "styles.css").read_text(encoding="utf-8")):
        assert not re.search(r"(?:src|href|@import|url\()\s*=?\s*[\"']?https?:", text)


def test_additions_are_marked():
    notes = re.findall(r"::: \{\.callout-note\}\n## (.*)", SOURCE)
    assert notes.count("Ours, not the post's") >= 7


def test_fences_are_closed():
    for name in ("index.qmd", *INCLUDED):
        lines = (REPORT / name).read_text(encoding="utf-8").splitlines()
        opened = sum(line.startswith("::: {") for line in lines)
        assert opened == sum(line.strip() == ":::" for line in lines), name
        assert sum(line.startswith("```") for line in lines) % 2 == 0, name


def test_what_the_cells_import_is_code_of_the_stage(root):
    """The cells run in another process, so an edit of what they import must still render the page again."""
    text = (root / "report/index.qmd").read_text(encoding="utf-8")
    found = re.findall(r"^from (plateaus[\w.]*) import", text, re.MULTILINE)
    assert found
    files = code_inputs.files_of("report")
    assert {f"{name.replace('.', '/')}.py" for name in found} <= set(files)
    assert {"plateaus/page/explorer/payload.py", "plateaus/page/explorer/explorer.js"} <= set(files)
