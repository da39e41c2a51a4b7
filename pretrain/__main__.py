"""Download the published weights that speech encoders, vocoders, F0 predictors and separators need."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from modules.common.cli import entry_point, make_parser
from modules.common.errors import ConfigError, GlowSVCError, MissingWeightsError
from modules.f0_predictor import F0_PREDICTORS
from modules.pretrained.weights import WEIGHTS, find_weights, folder
from separation import SEPARATORS
from vdecoder import VOCODERS
from vencoder import ENCODERS

REGISTRIES = (ENCODERS, VOCODERS, F0_PREDICTORS, SEPARATORS)
EPILOG = """\
examples:
  python -m pretrain --list                          what is available, and what is installed
  python -m pretrain vec768l12 nsf-hifigan rmvpe     what the published workflow needs
  python -m pretrain --check                         are the installed files intact?
  python -m pretrain wavlmbase+ --url 'https://...'  from another address

Run it again after an interruption: it continues where it ended. HF_ENDPOINT names a mirror of
huggingface.co, HTTPS_PROXY a proxy, GLOW_SVC_PRETRAIN the folder of the weights for every script.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = make_parser(__doc__, EPILOG, prog="python -m pretrain")
    add = parser.add_argument
    add(
        "names",
        nargs="*",
        metavar="name",
        help="speech encoders, vocoders, F0 predictors, separators; see --list",
    )
    add("--all", action="store_true", help="everything that can be downloaded")
    add("--list", action="store_true", help="list what is available and download nothing")
    add("--markdown", action="store_true", help="with --list: as docs/weights.md has it")
    add("--check", action="store_true", help="compare the installed files with their checksums")
    add("--folder", type=Path, help="where to (default: GLOW_SVC_PRETRAIN, or pretrain/ of the project)")
    add("--url", help="download the one file that is named from this address")
    return parser


def resolve(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Look up the keys of the files that ``names`` need, and the names that need none.

    A name is that of a part, or a key of the table of weights; raises ConfigError for others.
    """
    keys: dict[str, None] = {}
    free = []
    for name in names:
        registry = next((registry for registry in REGISTRIES if name in registry), None)
        key = registry[name].weights if registry is not None else name
        if key is None:
            free.append(name)
        elif key in WEIGHTS:
            keys[key] = None
        else:
            every = dict.fromkeys(part for registry in REGISTRIES for part in registry) | WEIGHTS
            raise ConfigError(f"there is no {name!r}; choose from: {', '.join(every)}")
    return list(keys), free


def parts_of(key: str | None) -> list[str]:
    """Names of the parts that need the file of ``key``; None: those that need no download."""
    return [name for registry in REGISTRIES for name, spec in registry.items() if spec.weights == key]


def size_of(key: str) -> str:
    """Size of the download, as far as that is published."""
    size = next((source.size for source in WEIGHTS[key].sources), None)
    if size is None:
        return "-"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def as_list(root: Path) -> Iterator[str]:
    """Lines of the table, with what is in ``root``."""
    for key, entry in WEIGHTS.items():
        there = "there" if find_weights(key, root) else "missing"
        yield f"{', '.join(parts_of(key)):28} {there:8} {size_of(key):>7}  {root / entry.file}"
        yield f"{'':28} {entry.purpose} Licence: {entry.licence}."
    yield f"{', '.join(parts_of(None))} need no download."


def as_markdown() -> Iterator[str]:
    """Lines of the table for docs/weights.md, the same on every machine."""
    yield "| name | file under pretrain/ | size | licence | what for |"
    yield "|---|---|---|---|---|"
    for key, entry in WEIGHTS.items():
        names = ", ".join(f"`{name}`" for name in parts_of(key))
        files = ", ".join(f"`{name}`" for name in entry.files)
        yield f"| {names} | {files} | {size_of(key)} | {entry.licence} | {entry.purpose} |"
    yield ""
    yield "| file | from | sha256 |"
    yield "|---|---|---|"
    for entry in WEIGHTS.values():
        for source in entry.sources:
            known = f"`{source.sha256}`" if source.sha256 else None
            sha256 = known or "not published; recorded at the first download"
            yield f"| `{entry.file}` | <{source.url}> | {sha256} |"
        if entry.by_hand:
            yield f"| `{entry.file}` | by hand: {entry.by_hand} | |"
    yield ""
    yield f"No download is needed for {', '.join(f'`{name}`' for name in parts_of(None))}."


def for_each(keys: Sequence[str], work: Callable[[str], object]) -> None:
    """Download or check each key, whatever comes of the others; raises the last error, prints the others."""
    from modules.pretrained.checksums import ChangedWeightsError

    errors: list[GlowSVCError] = []
    for key in keys:
        try:
            work(key)
        except (MissingWeightsError, ChangedWeightsError) as error:
            errors.append(error)
    for earlier in errors[:-1]:
        print(f"python -m pretrain: {earlier}", file=sys.stderr)
    if errors:
        raise errors[-1]


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Download, list or check weights; returns the exit code."""
    args = get_parser().parse_args(argv)
    root = args.folder or folder()
    keys, free = resolve(args.names)
    if args.list:
        print("\n".join(as_markdown() if args.markdown else as_list(root)))
        return 0
    for name in free:
        print(f"{name} needs no download")
    if args.check:
        from modules.pretrained.checksums import check

        here = [key for key in WEIGHTS if find_weights(key, root)]
        for_each(keys if args.names else here, lambda key: print(check(key, root), flush=True))
        return 0
    if args.all:
        keys = [key for key, entry in WEIGHTS.items() if entry.sources]
    if not keys and not free:
        raise ConfigError("name what to download, such as vec768l12, or use --all or --list")
    if args.url and len(keys) != 1:
        raise ConfigError("--url goes with the name of one file")
    if keys:
        from modules.pretrained.install import install

        for_each(keys, lambda key: install(key, root, args.url))
    if args.folder and keys:
        print(f"set GLOW_SVC_PRETRAIN={args.folder.resolve()} so that the other scripts look there too")
    return 0


if __name__ == "__main__":
    sys.exit(main())
