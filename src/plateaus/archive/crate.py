"""The description of an archive: a Workflow RO-Crate for programs, and a page of text for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from plateaus.archive import layout
from plateaus.archive.packing import Entry
from plateaus.archive.runs import Run
from plateaus.archive.source import Source
from plateaus.errors import InputError

VERSION = "1.1"
"""Of RO-Crate. Workflow RO-Crate 1.0, which registries of workflows read, is a profile of this one."""
WORKFLOW = "Snakefile"
TYPES = {
    ".parquet": "application/vnd.apache.parquet", ".yaml": "application/yaml", ".yml": "application/yaml",
    ".md": "text/markdown", ".tsv": "text/tab-separated-values", ".toml": "application/toml", ".png": "image/png",
    ".py": "text/x-python", ".qmd": "text/markdown", ".cff": "application/yaml", ".svg": "image/svg+xml",
    ".bib": "application/x-bibtex", ".lua": "text/x-lua", ".ipynb": "application/x-ipynb+json", ".css": "text/css",
    ".js": "text/javascript", ".json": "application/json", ".html": "text/html", ".sh": "application/x-sh",
}  # fmt: skip
"""Python's own table of types depends on the machine. What is not listed is plain text."""
SAID = {
    WORKFLOW: "The workflow. `snakemake --cores 8 --configfile run/config.yaml` runs it as it was run.",
    layout.CONFIG: "The config of the run, with every default filled in.",
    layout.PROVENANCE: "Model cards with the hashes of the weights, versions of packages, and the time of every job.",
    layout.GUIDE: "What is where in this archive, and how to check it and run it again.",
    f"{layout.RUN}/report/index.html": "The report: every figure, every claim's verdict, and an explorer, in one file.",
    f"{layout.RUN}/claims.json": "The verdict on every claim, with estimates, intervals and p values.",
    f"{layout.RUN}/claims.md": "The same verdicts as text.",
    "requirements.lock": "The versions of all Python packages.",
    "LICENSE": "The licence of the code.",
}


class Told(NamedTuple):
    """What the description is made from.

    Attributes:
        run: The run.
        source: The workflow's source.
        same_code: Whether this source has made all of the run's tables.
        left_out: Tables of the run that the archive does not hold.
    """

    run: Run
    source: Source
    same_code: bool
    left_out: Sequence[Entry]

    @property
    def code(self) -> str:
        """Which source it is, in words."""
        other = "" if self.same_code else "; the tables were made by another version of it"
        return self.source.state + other

    @property
    def omission(self) -> str:
        """What is left out, in a sentence; "" if nothing is."""
        if not self.left_out:
            return ""
        size = sum(entry.size for entry in self.left_out)
        names = sorted({_table(entry) for entry in self.left_out})
        return (
            f"Left out are the vectors of activations, which are the tables {' and '.join(names)} "
            f"({_counted(len(self.left_out), 'file')}, {size / 1e6:.1f} MB): only the workflow's own stages read them, "
            f"running it makes them again, and {layout.GUIDE} lists their hashes."
        )


def citation(path: Path = Path("CITATION.cff")) -> dict[str, Any]:
    """Read how this work is cited.

    Raises:
        InputError: the file cannot be read, or says too little.
    """
    try:
        told: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        complete = all(told.get(key) for key in ("title", "version", "license", "date-released", "authors"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError):
        complete = False
    if not complete:
        raise InputError(
            f"{path} does not give a title, version, license, date-released and authors: restore it from the repository"
        )
    return told


def metadata(told: Told, entries: Sequence[Entry]) -> bytes:
    """Return the content of ro-crate-metadata.json.

    Args:
        told: What the description is made from.
        entries: All files of the archive except this one and the manifest, which cannot be known yet.
    """
    from rocrate.model.contextentity import ContextEntity  # it imports an HTTP client, which nothing else here needs
    from rocrate.rocrate import ROCrate

    crate, cited = ROCrate(version=VERSION), citation()
    crate.metadata.extra_terms = {"sha256": "http://schema.org/sha256"}

    def add(identifier: str, kind: str, **properties: Any) -> Any:
        return crate.add(ContextEntity(crate, identifier, properties={"@type": kind, **properties}))

    licence = add(
        f"https://spdx.org/licenses/{cited['license']}", "CreativeWork", name=f"{cited['license']} licence",
        description="Of the code and of the results. Each model has the licence that its entry names.",
    )  # fmt: skip
    authors = [_author(add, number, author) for number, author in enumerate(cited["authors"], 1)]
    posts = [_reference(add, number, one) for number, one in enumerate(cited.get("references", []), 1)]
    commit = add(
        "#commit", "PropertyValue", name="git commit", value=told.source.commit or "none", description=told.code
    )
    crate.root_dataset["datePublished"] = str(cited["date-released"])
    for key, value in {
        "name": f"{cited['title']}: run {told.run.name}",
        "description": " ".join(filter(None, [_summary(told), told.omission])),
        "license": licence,
        "author": _one(authors),
        "publisher": next((author for author in authors if author.type == "Organization"), None),
        "keywords": ", ".join(cited.get("keywords", [])),
        "version": str(cited["version"]),
        "citation": _one(posts),
    }.items():
        if value:
            crate.root_dataset[key] = value
    found = {}
    for entry in sorted(entries, key=lambda entry: entry.name):
        found[entry.name] = _file(crate, told, entry)
    found["README.md"]["about"] = crate.root_dataset
    workflow = found[WORKFLOW]
    for key, value in {
        "license": licence,
        "creator": _one(authors),
        "author": _one(authors),
        "version": str(cited["version"]),
        "identifier": commit,
        "dateCreated": str(cited["date-released"]),
    }.items():
        workflow[key] = value
    models = [_model(add, told.run, model) for model in told.run.models]
    ours = [found[name] for name in found if name.startswith(f"{layout.RUN}/") and name != layout.CONFIG]
    prompts = [told.run.config["prompts"][key] for key in ("table", "suite")]
    action = add(
        "#run", "CreateAction", name=f"the run `{told.run.name}` of the workflow", instrument=workflow,
        object=[found[layout.CONFIG], *(found[name] for name in prompts if name in found), *models], result=ours,
        description=_environment(told.run),
    )  # fmt: skip
    mentions = [action, *models]
    if told.left_out:
        mentions.append(add("#left-out", "CreativeWork", name="tables that are left out", description=told.omission))
    crate.root_dataset["mentions"] = mentions
    return (json.dumps(crate.metadata.generate(), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _one(values: list[Any]) -> Any:
    """Return a single value as itself, which is how a crate writes it."""
    return values[0] if len(values) == 1 else values


def _author(add: Any, number: int, author: dict[str, str]) -> Any:
    person = " ".join(filter(None, (author.get("given-names"), author.get("family-names"))))
    name = author.get("orcid", f"#author-{number}")
    return (
        add(name, "Person", name=person)
        if person
        else add(name, "Organization", name=author.get("name") or author.get("alias", "?"))
    )


def _reference(add: Any, number: int, one: dict[str, Any]) -> Any:
    told = {"name": one["title"], "datePublished": str(one.get("date-published", ""))}
    links = {"codeRepository": one.get("repository-code", "")}
    address = one.get("url") or one.get("doi") or f"#reference-{number}"
    return add(address, "CreativeWork", **{key: value for key, value in {**told, **links}.items() if value})


def _file(crate: Any, told: Told, entry: Entry) -> Any:
    properties = {
        "name": entry.name,
        "contentSize": str(entry.size),
        "encodingFormat": _type(entry.name),
        "sha256": entry.sha256,
    }
    if entry.name in SAID:
        properties["description"] = SAID[entry.name]
    if entry.name == WORKFLOW:
        version = told.run.told.get("versions", {}).get("snakemake")
        properties["name"] = "activation-plateaus"
        return crate.add_workflow(
            dest_path=entry.name, properties=properties, main=True, lang="snakemake", lang_version=version
        )
    return crate.add_file(dest_path=entry.name, properties=properties)


def _type(name: str) -> str:
    return TYPES.get(Path(name).suffix, "text/plain")


def _model(add: Any, run: Run, model: str) -> Any:
    card = run.told["cards"][model]
    return add(
        f"#model-{model}", "CreativeWork", name=f"{model}: {card['name']}", sha256=card["weights_sha256"],
        description=f"The weights are not in this archive. Their licence: {card['licence']}.",
    )  # fmt: skip


def _summary(told: Told) -> str:
    return (
        "The page, figures, tables and verdicts of a finished run, with its config and the workflow that made them. "
        f"The source is that of {told.code}."
    )


def _environment(run: Run) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(run.told.get("versions", {}).items()))
    here = run.told.get("environment", {})
    return f"Python {here.get('python', '?')} on {here.get('system', '?')}, with {versions}."


def _table(entry: Entry) -> str:
    """Return the name of the table that a file is of: `<shard>.<table>.parquet`, or that of its stage's folder."""
    parts = Path(entry.name).name.split(".")
    return f"`{parts[1] if len(parts) > 2 else Path(entry.name).parent.name}`"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def guide(told: Told) -> str:
    """Return the text that explains the archive to whoever unpacks it."""
    run, cited = told.run, citation()
    models = "\n".join(
        f"- `{model}`: {card['name']}; licence: {card['licence']}; sha256 of the weights `{card['weights_sha256']}`"
        for model, card in ((model, run.told["cards"][model]) for model in run.models)
    )
    listed = "".join(f"{entry.sha256}  {entry.name}  ({entry.size} bytes)\n" for entry in told.left_out)
    omitted = f"\n## Left out\n\n{told.omission}\n\n```\n{listed}```\n" if told.left_out else ""
    return f"""# {cited["title"]}

Version {cited["version"]}, run `{run.name}`. {_summary(told)}

| file or folder | content |
|---|---|
| `{layout.RUN}/report/index.html` | the page, which loads nothing from the network |
| `{layout.RUN}/claims.md`, `claims.json` | the verdicts on the claims |
| `{layout.RUN}/figures/`, `{layout.RUN}/data/` | the figures, and the tables behind every number (Parquet) |
| `{layout.CONFIG}`, `provenance.json` | the config with every default filled in; models, versions, times |
| `{layout.CRATE}` | this archive as a Workflow RO-Crate |
| `{layout.MANIFEST}` | the sha256 of every file: `sha256sum --check {layout.MANIFEST}` |
| everything else | the workflow; start at `README.md` |

## Check it, and run it again

In a copy of the repository, which the unpacked archive is as well,

    make verify ARCHIVE=file.zip

checks every file, computes the run again in a new folder with the archive's own code, and compares tables and verdicts.
Only to run it again, unpack the archive and call

    make report CONFIG={layout.CONFIG}

## Models

Their weights are not in this archive; the workflow fetches or makes them.

{models}
{omitted}"""
