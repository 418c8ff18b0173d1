"""Rendering a project: its errors, the Markdown of a cell's outputs, and the call of real Quarto."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from plateaus.errors import InputError
from plateaus.render import RenderError, find_quarto, outputs, render

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><circle cx="5" cy="5" r="4"/></svg>'


def project(folder: Path, body: str, front: str = "title: T") -> Path:
    folder.mkdir(parents=True)
    (folder / "_quarto.yml").write_text("bibliography: refs.bib\n", encoding="utf-8")
    (folder / "index.qmd").write_text(f"---\n{front}\n---\n\n{body}\n", encoding="utf-8")
    (folder / "dot.svg").write_text(SVG, encoding="utf-8")
    (folder / "refs.bib").write_text(
        "@book{known2020, author={Known, Ann}, title={B}, year={2020}}\n", encoding="utf-8"
    )
    return folder


# Errors


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("See @fig-nowhere; [@tbl-gone; -@eq-x].", "@eq-x, @fig-nowhere, @tbl-gone, which is not defined: correct it"),
        (
            "```{python}\n#| label: division\n1 / 0\n```",
            "index.qmd: the cell division in line 5 failed: ZeroDivisionError: division by zero",
        ),
        (
            "a\n\n`{python} missing_name`",
            "index.qmd: the expression `missing_name` in line 7 failed: NameError: name 'missing_name' is not defined",
        ),
        ("Said [@nobody1900].", "nobody1900"),
        ("![a](dot.svg){#fig-a}\n\n![b](dot.svg){#fig-a}", "the page uses the id fig-a twice"),
        ("![a](gone.svg)", "gone.svg"),
        ("{{< include gone.qmd >}}", "index.qmd, line 5: the included file gone.qmd does not exist"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_the_earlier_page(body, message, tmp_path):
    output = tmp_path / "out.html"
    output.write_text("earlier")
    with pytest.raises(RenderError) as error:
        render(project(tmp_path / "p", body), output, renderer="builtin")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert output.read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.html", "p"]


def test_a_folder_without_a_document_is_named(tmp_path):
    with pytest.raises(InputError, match=r"not a Quarto project: it has no index.qmd"):
        render(tmp_path, tmp_path / "out.html")


# The Markdown of a cell's outputs


def stream(text, name="stdout"):
    return Output(output_type="stream", name=name, text=text)


def shown(**data):
    return Output(output_type="display_data", data={key.replace("_", "/", 1): value for key, value in data.items()})


class Output(dict):
    """A stand-in for a node of nbformat, whose items can be read as attributes too."""

    __getattr__ = dict.__getitem__


def markdown(tmp_path, made, code="f()", **options):
    named = {key.replace("_", "-"): value for key, value in options.items()}
    return outputs.cell(code, made, named, tmp_path, "cell").strip()


def test_code_is_shown_folded_or_left_out(tmp_path):
    block = "```{.python .cell-code}\nf()\n```"
    assert markdown(tmp_path, []) == block
    assert markdown(tmp_path, [], echo=False) == ""
    assert markdown(tmp_path, [stream("x")], include=False) == ""
    assert markdown(tmp_path, [stream("x")], output=False) == block
    folded = markdown(tmp_path, [], code_fold=True, code_summary="How")
    assert '<details class="code-fold"><summary>How</summary>' in folded
    assert '<details class="code-fold" open>' in markdown(tmp_path, [], code_fold="show")


def test_printed_text_and_warnings(tmp_path):
    made = [stream("## a\n"), stream("Warning\n", "stderr")]
    assert markdown(tmp_path, made, echo=False, warning=False) == "```{.cell-output}\n## a\n```"
    assert "Warning" in markdown(tmp_path, made, echo=False)
    assert markdown(tmp_path, made, echo=False, warning=False, output="asis") == "## a"
    assert markdown(tmp_path, [stream("a\n```\nb")], echo=False).startswith("````{.cell-output}")


def test_displayed_values(tmp_path):
    assert markdown(tmp_path, [shown(text_markdown="**a**", text_plain="A")], echo=False) == "**a**"
    assert markdown(tmp_path, [shown(text_html="<b>", text_plain="A")], echo=False) == "```{=html}\n<b>\n```"
    assert markdown(tmp_path, [shown(text_plain="A")], echo=False) == "```{.cell-output}\nA\n```"
    error = Output(output_type="error", ename="ValueError", evalue="bad")
    assert "ValueError: bad" in markdown(tmp_path, [error], echo=False)


def test_one_picture_is_the_labelled_figure(tmp_path):
    options = {"label": "fig-x", "fig_cap": "A *caption*", "fig_alt": 'With "quotes"', "echo": False}
    made = [shown(text_plain="[<matplotlib.lines.Line2D>]"), shown(image_png=PNG, text_plain="<Figure>")]
    assert markdown(tmp_path, made, **options) == ('![A *caption*](cell-0.png){#fig-x fig-alt="With \\"quotes\\""}')
    assert (tmp_path / "cell-0.png").read_bytes().startswith(b"\x89PNG")


def test_several_pictures_are_parts_of_the_labelled_figure(tmp_path):
    made = [shown(**{"image_svg+xml": SVG}), shown(**{"image_svg+xml": SVG.replace("4", "3")})]
    text = markdown(tmp_path, made, echo=False, label="fig-x", fig_cap="All", fig_subcap=["One", "Two"], layout_ncol=2)
    assert text.startswith(':::::: {#fig-x layout-ncol="2"}\n\n![One](cell-0.svg){#fig-x-1}\n\n![Two]')
    assert text.endswith("All\n\n::::::")


def test_a_labelled_table_is_a_float(tmp_path):
    text = markdown(tmp_path, [shown(text_html="<table>")], echo=False, label="tbl-x", tbl_cap="C")
    assert text == ":::::: {#tbl-x}\n\n```{=html}\n<table>\n```\n\nC\n\n::::::"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"text/plain": "'a*b_c'"}, r"a\*b\_c"),
        ({"text/plain": '"it\'s [x](y) @z <b> $1$"'}, r"it's \[x\]\(y\) \@z \<b\> \$1\$"),
        ({"text/plain": "0.25"}, "0.25"),
        ({"text/plain": "-3"}, r"\-3"),
        ({"text/markdown": "**raw** @fig-x", "text/plain": "M"}, "**raw** @fig-x"),
        ({"text/html": "<b>x</b>", "text/plain": "H"}, "`<b>x</b>`{=html}"),
    ],
)
def test_inline_values_are_escaped_unless_they_are_markup(data, text):
    assert outputs.inline([Output(output_type="execute_result", data=data)]) == text


def test_one_kernel_in_a_copy_with_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("ONLY_HERE", raising=False)
    body = (
        "```{python}\n#| include: false\nimport os, pathlib, sys\npathlib.Path('made.svg').write_text('''"
        + SVG
        + "''')\n"
        "n = 1\n```\n\n`{python} os.environ['ONLY_HERE']` `{python} n` `{python} sys.executable`\n\n"
        "```{python}\n#| error: true\nn += 1; raise ValueError('kept')\n```\n\n`{python} n`\n\n![made](made.svg)"
    )
    folder = project(tmp_path / "p", body)
    render(folder, tmp_path / "deep" / "out.html", renderer="builtin", env={"ONLY_HERE": "seen"})
    page = (tmp_path / "deep" / "out.html").read_text(encoding="utf-8")
    import sys

    assert f"<p>seen 1 {sys.executable}</p>" in page
    assert "ValueError: kept" in page
    assert "<p>2</p>" in page
    assert sorted(path.name for path in folder.iterdir()) == ["_quarto.yml", "dot.svg", "index.qmd", "refs.bib"]


# Real Quarto

ANSWERS = """#!/bin/sh
if [ "$1" = --version ]; then echo 1.9.38; exit; fi
"""


def stub(tmp_path: Path, script: str, monkeypatch) -> Path:
    """Write a stub `quarto` and make it the only one that can be found."""
    (tmp_path / "bin").mkdir()
    path = tmp_path / "bin" / "quarto"
    path.write_text(script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("QUARTO_PATH", str(path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr("plateaus.render.quarto.shutil.which", lambda *_, **__: None)
    return path


def test_quarto_is_called_in_a_copy_with_the_metadata(tmp_path, monkeypatch):
    script = """
pwd > "$SEEN"; for one in "$@"; do echo "$one" >> "$SEEN"; done
echo "$QUARTO_PYTHON" >> "$SEEN"; cp index.qmd "$SEEN.qmd"; echo "<p>made</p>" > page.html
"""
    stub(tmp_path, ANSWERS + script, monkeypatch)
    seen = tmp_path / "seen"
    folder = project(tmp_path / "p", "Text `{python} 1`", "title: Old\nauthor: A")
    metadata = {"title": "Plateaus: where, & how", "plain": "some words"}
    made = render(folder, tmp_path / "out.html", env={"SEEN": str(seen)}, metadata=metadata)
    assert made == "Quarto 1.9.38"
    assert (tmp_path / "out.html").read_text() == "<p>made</p>\n"
    where, *arguments, python = seen.read_text().splitlines()
    assert where != str(folder)
    assert arguments == [
        *["render", "index.qmd", "--to", "html", "--output", "page.html"],
        *["-M", "plain:some words", "-M", "rendered-by:Quarto 1.9.38"],
        *["--include-in-header", "plateaus-style.html", "--include-after-body", "plateaus-script.html"],
    ]
    import sys

    assert python == sys.executable
    # With -M the title would be read as a mapping, so it is only in the front matter.
    _, front, text = (tmp_path / "seen.qmd").read_text().split("---\n", 2)
    assert yaml.safe_load(front) == {"author": "A", **metadata, "rendered-by": "Quarto 1.9.38"}
    assert text == "\nText `{python} 1`\n"
    assert "title: Old" in (folder / "index.qmd").read_text()


FAILED = r"""printf '\n\nAn error occurred while executing the following cell:\n------------------\n' >&2
printf '#| label: division\n1 / 0\n------------------\n\n\n\033[31m---------\033[39m\n' >&2
printf '\033[31mZeroDivisionError\033[39m: division by zero\n\nWARN: Error encountered when rendering files\n' >&2
exit 1"""
"""What Quarto 1.9 prints about a failing cell."""


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('echo "ERROR: no kernel" >&2; exit 3', "quarto render failed: ERROR: no kernel"),
        ("exit 0", "quarto render failed: it printed no message"),
        (
            'echo x > page.html; echo "WARNING (f.lua:1) Unable to resolve crossref @fig-gone" >&2',
            "the page refers to @fig-gone, which is not defined: correct it",
        ),
        (
            'echo x > page.html; echo "[WARNING] Citeproc: citation nobody1900 not found" >&2',
            "the page cites nobody1900, which the bibliography lacks: correct it",
        ),
        (
            'echo \'<figure id="fig-a"></figure><img id="fig-a">\' > page.html',
            "the page uses the id fig-a twice: change one of them",
        ),
        (FAILED, "index.qmd: the cell division in line 5 failed: ZeroDivisionError: division by zero"),
    ],
)
def test_a_quarto_that_fails_is_one_line(script, message, tmp_path, monkeypatch):
    stub(tmp_path, ANSWERS + script + "\n", monkeypatch)
    with pytest.raises(RenderError) as error:
        render(project(tmp_path / "p", "```{python}\n#| label: division\n1 / 0\n```"), tmp_path / "out.html")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out.html").exists()


def test_a_quarto_that_does_not_run_counts_as_none(tmp_path, monkeypatch):
    stub(tmp_path, "#!/bin/sh\necho 'the download failed'; exit 1\n", monkeypatch)
    assert find_quarto() is None
    with pytest.raises(InputError, match="no working quarto"):
        render(project(tmp_path / "p", "Text"), tmp_path / "out.html", renderer="quarto")
    assert render(project(tmp_path / "q", "Text"), tmp_path / "out.html").startswith("the built-in renderer")
