"""Broken configs and prompt tables, made up by hypothesis: each is accepted, or refused in one line before any job.

`make test` tries a few hundred, always the same ones; `make faults` tries thousands, other ones each time.
"""

from __future__ import annotations

import copy
import datetime
import os
import string
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

from plateaus.claims import registry
from plateaus.config import slices
from plateaus.config.models import model_key
from plateaus.config.reading import leaves, load_schema, resolve
from plateaus.config.values import check_values
from plateaus.data.canonical import canonical_json, digest
from plateaus.errors import InputError, from_system
from plateaus.plan import threads
from plateaus.prompts import sampling
from plateaus.prompts.pairs import checked_pair, split
from plateaus.run import memory, precheck, requests
from tests import tiny
from tests.workflow.project import CONFIG, PAIRS, SUITE

ROOT = Path(__file__).parents[2]
SCHEMA = load_schema(ROOT / "workflow" / "schemas" / "config.schema.yaml")
MANY = int(os.environ.get("PLATEAUS_FUZZ", "0"))
fuzz = settings(
    max_examples=MANY or 150,
    derandomize=not MANY,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module", autouse=True)
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a tiny model and small tables, which is the working directory of all examples."""
    folder = tmp_path_factory.mktemp("fuzz")
    tiny.save("llama", folder / "tiny-model")
    (folder / "pairs.tsv").write_text(PAIRS, encoding="utf-8")
    (folder / "suite.tsv").write_text(SUITE, encoding="utf-8")
    (folder / "config").symlink_to(ROOT / "config")
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def before_any_job(raw: dict[str, Any]) -> None:
    """What workflow/rules/common.smk calls before the first job, in its order."""
    if "models" not in raw:  # an overlay, which Snakemake puts over the default config
        whole = of_default()
        check_values(raw)  # a value that contains itself does not get beyond the profile's check
        update_config(whole, raw)
        raw = whole
    config = resolve(raw, SCHEMA)
    pairs = sampling.pairs_of(config["prompts"])
    shards = split(pairs, config["prompts"]["shards"])
    registry.files_in(config["claims"]["folder"])
    models, results = Path("resources/models"), Path("results") / config["run"]
    precheck.check_run(config, pairs, models, results)
    threads.of_job(config, 2, 0)
    checked_pair(pairs)
    slices_of = [slices.claims_slice(config, shards), slices.report_slice(config, pairs, shards)]
    for model in config["models"]:
        model_key(config, model)
        slices_of += [slices.extract_slice(config, model, part) for part in shards.values()]
        slices_of += [
            slices.stage_slice(config, stage, model)
            for stage in ("interpolate", "freeze", "jacobian", "spline", "sharpness")
        ]
    slices_of += [slices.map_slice(config, model, pairs) for model in slices.map_models(config)]
    slices_of += [slices.robustness_slice(config, model, pairs) for model in slices.robust_models(config)]
    for slice_ in slices_of:
        digest(slice_)
        canonical_json(slice_).encode()
    room = memory.room_of(config, pairs, models, budget=memory.budget_of(config["compute"]["memory_gb"]))
    memory.check(room, set(room.needs), config["compute"]["memory_gb"])
    requests_ = requests.requests_of(config, pairs, models, 1)
    for stage, model in room.needs:
        room.megabytes(stage, model)
        requests_.megabytes(stage, model, 3)
        requests_.minutes(stage, model, 3)
    room.megabytes_together()


def accepted_or_one_line(raw: dict[str, Any]) -> bool:
    """Whether a config is accepted; if it is refused, this is an `InputError` in one line of a readable length."""
    try:
        before_any_job(raw)
    except InputError as error:
        one_line(str(error))
        return False
    except OSError as error:  # as workflow/rules/common.smk says it
        one_line(str(from_system(error)))
        return False
    return True


def one_line(message: str) -> None:
    assert message
    assert len(message.splitlines()) == 1
    assert message.isprintable(), message
    assert len(message) < 3000, message
    message.encode()


# ---- values ----------------------------------------------------------------------------------------------------


def _endless() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def _deep(levels: int) -> Any:
    found: Any = 1
    for _ in range(levels):
        found = [found]
    return found


TEXTS = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(exclude_categories=()), max_size=12),  # with surrogates
    st.sampled_from(
        ["", " ", "\0", "a\0b", "\ud800", "a\n", "\x1b[31m", "\u2028", "../..", "/", "/dev/null", "/proc/self/mem", ".",
        "tiny", "all", "auto", "true", "50", "nan", "{revision}", "{x}", "%s", "$(x)", "x" * 300, "x/" * 3000,
        "x" * 100_000, "tiny-model", "pairs.tsv", "suite.tsv", "config", "house-big-in", "C1", "~", "*", "\ufeff", "🙂" * 90]
    ),
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(),
    st.integers(-3, 200),
    st.floats(),
    st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**30, 10**400, -(10**400), 0.0, -0.0, 50.0, 2.0, 1e-320, 1e308]),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    TEXTS,
    st.binary(max_size=5),
    st.sampled_from([datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1), {1, 2}, (1, 2), 1j, object]),
)
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=4),
    st.lists(st.integers(-2, 6), max_size=6),
    st.lists(TEXTS, max_size=5),
    st.dictionaries(st.one_of(TEXTS, SCALARS.filter(lambda value: not isinstance(value, set))), SCALARS, max_size=3),
    st.sampled_from([list(range(20_000)), ["x"] * 20_000, [0, 0], [0, False], [1, 1.0], [[]], {}, [{}]]),
    st.builds(_deep, st.sampled_from([3, 100])),
)
KEYS = sorted({key for key, _ in leaves(SCHEMA)} | set(SCHEMA["properties"]))
SOURCES = st.fixed_dictionaries(
    {"source": st.sampled_from(["embedded", "hub", "local", "random"])},
    optional={
        "id": st.sampled_from(["gpt2", "EleutherAI/pythia-70m", "a/b/c", "", "x" * 200]),
        "path": st.sampled_from(["tiny-model", "tiny-{revision}", "nowhere", "\0", "x" * 300, ""]),
        "like": st.sampled_from(["tiny", "tiny-random", "other", "nobody", "series-step1"]),
        "seed": NUMBERS,
        "revision": TEXTS,
        "revisions": st.lists(
            st.sampled_from(["step0", "step1", "main", "1-2", "x" * 70, "a/b", "step١", "²"]), max_size=3
        ),
        "controls": st.lists(st.sampled_from(["tiny", "other", "nobody"]), max_size=2),
        "layernorm": st.sampled_from(["kept", "removed"]),
        "storage": st.sampled_from(["float32", "bfloat16"]),
        "bos": st.sampled_from(["auto", True, False, 1, 0]),
        "centre": st.sampled_from([True, False, 0]),
        "name": st.sampled_from(["smollm2-135m", "gemma-3-270m", "x"]),
    },
)


def of_default() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    found["prompts"] |= {"sample": 4, "deep": 2}
    return found


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """The tiny config, the default one or a part of it, with some keys set to anything, left out or made up."""
    config = draw(st.sampled_from([CONFIG, CONFIG, of_default()]))
    config = copy.deepcopy(config)
    if draw(st.integers(0, 9)) == 0:
        del config["models"]
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.one_of(st.sampled_from(KEYS), TEXTS))
        parts = [
            draw(st.sampled_from(["tiny", "tiny-random", "other"])) if part == "*" else part for part in key.split(".")
        ]
        match draw(st.sampled_from(["set", "set", "set", "drop", "model"])):
            case "model" if isinstance(config.get("models"), dict):
                config["models"][draw(st.one_of(st.sampled_from(["other", "series", "tiny"]), TEXTS))] = draw(SOURCES)
            case "drop":
                config.pop(parts[0], None)
            case _:
                put(config, parts, draw(VALUES))
    return config


def put(config: dict[str, Any], parts: list[str], value: Any) -> None:
    section = config
    for part in parts[:-1]:
        if not isinstance(section.get(part), dict):
            section[part] = {}
        section = section[part]
    section[parts[-1]] = value


@fuzz
@given(configs())
def test_a_config_is_accepted_or_refused_in_one_line(config):
    accepted_or_one_line(config)


@fuzz
@given(st.sampled_from(KEYS), st.integers(-2, 300))
def test_numbers_of_a_usual_size_are_accepted_or_refused_in_one_line(key, number):
    config = copy.deepcopy(CONFIG)
    put(config, [part.replace("*", "tiny") for part in key.split(".")], number)
    accepted_or_one_line(config)


@pytest.mark.parametrize("value", [_endless(), _deep(5000), 10**5000], ids=["endless", "deep", "long"])
@pytest.mark.parametrize("key", KEYS)
def test_values_without_end_are_refused_in_one_line(key, value):
    config = copy.deepcopy(CONFIG)
    put(config, [part.replace("*", "tiny") for part in key.split(".")], value)
    assert not accepted_or_one_line(config)


def test_the_configs_that_fuzzing_begins_from_are_accepted():
    assert accepted_or_one_line(copy.deepcopy(CONFIG))
    assert accepted_or_one_line(of_default())


# ---- the text of a config ---------------------------------------------------------------------------------------

TOKENS = [
    "&a ", "*a", "<<: *a", "!!python/object/apply:os.getcwd []", "!!python/name:os.system", "!x ", "!!binary ", "!!set {a}",
    "!!int ", "!!float x", "!!timestamp ", "? ", "- ", "{", "}", "[", "]", "|\n", ">\n", '"', "'", "\t", "---\n", "...\n",
    "%YAML 9\n", "\0", "\ufeff", "\x1b", "#", ": ", "\n", "\n  ", "null", "~", "2020-01-01", "0x1F", "1_0", "190:20:30",
    ".nan", ".inf", "1" * 5000, "a: &a {a: *a}\n", "b: &b [*b]\n", "__use_yte__: true\n", "__definitions__:\n- raise\n",
    "?if True:\n", "?x", "models:", "models: {}\n", "run: x\n", "run: {a: 1}\n", "\\ud800", '"\\ud800"', '"\\0"', "[[1]]: 2\n",
    "{a: 1}: 2\n", "é", "🙂", "\u2028", "\x85",
]  # fmt: skip
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
TEXT = yaml.safe_dump(CONFIG, sort_keys=False)


@st.composite
def config_bytes(draw: st.DrawFn) -> bytes:
    """The text of the tiny config with pieces cut out and put in, or something else entirely."""
    text = draw(st.sampled_from([TEXT, TEXT, TEXT, "", "run: x\n", "{}"]))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        to = at + draw(st.sampled_from([0, 0, 1, 5, 40]))
        text = text[:at] + draw(st.one_of(st.sampled_from(TOKENS), st.text(max_size=5))) + text[to:]
    content = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        content = draw(
            st.sampled_from([content.decode("utf-8", "replace").encode("utf-16"), content + b"\xff\xfe", b"\x80"])
        )
    return content


CHECKS = {
    profile: next(
        compile(part, profile, "exec")
        for part in yaml.safe_load((ROOT / "profiles" / profile / "config.yaml").read_text("utf-8"))["__definitions__"]
        if "--configfile" in part
    )
    for profile in ("default", "slurm")
}
"""What the profiles run before Snakemake reads a config."""


@fuzz
@given(config_bytes(), st.sampled_from(sorted(CHECKS)))
@example(BOMB.encode(), "default")
@example(b"[" * 3000, "default")
@example(b"{" * 30000, "default")
@example(b"1: 2\nnull: 3\n2020-01-01: 4\n", "default")
def test_the_text_of_a_config_is_read_or_refused_in_one_line(content, profile):
    read(content, profile)


def read(content: bytes, profile: str) -> bool:
    """Read a config as the workflow does; whether it got as far as the checks of its values."""
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(content)
        file.flush()
        before = sys.argv
        sys.argv = ["snakemake", "--cores", "1", "--configfile", file.name]
        said: object = None
        try:
            exec(CHECKS[profile], {})
        except SystemExit as ended:
            said = ended.code
        finally:
            sys.argv = before
        if said is not None:
            assert isinstance(said, str)
            assert said.startswith(f"error: --configfile {file.name}")
            one_line(said)
            return False
        raw = load_configfile(file.name)
    accepted_or_one_line(raw)
    return True


@pytest.mark.parametrize("profile", sorted(CHECKS))
def test_the_text_of_a_good_config_is_read(profile):
    assert read(TEXT.encode(), profile)


# ---- prompt tables ----------------------------------------------------------------------------------------------

ROWS = PAIRS.splitlines()
CELLS = st.one_of(
    st.sampled_from(
        ["", " ", "big", "house", "red", "The house was", "Thé", "\x00", "\x1b[0m", "\r", "\x0b", "\x1c", "\u2028", "\x85", "\u200b",
        "\u00a0", "\ufeff", "a b", "big.", "bigin", "🙂", "日本", "'", '"', "#", "natural;suite", "suite;natural;deep", "of:x", ";;", "..",
        "a/b", "x" * 129, "The " * 100, "x" * 200_000, "car-red-small", "\ud7ff", "\U0010ffff", "=1+1", "%s{x}"]
    ),
    st.text(max_size=10),
)  # fmt: skip


@st.composite
def table_bytes(draw: st.DrawFn) -> bytes:
    """The tiny table with other cells, columns, separators, line ends and encodings."""
    header = ["id", "context", "a", "b", "tags", *draw(st.sampled_from([[], [], ["separator"]]))]
    rows = [line.split("\t") + ["", " "][: len(header) - 5] for line in ROWS[1:]]
    rows += draw(st.lists(st.lists(CELLS, min_size=len(header), max_size=len(header)), max_size=2))
    rows = [header, *rows]
    for _ in range(draw(st.integers(0, 3))):
        row = draw(st.sampled_from(rows))
        at = draw(st.integers(0, max(0, len(row) - 1)))
        match draw(st.sampled_from(["set", "set", "cut", "more"])):
            case "cut":
                del row[at:]
            case "more":
                row.insert(at, draw(CELLS))
            case _ if row:
                row[at] = draw(CELLS)
            case _:
                row.append(draw(CELLS))
    separator = draw(st.sampled_from(["\t"] * 6 + [",", ";", " ", "\t\t"]))
    end = draw(st.sampled_from(["\n"] * 4 + ["\r\n", "\r", "\n\n", "\u2028"]))
    text = end.join(separator.join(row) for row in rows)
    encoding = draw(st.sampled_from(["utf-8"] * 8 + ["utf-8-sig", "utf-16", "latin-1", "utf-32", "cp1252"]))
    content = text.encode(encoding, "replace")
    return content + draw(st.sampled_from([b""] * 6 + [b"\xff", b"\x00", b"\xc3"]))


@fuzz
@given(table_bytes(), st.sampled_from(["table", "table", "suite"]))
@example(b"", "table")
@example(b"\xef\xbb\xbf", "suite")
@example(b"id\tcontext\ta\tb\ttags\nx\t" + b"The " * 1_000_000 + b"\tbig\tin\t\n", "table")
def test_a_prompt_table_is_accepted_or_refused_in_one_line(content, which):
    Path("fuzzed.tsv").write_bytes(content)
    config = copy.deepcopy(CONFIG)
    config["prompts"][which] = "fuzzed.tsv"
    config["figures"] = {}
    config["robustness"] = {"pairs": 0}
    accepted_or_one_line(config)


@fuzz
@given(st.binary(max_size=60))
def test_any_bytes_as_a_prompt_table_are_refused_in_one_line(content):
    Path("fuzzed.tsv").write_bytes(content)
    assert not accepted_or_one_line({**copy.deepcopy(CONFIG), "prompts": {"table": "fuzzed.tsv"}})


def test_letters_that_fuzzing_uses_are_allowed_in_ids():
    """A table in which nothing is wrong but the ids of which are long is accepted, so that the examples reach the model."""
    rows = "".join(f"{letter * 128}\tThe car was\tred\told\t\n" for letter in string.ascii_letters)
    Path("fuzzed.tsv").write_text(ROWS[0] + "\n" + rows, encoding="utf-8")
    assert accepted_or_one_line(
        {**copy.deepcopy(CONFIG), "figures": {}, "prompts": {"table": "fuzzed.tsv"}, "robustness": {}}
    )
