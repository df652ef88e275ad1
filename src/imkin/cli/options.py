"""Every option of the command line, named once, so that it means the same in each command."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from imkin.library import Library

_FILES = "Which files"
_LIMITS = "Limits"
_RUN = "Run"

Paths = Annotated[list[str], typer.Argument(help="Folders and image files.", show_default=False)]
By = Annotated[str, typer.Option("--by", metavar="METHOD", help="How to compare; see `imkin methods`.")]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", metavar="0..1", help="Least similarity of a pair; default: the method's own."),
]
MaxBits = Annotated[
    int | None, typer.Option("--max-bits", metavar="N", help="Instead: the most bits of a hash that may differ.")
]
Turns = Annotated[bool, typer.Option("--turns", help="Also find turned and mirrored copies (8 positions).")]
GroupingName = Annotated[
    str,
    typer.Option(
        "--grouping",
        metavar="transitive|star|clique",
        help="transitive: whoever a chain links; star: all near one; clique: all near each other.",
    ),
]
Across = Annotated[bool, typer.Option("--across", help="Compare only files of different PATHS (train and test, say).")]
Reference = Annotated[
    list[str] | None,
    typer.Option("--reference", metavar="DIR", help="Find only copies of what DIR holds; DIR is never touched."),
]
SampleRatio = Annotated[float, typer.Option("--sample", metavar="0..1", help="Look at a random share of the files.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of every random choice.")]
SsimSize = Annotated[
    int | None, typer.Option("--ssim-size", metavar="N", help="For ssim: compare at N pixels, not full size.")
]
Bundle = Annotated[
    bool, typer.Option("--bundle/--no-bundle", help="Sidecars, labels, RAW and video go with their image.")
]
Out = Annotated[str | None, typer.Option("--out", metavar="DIR", help="Folder for the report.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
FailIfFound = Annotated[bool, typer.Option("--fail-if-found", help="Exit with 1 if anything was found.")]


def _files(*names: str, help_text: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help_text, metavar=metavar, rich_help_panel=_FILES)


def _limit(*names: str, help_text: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help_text, metavar=metavar, rich_help_panel=_LIMITS)


def _run(*names: str, help_text: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help_text, metavar=metavar, rich_help_panel=_RUN)


@dataclass(frozen=True, slots=True)
class Setup:
    """The options that every command over files has: which files, limits, and how to run."""

    recursive: Annotated[bool, _files("--recursive/--no-recursive", help_text="Look into subfolders.")] = True
    include: Annotated[list[str] | None, _files("--include", metavar="GLOB", help_text="Only these names.")] = None
    exclude: Annotated[
        list[str] | None, _files("--exclude", metavar="GLOB", help_text="Not these names, folders or paths.")
    ] = None
    min_size: Annotated[int, _files("--min-size", metavar="BYTES", help_text="Skip smaller files.")] = 0
    hidden: Annotated[bool, _files("--hidden", help_text="Also names that start with a dot.")] = False
    follow_links: Annotated[bool, _files("--follow-links", help_text="Follow symbolic links.")] = False
    max_pixels: Annotated[int, _limit("--max-pixels", metavar="N", help_text="Refuse larger pictures.")] = 178_000_000
    formats: Annotated[
        str | None, _limit("--formats", metavar="A,B", help_text="Read only these; default: all known.")
    ] = None
    tolerate_truncated: Annotated[
        bool, _limit("--tolerate-truncated", help_text="Take what a cut-off file still shows.")
    ] = False
    catalogue: Annotated[
        str | None,
        _run("--catalogue", metavar="FILE", help_text="Where fingerprints are kept; default: your cache folder."),
    ] = None
    no_catalogue: Annotated[bool, _run("--no-catalogue", help_text="Remember nothing.")] = False
    jobs: Annotated[int | None, _run("--jobs", "-j", metavar="N", help_text="Threads; default: one a processor.")] = (
        None
    )
    strict: Annotated[bool, _run("--strict", help_text="Exit with 3 if a file could not be read.")] = False
    verbose: Annotated[bool, _run("--verbose", "-v", help_text="Say more, every failure too.")] = False
    quiet: Annotated[bool, _run("--quiet", "-q", help_text="Nothing on stderr but errors.")] = False
    log_file: Annotated[str | None, _run("--log-file", metavar="FILE", help_text="Append a full log to FILE.")] = None

    def library(self) -> "Library":
        """The library that these options describe."""
        from imkin.catalogue import default_path
        from imkin.errors import UsageError
        from imkin.image import FORMATS, Limits
        from imkin.library import Library
        from imkin.sources import Filter

        if self.catalogue and self.no_catalogue:
            raise UsageError("give --catalogue or --no-catalogue, not both")
        names = (
            [_FORMAT_NAMES.get(name.strip().upper(), name.strip().upper()) for name in self.formats.split(",")]
            if self.formats
            else FORMATS
        )
        return Library(
            None if self.no_catalogue else self.catalogue or default_path(),
            jobs=self.jobs,
            limits=Limits(self.max_pixels, tuple(names), self.tolerate_truncated),
            wanted=Filter(
                self.recursive,
                tuple(self.include or ()),
                tuple(self.exclude or ()),
                self.min_size,
                self.hidden,
                self.follow_links,
            ),
        )


_FORMAT_NAMES = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": "HEIF", "JP2": "JPEG2000"}


def takes_setup(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's parameter `setup` by the fields of `Setup`, as options."""
    own = inspect.signature(command, eval_str=True)
    names = [field.name for field in fields(Setup)]

    @wraps(command)
    def wrapped(**values: Any) -> None:
        setup = Setup(**{name: values.pop(name) for name in names})
        command(**values, setup=setup)

    expanded = [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in fields(Setup)
    ]
    kept = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in own.parameters.values()
        if parameter.name != "setup"
    ]
    wrapped.__signature__ = inspect.Signature([*kept, *expanded])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in (*kept, *expanded)}
    return wrapped
