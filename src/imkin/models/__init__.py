"""Networks: named ones from the hub, and the user's own; `kin`'s file lies here too.

cards     what is known of each named network        own       the card beside the user's own file
network   pictures to unit vectors                   cut       a classifier before its last layer
download  from the hub                               cache     files, sha256 sums and the ledger
convert   SSCD's TorchScript file to ONNX            (the runtime itself is opened by `prints.session`)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imkin.prints import OWN

__all__ = ["OWN", "default_threshold", "fingerprinter"]

if TYPE_CHECKING:
    from imkin.models.network import Mean, Network, Size


def fingerprinter(
    name: str,
    *,
    size: Size = None,
    mean: Mean = None,
    std: Mean = None,
    device: str = "auto",
    offline: bool = False,
    quiet: bool = False,
) -> Network:
    """The method of a named network or of `onnx:PATH`; see `network.fingerprinter`."""
    from imkin.models import network

    return network.fingerprinter(name, size=size, mean=mean, std=std, device=device, offline=offline, quiet=quiet)


def default_threshold(name: str) -> float:
    """The least cosine at which a named network calls two pictures alike; nothing is opened or downloaded."""
    from imkin.models.cards import CARDS

    return CARDS[name].threshold
