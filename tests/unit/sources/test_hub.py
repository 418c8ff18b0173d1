"""`source: hub` against a hub on loopback: what is downloaded, what is refused, and one clear line for each error."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import httpx

from plateaus.config.models import weights_of
from plateaus.config.reading import SCHEMA, load_schema, resolve
from plateaus.errors import InputError
from plateaus.page import tables as page_tables
from plateaus.sources import checks, hub, hub_download
from tests.hub_server import COMMIT, Hub, blob_id, serving

ID = "someone/tiny-gpt2"
OTHER = "f" * 40


@pytest.fixture
def server(tiny_folder) -> Iterator[Hub]:
    """A hub with the tiny GPT-2, in repositories that also hold files that are not needed."""
    files = {path.name: path.read_bytes() for path in tiny_folder("gpt2").iterdir()}
    files |= {"README.md": b"# tiny\n", "pytorch_model.bin": b"\x80\x04N.", "onnx.onnx": b"no"}
    with serving() as hub_:
        hub_.repositories[ID] = {"main": files, "step1000": dict(files)}
        hub_.commits[ID, "step1000"] = "1" * 40
        yield hub_


@pytest.fixture(autouse=True)
def online(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process use that hub, with a cache of its own and short timeouts and pauses."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
    template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 1)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(hub_download, "PAUSES", (0.01, 0.01))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # no pauses within huggingface_hub either


@pytest.fixture
def get(tmp_path: Path) -> Callable[..., hub.Found]:
    """`hub.get` for a model called tiny. `get.said` lists the lines that it reported."""

    def call(id_: str = ID, revision: str = "main") -> hub.Found:
        return hub.get("tiny", id_, revision, tmp_path / "models", call.said.append)

    call.said = []
    return call


def problem(get: Callable[..., hub.Found], *arguments: str) -> str:
    """Return the one line that a call fails with."""
    with pytest.raises(InputError) as caught:
        get(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("model tiny: ")
    return message


def leftovers(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file() and "blobs" in path.parts)


# ---- what is downloaded ----------------------------------------------------------------------------------------


def test_takes_config_tokenizer_and_safetensors_and_nothing_else(server, get, tiny_folder):
    found = get()
    assert found.commit == COMMIT
    assert found.licence == "mit"
    assert set(found.paths) == {path.name for path in tiny_folder("gpt2").iterdir()}
    for name, path in found.paths.items():
        assert path.read_bytes() == (tiny_folder("gpt2") / name).read_bytes()
    assert not server.asked("GET", "pytorch_model.bin")


def test_the_hubs_own_library_finds_everything_where_it_looks(get, tiny_folder):
    from huggingface_hub import hf_hub_download

    get()
    path = hf_hub_download(ID, "model.safetensors", revision="main", local_files_only=True)
    assert Path(path).read_bytes() == (tiny_folder("gpt2") / "model.safetensors").read_bytes()


def test_weights_in_parts_are_those_that_the_index_names(server, get):
    files = server.repositories[ID]["main"]
    whole = files.pop("model.safetensors")
    parts = {"model-00001-of-00002.safetensors": whole, "model-00002-of-00002.safetensors": whole[::-1]}
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    files |= {**parts, "model.fp16.safetensors": b"x", "model.safetensors.index.json": json.dumps(index).encode()}
    found = get()
    assert {name for name in found.paths if name.endswith(".safetensors")} == set(parts)
    assert "model.safetensors.index.json" in found.paths
    del files["model-00002-of-00002.safetensors"]
    server.commits[ID, "main"] = OTHER
    assert "does not match its files (it names model-00002-of-00002.safetensors)" in problem(get)


def test_what_is_in_the_cache_is_not_downloaded_again(server, get):
    get()
    downloads = len(server.asked("GET", "model.safetensors"))
    assert downloads == 2  # the hub redirects to the host of large files
    get()
    assert len(server.asked("GET", "model.safetensors")) == downloads
    # For another commit with the same weights, only the files that differ are downloaded.
    server.repositories[ID]["main"] = {**server.repositories[ID]["main"], "generation_config.json": b"{}"}
    server.commits[ID, "main"] = OTHER
    assert get().commit == OTHER
    assert len(server.asked("GET", "model.safetensors")) == downloads


def test_a_token_goes_to_the_hub_and_not_to_the_host_of_the_files(server, get, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "let-me-in")
    server.gated.add(ID)
    server.private.add(ID)
    assert get().commit == COMMIT
    assert {request.authorization for request in server.requests if "/large/" in request.path} == {None}


# ---- an unreliable network -------------------------------------------------------------------------------------


@pytest.mark.parametrize("drops", [1, 3])
def test_a_dropped_connection_is_resumed_with_a_range(server, get, monkeypatch, drops):
    size = len(server.repositories[ID]["main"]["model.safetensors"])
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # a partly received chunk is lost with the connection
    server.drops = drops
    assert get().paths["model.safetensors"].stat().st_size == size
    ranges = [request.range for request in server.requests if "/large/" in request.path and request.method == "GET"]
    have, expected = 0, [None]
    for _ in range(drops):
        have += (size - have) // 2 // 1000 * 1000
        expected.append(f"bytes={have}-")
    assert ranges == expected


def test_what_came_before_a_reset_connection_is_kept(server, get, monkeypatch):
    """huggingface_hub does not retry after a reset. `hub_download` does, as long as each attempt receives some data."""
    real, content = hub_download.http_get, server.repositories[ID]["main"]["model.safetensors"]
    attempts = 3 * len(hub_download.PAUSES)

    def reset(url, handle, **options):
        if handle.name.split("/")[-1].startswith(hashlib.sha256(content).hexdigest()):
            have = options["resume_size"]
            if have < 1000 * attempts:
                handle.write(content[have : have + 1000])
                raise httpx.ReadError("Connection reset by peer")
        real(url, handle, **options)

    monkeypatch.setattr(hub_download, "http_get", reset)
    assert get().paths["model.safetensors"].read_bytes() == content
    large = [request for request in server.requests if request.method == "GET" and "/large/" in request.path]
    assert [request.range for request in large] == [f"bytes={1000 * attempts}-"]
    assert get.said.count("the connection was lost; trying again in 0.01 s") == attempts


def test_a_later_run_goes_on_from_where_an_earlier_one_stopped(server, get, monkeypatch):
    """An interrupted run keeps its partial file; huggingface_hub alone would start from the beginning."""
    real = hub_download.http_get

    def interrupted(url, handle, **options):
        real(url, handle, **options)
        if handle.name.split("/")[-1].startswith(hashlib.sha256(content).hexdigest()):
            handle.truncate(1000)
            raise KeyboardInterrupt

    content = server.repositories[ID]["main"]["model.safetensors"]
    monkeypatch.setattr(hub_download, "http_get", interrupted)
    with pytest.raises(KeyboardInterrupt):
        get()
    monkeypatch.setattr(hub_download, "http_get", real)
    server.requests.clear()
    assert get().paths["model.safetensors"].read_bytes() == content
    large = [request for request in server.requests if request.method == "GET" and "/large/" in request.path]
    assert [request.range for request in large] == ["bytes=1000-"]
    assert any("from 0.001 MB on" in line for line in get.said), get.said


def test_a_server_in_trouble_is_asked_again_and_then_named(server, get):
    server.status = 503
    message = problem(get)
    assert f"{server.endpoint} answered 503" in message
    assert len(server.requests) == 1 + len(hub_download.PAUSES)
    assert "the hub answered 503; trying again in 0.01 s" in get.said


def test_silence_ends_in_one_line(server, get):
    server.silent = True
    message = problem(get)
    assert "did not answer in time" in message
    assert "source: embedded (config/config.yaml)" in message


def test_no_network_names_what_works_without(server, get, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    message = problem(get)
    assert "no connection to http://127.0.0.1:9" in message
    assert "not in the local cache" in message
    assert "source: embedded (config/config.yaml) or source: local" in message


@pytest.mark.parametrize("how", ["offline mode", "no network", "server in trouble"])
def test_a_whole_cache_needs_no_network(server, get, monkeypatch, how):
    before = get()
    server.requests.clear()
    if how == "offline mode":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    elif how == "no network":
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    else:
        server.status = 500
    after = get()
    assert (after.commit, after.paths) == (before.commit, before.paths)
    assert get(ID, COMMIT).paths == before.paths
    assert not server.asked("GET", ".json")
    assert any("from the local cache" in line for line in get.said)


def test_a_cache_that_is_not_whole_is_none(server, get, monkeypatch):
    found = get()
    found.paths["model.safetensors"].unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set, and someone/tiny-gpt2 at revision main is not in the local cache" in problem(get)


# ---- errors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_wrong_hash_is_refused_and_nothing_of_it_stays(server, get, tmp_path, name):
    content = server.repositories[ID]["main"][name]
    server.sent[name] = content[:-1] + bytes([content[-1] ^ 1])
    message = problem(get)
    assert f"{name} has the wrong hash" in message
    assert "was deleted: run again" in message
    hashes = {blob_id(content), hashlib.sha256(content).hexdigest()}
    assert not [left for left in leftovers(tmp_path) if left.split(".")[0] in hashes]
    server.sent.clear()
    assert get().paths[name].read_bytes() == content


def test_a_file_shorter_than_it_was_said_to_be_is_refused(server, get):
    server.sent["model.safetensors"] = server.repositories[ID]["main"]["model.safetensors"][:-50]
    assert "model.safetensors has the wrong hash" in problem(get)


@pytest.mark.parametrize("network", [True, False])
def test_a_cached_file_that_has_changed_is_found(server, get, monkeypatch, network):
    blob = get().paths["model.safetensors"].resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", not network)
    assert "model.safetensors has the wrong hash" in problem(get)
    assert not blob.exists()


def test_an_unknown_id(server, get):
    message = problem(get, "someone/tinny")
    assert f"{server.endpoint} has no repository someone/tinny" in message
    assert "models.tiny.id" in message


def test_an_unknown_revision_names_one_like_it(get):
    message = problem(get, ID, "step100")
    assert f"{ID} has no revision step100 (did you mean step1000?)" in message
    assert "models.tiny.revision" in message


def test_a_gated_model_names_the_licence_and_the_token(server, get, monkeypatch):
    server.gated.add(ID)
    message = problem(get)
    assert f"{ID} is gated: accept its licence on {server.endpoint}/{ID} and set HF_TOKEN" in message
    monkeypatch.setenv("HF_TOKEN", "let-me-in")
    assert get().commit == COMMIT


def test_unauthorised(server, get):
    server.private.add(ID)
    message = problem(get)
    assert f"refuses access to {ID} (401)" in message
    assert "HF_TOKEN" in message


def test_forbidden(server, get):
    server.status = 403
    assert f"refuses access to {ID} (403)" in problem(get)
    assert len(server.requests) == 1


def test_pickles_only(server, get):
    del server.repositories[ID]["main"]["model.safetensors"]
    message = problem(get)
    assert "only as a pickle (pytorch_model.bin)" in message
    assert "refs/pr/N" in message
    assert "source: local" in message
    assert not server.asked("GET", ".bin")


def test_no_file_of_weights_that_transformers_would_read(server, get):
    files = server.repositories[ID]["main"]
    files["adapter_model.safetensors"] = files.pop("model.safetensors")
    assert "has no model.safetensors (only adapter_model.safetensors)" in problem(get)


@pytest.mark.parametrize(
    ("name", "said"), [("config.json", "has no config.json"), ("tokenizer.json", "has no tokenizer")]
)
def test_a_repository_that_is_no_whole_model(server, get, name, said):
    del server.repositories[ID]["main"][name]
    assert said in problem(get)


def test_a_hub_that_tells_no_hashes_is_not_believed(server, get):
    server.listed = lambda answer: {**answer, "siblings": [{"rfilename": "config.json"}]}
    assert "without commit or hashes" in problem(get)


def test_something_else_that_answers_in_the_hubs_place(server, get):
    server.listed = lambda answer: ["log in to this network"]
    assert "does not answer like a model hub" in problem(get)


def test_not_enough_disk_is_said_before_the_weights_are_asked_for(server, get, monkeypatch):
    size = len(server.repositories[ID]["main"]["model.safetensors"])
    usage = type("Usage", (), {"free": size - 1})
    monkeypatch.setattr(hub.psutil, "disk_usage", lambda path: usage)
    message = problem(get)
    assert f"needs {size / 1e9:.3g} GB on the disk of" in message
    assert "make room, or move HF_HOME" in message
    assert not server.asked("GET", ".safetensors")
    monkeypatch.setattr(usage, "free", size)
    assert get().commit == COMMIT


@pytest.mark.parametrize(("stored", "factor"), [("float32", 1), ("float16", 2), ("bfloat16", 2)])
def test_not_enough_memory_is_said_before_the_weights_are_asked_for(server, get, monkeypatch, stored, factor):
    files = server.repositories[ID]["main"]
    files["config.json"] = json.dumps({**json.loads(files["config.json"]), "dtype": stored}).encode()
    needed = factor * len(files["model.safetensors"])
    memory = type("Memory", (), {"total": needed - 1})
    monkeypatch.setattr(hub.psutil, "virtual_memory", lambda: memory)
    assert f"needs {needed / 1e9:.3g} GB of memory in float32" in problem(get)
    assert not server.asked("GET", ".safetensors")
    monkeypatch.setattr(memory, "total", needed)
    assert get().commit == COMMIT


def test_a_kind_that_cannot_be_swept_is_refused_before_the_weights_are_asked_for(server, get):
    files = server.repositories[ID]["main"]
    files["config.json"] = json.dumps({**json.loads(files["config.json"]), "num_local_experts": 8}).encode()
    assert f"{ID} at revision main is a mixture of experts (num_local_experts is 8" in problem(get)
    assert not server.asked("GET", ".safetensors")


# ---- the stage -------------------------------------------------------------------------------------------------


def run_fetch(server: Hub, root: Path, source: dict, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command of stage fetch, as its rule calls it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS", "TQDM"))}
    command = [sys.executable, "-m", "plateaus.stages.fetch", "--model", "tiny", "--model-folder", str(root / "model")]
    command += ["--root", str(root / "results"), "--slice", json.dumps(source)]
    settings = {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(root / "home"), "HF_HUB_DOWNLOAD_TIMEOUT": "2"}
    return subprocess.run(
        command, env=clean | settings | environment, text=True, capture_output=True, timeout=100, check=False
    )


def test_the_command_fetches_makes_a_card_and_needs_the_network_once(server, tmp_path, tiny_folder, root):
    config = resolve(
        {"models": {"tiny": {"source": "hub", "id": ID}}},
        load_schema(root / SCHEMA),
    )
    source = weights_of(config, "tiny")
    server.drops = 1
    done = run_fetch(server, tmp_path, source, TQDM_POSITION="-1")
    assert done.returncode == 0, done.stderr
    assert "model.safetensors: 100%" in done.stderr
    assert (tmp_path / "home" / "hub").is_dir()
    folder = tmp_path / "model"
    card = json.loads((folder / "card.json").read_text())
    assert card["source"] == {"source": "hub", "id": ID, "revision": "main", "dtype": "float32"}
    assert (card["name"], card["commit"], card["licence"]) == (ID, COMMIT, "mit")
    for path in tiny_folder("gpt2").iterdir():
        told = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}
        assert card["files"][path.name] == told
    assert set(card["files"]) == {path.name for path in tiny_folder("gpt2").iterdir()}
    checks.check_folder(folder)
    checks.check_local(folder, "tiny")
    table = page_tables.cards({"tiny": card})
    assert ID in table.replace("\\", "")
    assert f"`{COMMIT[:16]}…`" in table

    # Only the weights are links into the cache, since writing to a link would change the cached file too.
    blobs = {path.stat().st_ino for path in (tmp_path / "home" / "hub").rglob("blobs/*")}
    linked = {path.name for path in folder.iterdir() if path.stat().st_ino in blobs}
    assert linked == {"model.safetensors"}

    first = (folder / "card.json").read_bytes()
    server.requests.clear()
    again = run_fetch(server, tmp_path, source, HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    assert server.requests == []
    assert json.loads(first)["files"] == json.loads((folder / "card.json").read_text())["files"]


def test_the_command_fails_with_one_line_and_leaves_nothing(server, tmp_path):
    server.gated.add(ID)
    source = {"source": "hub", "id": ID, "revision": "main", "dtype": "float32"}
    done = run_fetch(server, tmp_path, source)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "is gated" in errors[0]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob(".model.*"))


def test_an_older_tokenizer_is_made_into_one_file_without_touching_the_cache(server, tmp_path, tiny_folder):
    """The repository has only vocab.json and merges.txt, as the first GPT-2 repositories had."""
    tokenizer = json.loads((tiny_folder("gpt2") / "tokenizer.json").read_text())["model"]
    files = server.repositories[ID]["main"]
    for name in ("tokenizer.json", "tokenizer_config.json"):
        files.pop(name)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["merges"]]
    files["tokenizer_config.json"] = (
        b'{"tokenizer_class": "GPT2Tokenizer", "eos_token": "!", "bos_token": "!", "unk_token": "!"}'
    )
    files["vocab.json"] = json.dumps(tokenizer["vocab"]).encode()
    files["merges.txt"] = "\n".join(["#version: 0.2", *merges, ""]).encode()
    source = {"source": "hub", "id": ID, "revision": "main", "dtype": "float32"}
    done = run_fetch(server, tmp_path, source)
    assert done.returncode == 0, done.stderr
    from tokenizers import Tokenizer

    made = Tokenizer.from_file(str(tmp_path / "model" / "tokenizer.json"))
    assert made.encode("The house was big", add_special_tokens=False).tokens == ["The", "Ġhouse", "Ġwas", "Ġbig"]
    for path in (tmp_path / "home" / "hub").rglob("snapshots/*/*"):
        assert path.read_bytes() == files[path.name]
