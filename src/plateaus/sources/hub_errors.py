"""What can go wrong between here and the Hugging Face hub, each told in one line with its mend."""

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
    """What is asked of the hub: for which model of the config, which repository, which revision of it."""

    model: str
    id: str
    revision: str

    @property
    def where(self) -> str:
        """How a message begins."""
        return f"model {self.model}: {self.id} at revision {self.revision}"


@contextmanager
def explained(asked: Asked) -> Iterator[None]:
    """Turn what huggingface_hub raises inside the block into one line.

    Raises:
        InputError: what is wrong, with the mend.
    """
    try:
        yield
    except LocalEntryNotFoundError as error:
        # It stands for what kept the hub from answering.
        raise InputError(_line(error.__cause__ or error, asked)) from None
    except (httpx.HTTPError, OfflineModeIsEnabled, HFValidationError) as error:
        raise InputError(_line(error, asked)) from None


def _line(error: BaseException, asked: Asked) -> str:
    model, id_, revision = asked
    hub = constants.ENDPOINT
    match error:
        case RevisionNotFoundError():
            return (
                f"model {model}: {id_} has no revision {revision}{_nearest(asked)}: give models.{model}.revision a "
                f"branch, a tag or a commit of {hub}/{id_}/tree/main"
            )
        case GatedRepoError():
            return f"model {model}: {id_} is gated: accept its licence on {hub}/{id_}, {_token_mend()} of that account"
        case RepositoryNotFoundError() if error.response.status_code == 404:
            return (
                f"model {model}: {hub} has no repository {id_}: correct models.{model}.id (owner/name, as on the "
                f"model's page), or, if it is private, {_token_mend()} that may read it"
            )
        case HfHubHTTPError() if error.response.status_code in (401, 403):
            return (
                f"model {model}: {hub} does not give {id_} to you ({error.response.status_code}): it does not exist, "
                f"or is private or gated: check models.{model}.id, accept the licence on {hub}/{id_} if there is one, "
                f"{_token_mend()} that may read it"
            )
        case HFValidationError():
            return f"model {model}: '{id_}' is no repository id: give models.{model}.id as owner/name"
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
        f"({constants.HF_HUB_CACHE}): run again where there is a network (a download goes on from where it stopped), "
        "or use what needs none: source: embedded (config/config.yaml) or source: local"
    )


def _token_mend() -> str:
    return "set HF_TOKEN to a token" if get_token() is None else "set HF_TOKEN (there is one, it may not) to a token"


def _nearest(asked: Asked) -> str:
    """A revision of that repository with a name much like the one asked for; nothing where the hub does not say."""
    try:
        refs = HfApi(endpoint=constants.ENDPOINT).list_repo_refs(asked.id)
    except (httpx.HTTPError, ValueError, KeyError):
        return ""
    near = difflib.get_close_matches(asked.revision, [ref.name for ref in (*refs.branches, *refs.tags)], n=1)
    return f" (did you mean {near[0]}?)" if near else ""
