"""Fetch a named network from its hub, once, through the hub's own client."""

from __future__ import annotations

import errno
import importlib.util
import os

from imkin.errors import ImkinError, MissingExtraError, OutputError, UsageError
from imkin.models import cache
from imkin.models.cache import Trial
from imkin.models.cards import Card


def fetch(card: Card, trial: Trial, *, offline: bool = False, quiet: bool = False) -> tuple[str, str]:
    """Path and sha256 of a network's file: the one in the cache, else downloaded.

    trial: see `cache.Trial`. offline: never ask the network. quiet: no progress bar, of which without a terminal
    there is none anyway.
    UsageError: the hub has no such file, or another one than expected. ImkinError: the hub cannot be reached.
    """
    found = cache.verified(card, trial)
    if found is not None:
        return found
    if not card.files:
        raise UsageError(
            f"`{card.name}` is on no hub as ONNX: get its file ({card.source}) and run "
            f"`imkin models import {card.name} FILE`; `kin` needs no download"
        )
    if offline:
        raise UsageError(f"`{card.name}` is not here and --offline was given. {_by_hand(card)}")
    if importlib.util.find_spec("huggingface_hub") is None:
        raise MissingExtraError(f"downloading `{card.name}`", "models")
    with cache.workplace() as place:
        file, commit = _download(card, place, quiet=quiet)
        return cache.put(card, file, trial, commit=commit, how="downloaded")


def _by_hand(card: Card) -> str:
    return (
        f"Put {card.files[0]} of {card.source}, revision {card.revision or 'main'}, at {cache.path(card)}, "
        "or use --by kin, which needs no download"
    )


def _download(card: Card, place: str, *, quiet: bool) -> tuple[str, str]:
    """The complete file inside `place`, and the commit it is of."""
    # No word to anybody about who runs what; read by the client when it is imported.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import (
        EntryNotFoundError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils.tqdm import disable_progress_bars

    entry = cache.recorded(card)
    revision = card.revision or (entry.commit if entry else None) or "main"
    endpoint = os.environ.get("HF_ENDPOINT") or None
    if quiet:
        disable_progress_bars()
    for name in card.files:
        try:
            url = hf_hub_url(card.source, name, revision=revision, endpoint=endpoint)
            # Asked once: the download itself asks for 20 seconds before it says that there is no network.
            commit = get_hf_file_metadata(url, endpoint=endpoint).commit_hash
            link = hf_hub_download(card.source, name, revision=commit, cache_dir=place, endpoint=endpoint)
        except LocalEntryNotFoundError as error:
            raise ImkinError(_unreachable(card, error.__cause__ or error)) from error
        except RepositoryNotFoundError as error:
            raise UsageError(f"the hub has no repository {card.source}, or not for you. {_by_hand(card)}") from error
        except RevisionNotFoundError as error:
            raise UsageError(f"the hub has no revision {revision} of {card.source}. {_by_hand(card)}") from error
        except EntryNotFoundError:
            continue
        except Exception as error:  # the client's transport has errors of its own, which change with its version
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise OutputError(f"no room for `{card.name}` in {cache.folder()}: {error.strerror}") from error
            raise ImkinError(_unreachable(card, error)) from error
        return os.path.realpath(link), str(commit)
    raise UsageError(f"{card.source}, revision {revision}, has no file {' or '.join(card.files)}. {_by_hand(card)}")


def _unreachable(card: Card, error: BaseException) -> str:
    reason = str(error).strip().splitlines()
    return f"cannot download `{card.name}`: {reason[0] if reason else type(error).__name__}. {_by_hand(card)}"
