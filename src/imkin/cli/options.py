"""Every option of the command line, named once, so that it means the same in each command."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from imkin.image import Limits
    from imkin.library import Library
    from imkin.sources import Filter
    from imkin.types import Fingerprinter

_FILES = "Which files"
_NETWORKS = "For --by onnx:PATH or a named network"
_LIMITS = "Limits"
_RUN = "Run"

Paths = Annotated[
    list[str],
    typer.Argument(help="Folders, image files, archives, tables of URLs, videos.", show_default=False),
]
Threshold = Annotated[
    str | None,
    typer.Option(
        "--threshold",
        metavar="0..1|auto",
        help="Least similarity of a pair; default: the method's own; auto: as calibrated (auto:FILE: in FILE).",
    ),
]
MaxBits = Annotated[
    int | None, typer.Option("--max-bits", metavar="N", help="Instead: the most bits of a hash that may differ.")
]
GroupingName = Annotated[
    str,
    typer.Option(
        "--grouping",
        metavar="transitive|star|clique",
        help="transitive: whoever a chain links; star: all near one; clique: all near each other.",
    ),
]
Offline = Annotated[bool, typer.Option("--offline", help="Download nothing.")]
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


def _network(*names: str, help_text: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help_text, metavar=metavar, rich_help_panel=_NETWORKS)


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
    url_column: Annotated[
        str | None, _files("--url-column", metavar="NAME", help_text="Of a table: its URLs, by name or number from 1.")
    ] = None
    allow_private: Annotated[
        bool, _files("--allow-private", help_text="Of a table: also reach addresses of the local network.")
    ] = False
    max_pixels: Annotated[int, _limit("--max-pixels", metavar="N", help_text="Refuse larger pictures.")] = 178_000_000
    formats: Annotated[
        str | None, _limit("--formats", metavar="A,B", help_text="Read only these; default: all known.")
    ] = None
    tolerate_truncated: Annotated[
        bool, _limit("--tolerate-truncated", help_text="Take what a cut-off file still shows.")
    ] = False
    catalogue: Annotated[
        str | None,
        _run("--catalogue", metavar="FILE|postgresql://…", help_text="Memory of runs; default: in your cache folder."),
    ] = None
    no_catalogue: Annotated[bool, _run("--no-catalogue", help_text="Remember nothing.")] = False
    jobs: Annotated[int | None, _run("--jobs", "-j", metavar="N", help_text="Threads; default: one a processor.")] = (
        None
    )
    strict: Annotated[bool, _run("--strict", help_text="Exit with 3 if a file could not be read.")] = False
    verbose: Annotated[bool, _run("--verbose", "-v", help_text="Say more, every failure too.")] = False
    quiet: Annotated[bool, _run("--quiet", "-q", help_text="Nothing on stderr but errors.")] = False
    log_file: Annotated[str | None, _run("--log-file", metavar="FILE", help_text="Append a full log to FILE.")] = None

    def wanted(self) -> "Filter":
        """Which files of a folder these options ask for."""
        from imkin.errors import UsageError
        from imkin.sources import Filter

        if self.min_size < 0:
            raise UsageError(f"--min-size is a number of bytes, not {self.min_size}")
        return Filter(
            self.recursive,
            tuple(self.include or ()),
            tuple(self.exclude or ()),
            self.min_size,
            self.hidden,
            self.follow_links,
            self.url_column,
            self.allow_private,
        )

    def limits(self) -> "Limits":
        """What these options refuse to read."""
        from imkin.image import FORMATS, Limits

        names = (
            [_FORMAT_NAMES.get(name.strip().upper(), name.strip().upper()) for name in self.formats.split(",")]
            if self.formats
            else FORMATS
        )
        return Limits(self.max_pixels, tuple(names), self.tolerate_truncated)

    def library(self) -> "Library":
        """The library that these options describe."""
        from imkin.catalogue import default_path
        from imkin.errors import UsageError
        from imkin.library import Library

        wanted, limits = self.wanted(), self.limits()
        if self.catalogue and self.no_catalogue:
            raise UsageError("give --catalogue or --no-catalogue, not both")
        return Library(
            None if self.no_catalogue else self.catalogue or default_path(),
            jobs=self.jobs,
            limits=limits,
            wanted=wanted,
        )


@dataclass(frozen=True, slots=True)
class Method:
    """The options that say by what to compare."""

    by: Annotated[str, typer.Option("--by", metavar="METHOD", help="How to compare; see `imkin methods`.")] = "auto"
    turns: Annotated[bool, typer.Option("--turns", help="Also find turned and mirrored copies (8 positions).")] = False
    ssim_size: Annotated[
        int | None, typer.Option("--ssim-size", metavar="N", help="For ssim: compare at N pixels, not full size.")
    ] = None
    size: Annotated[str | None, _network("--size", metavar="auto|N", help_text="Give pictures at N pixels a side.")] = (
        None
    )
    mean: Annotated[
        str | None, _network("--mean", metavar="M|R,G,B", help_text="What is taken from pixels in 0..1.")
    ] = None
    std: Annotated[str | None, _network("--std", metavar="S|R,G,B", help_text="What they are divided by then.")] = None
    device: Annotated[
        str, _network("--device", metavar="auto|cpu|cuda|…", help_text="Where it runs; auto: cuda or cpu.")
    ] = "auto"
    offline: Annotated[bool, _network("--offline", help_text="Download nothing.")] = False

    def fingerprinter(self) -> "str | Fingerprinter":
        """The method to compare by. UsageError for an option that does not go with it."""
        from imkin.cli.models import network
        from imkin.errors import UsageError

        if self.ssim_size is None:
            return network(
                self.by, size=self.size, mean=self.mean, std=self.std, device=self.device, offline=self.offline
            )
        if self.by != "ssim":
            raise UsageError(f"--ssim-size goes with --by ssim, not with `{self.by}`")
        # SciPy's filters take 0.3 s to load.
        from imkin.prints import ssim

        return ssim.fingerprinter(size=self.ssim_size)


@dataclass(frozen=True, slots=True)
class Search:
    """The options that say what counts as a pair, and among which files."""

    threshold: Threshold = None
    max_bits: MaxBits = None
    across: Annotated[
        bool, typer.Option("--across", help="Compare only files of different PATHS (train and test, say).")
    ] = False
    reference: Annotated[
        list[str] | None,
        typer.Option("--reference", metavar="DIR", help="Find only copies of what DIR holds; DIR is never touched."),
    ] = None
    sample: Annotated[float, typer.Option("--sample", metavar="0..1", help="Look at a random share of the files.")] = (
        1.0
    )
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random choice.")] = 0

    def number(self) -> float | None:
        """The threshold, where only a number will do. UsageError for anything else."""
        from imkin.errors import UsageError

        try:
            return None if self.threshold is None else float(self.threshold)
        except ValueError:
            raise UsageError(f"the threshold must be a similarity in 0..1 here, not `{self.threshold}`") from None


@dataclass(frozen=True, slots=True)
class Scale:
    """The options that say where the work runs."""

    engine: Annotated[
        str, _run("--engine", metavar="local|processes|ray[:ADDRESS]", help_text="Where the work runs.")
    ] = "local"
    work: Annotated[
        str | None,
        _run("--work", metavar="DIR|URL", help_text="Keep the shards of the work here: resumes, and outgrows memory."),
    ] = None
    gpus_per_actor: Annotated[
        float, _run("--gpus-per-actor", metavar="N", help_text="With --engine ray: GPUs, or a share, of each worker.")
    ] = 0.0
    cells: Annotated[
        bool, _run("--cells", help_text="For vectors: compare within coarse cells; the recall is told.")
    ] = False


_FORMAT_NAMES = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": "HEIF", "JP2": "JPEG2000"}


EXPANDED = (Method, Search, Scale, Setup)


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace each parameter of a command that is a class of `EXPANDED` by the fields of that class, as options."""
    own = inspect.signature(command, eval_str=True).parameters
    groups = {name: parameter.annotation for name, parameter in own.items() if parameter.annotation in EXPANDED}

    @wraps(command)
    def wrapped(**values: Any) -> None:
        made = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**values, **made)

    expanded: list[inspect.Parameter] = []
    for name, parameter in own.items():
        if name in groups:
            expanded += [
                inspect.Parameter(
                    field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type
                )
                for field in fields(groups[name])
            ]
        else:
            expanded.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    wrapped.__signature__ = inspect.Signature(expanded)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in expanded}
    return wrapped
