"""Explain errors of the Hugging Face hub and the connection to it, each in one line that says how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import httpx

from plateaus.errors import InputError


class Asked(NamedTuple):
    """A request to the hub.

    Attributes:
        model: Id of the model in the config.
        id: Id of the repository.
        revision: Commit, tag or branch.
    """

    model: str
    id: str
    revision: str

    @property
    def where(self) -> str:
        """The beginning of a message."""
        return f"model {self.model}: {self.id} at revision {self.revision}"


@contextmanager
def explained(asked: Asked) -> Iterator[None]:
    """Turn errors that huggingface_hub raises inside the block into one line.

    Raises:
        InputError: what is wrong and how to mend it.
    """
    try:
        yield
    except LocalEntryNotFoundError as error:
        # Its cause is the error that kept the hub from answering.
        raise InputError(_line(error.__cause__ or error, asked)) from None
    except (httpx.HTTPError, OfflineModeIsEnabled, HFValidationError) as error:
        raise InputError(_line(error, asked)) from None


def _line(error: BaseException, asked: Asked) -> str:
    model, id_, revision = asked
    hub = constants.ENDPOINT
    match error:
        case RevisionNotFoundError():
            return (
                f"model {model}: {id_} has no revision {revision}{_nearest(asked)}: set models.{model}.revision to a "
                f"branch, a tag or a commit of {hub}/{id_}/tree/main"
            )
        case GatedRepoError():
            return f"model {model}: {id_} is gated: accept its licence on {hub}/{id_} and {_token_mend()} of yours"
        case RepositoryNotFoundError() if error.response.status_code == 404:
            return (
                f"model {model}: {hub} has no repository {id_}: correct models.{model}.id (owner/name, as on the "
                f"model's page), or, if it is private, {_token_mend()} that may read it"
            )
        case HfHubHTTPError() if error.response.status_code in (401, 403):
            return (
                f"model {model}: {hub} refuses access to {id_} ({error.response.status_code}): it does not exist, "
                f"or is private or gated: check models.{model}.id, accept the licence on {hub}/{id_} if there is one, "
                f"and {_token_mend()} that may read it"
            )
        case HFValidationError():
            return f"model {model}: '{id_}' is not a repository id: give models.{model}.id as owner/name"
        case OfflineModeIsEnabled():
            problem = "HF_HUB_OFFLINE is set"
        case HfHubHTTPError():
            problem = f"{hub} answered {error.response.status_code}"
        case httpx.TimeoutException():
            problem = f"{hub} did not answer in time"
        case _:
            problem = f"no connection to {hub} ({' '.join(str(error).split()) or type(error).__name__})"
    return (
        f"model {model}: {problem}, and {id_} at revision {revision} is not in the local cache "
        f"({constants.HF_HUB_CACHE}): run again with a network (a download resumes where it stopped), "
        "or use a source that needs none: source: embedded (config/config.yaml) or source: local"
    )


def _token_mend() -> str:
    return "set HF_TOKEN to a token" if get_token() is None else "set HF_TOKEN (your token has no access) to a token"


def _nearest(asked: Asked) -> str:
    """Suggest the revision with the most similar name; empty if there is none or the hub does not list them."""
    try:
        refs = HfApi(endpoint=constants.ENDPOINT).list_repo_refs(asked.id)
    except (httpx.HTTPError, ValueError, KeyError):
        return ""
    near = difflib.get_close_matches(asked.revision, [ref.name for ref in (*refs.branches, *refs.tags)], n=1)
    return f" (did you mean {near[0]}?)" if near else ""
