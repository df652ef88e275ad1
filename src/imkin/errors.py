"""Errors of set-up and use. One bad file is never one of these: it is a `Failure` (see `types`).

ImkinError                the command line ends with exit code 2
├── UsageError            an argument that cannot be: unknown method, threshold outside 0..1, …
│   └── MissingPathError  a root, file or folder that is not there or cannot be read
├── OutputError           an output that cannot be written: no permission, a full disk, a file in the way
├── CatalogueError        a catalogue that is corrupt, newer than this program, or locked too long
├── MissingExtraError     a part that is not installed; the message holds the line that installs it
├── LostWorkError         work that no worker finished: each that took it died
└── StoppedError          the caller asked for the end; what was done is kept
"""

EXIT_DONE = 0
EXIT_FOUND = 1
EXIT_USAGE = 2
EXIT_FAILURES = 3
EXIT_INTERRUPTED = 130


class ImkinError(Exception):
    """Base of all errors that imkin raises on purpose; its text is one line for a person to read."""


class UsageError(ImkinError):
    """An argument that cannot be; the message names it, what was expected, and what to do."""


class MissingPathError(UsageError):
    """A root, file or folder that is not there or cannot be read. Never treated as «no files»."""


class OutputError(ImkinError):
    """An output that cannot be written. What was begun is removed before this is raised."""


class CatalogueError(ImkinError):
    """A catalogue that is corrupt, newer than this program, or locked. It is never deleted."""


class MissingExtraError(ImkinError):
    """An optional part that is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra `{extra}`: pip install 'imkin[{extra}]'")


class LostWorkError(ImkinError):
    """Work that no worker finished: each that took it died. What was written to the work folder is kept."""


class StoppedError(ImkinError):
    """The caller asked the work to stop. What was done is kept; the next run goes on from there."""
