"""Download the published weights that speech encoders, vocoders and F0 predictors need."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modules.common.cli import entry_point, make_parser
from modules.common.errors import ConfigError, MissingWeightsError
from modules.f0_predictor import F0_PREDICTORS
from modules.pretrained.weights import WEIGHTS, find_weights, folder
from vdecoder import VOCODERS
from vencoder import ENCODERS

if TYPE_CHECKING:
    from tqdm import tqdm

REGISTRIES = (ENCODERS, VOCODERS, F0_PREDICTORS)
EPILOG = """\
examples:
  python -m pretrain --list                          what there is, and what is here
  python -m pretrain vec768l12 nsf-hifigan rmvpe     what the published workflow needs
  python -m pretrain --check                         is what is here still as it was published?
  python -m pretrain wavlmbase+ --url 'https://...'  from another address

Run it again after an interruption: it continues where it ended. HF_ENDPOINT names a mirror of
huggingface.co, HTTPS_PROXY a proxy, GLOW_SVC_PRETRAIN the folder of the weights for every script.
"""


def get_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = make_parser(__doc__, EPILOG, prog="python -m pretrain")
    add = parser.add_argument
    add("names", nargs="*", metavar="name", help="speech encoders, vocoders, F0 predictors; see --list")
    add("--all", action="store_true", help="everything that can be downloaded")
    add("--list", action="store_true", help="show what there is and download nothing")
    add("--markdown", action="store_true", help="with --list: as docs/weights.md has it")
    add("--check", action="store_true", help="compare the files that are here with their checksums")
    add("--folder", type=Path, help="where to (default: GLOW_SVC_PRETRAIN, or pretrain/ of the project)")
    add("--url", help="download the one file that is named from this address")
    return parser


def resolve(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the keys of the files that ``names`` need, and the names that need none.

    A name is that of a part, or a key of the table of weights.

    Raises:
        ConfigError: There is no such name.
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


def parts_of(key: str) -> list[str]:
    """Return the names of the parts that need the file of ``key``."""
    return [name for registry in REGISTRIES for name, spec in registry.items() if spec.weights == key]


def parts_without_weights() -> list[str]:
    """Return the names of the parts that need no download."""
    return [name for registry in REGISTRIES for name, spec in registry.items() if spec.weights is None]


def size_of(key: str) -> str:
    """Return how large the download is, as far as that is published."""
    size = next((source.size for source in WEIGHTS[key].sources), None)
    if size is None:
        return "-"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def as_list(root: Path) -> Iterator[str]:
    """Yield the lines of the table, with what is in ``root``."""
    for key, entry in WEIGHTS.items():
        there = "there" if find_weights(key, root) else "missing"
        yield f"{', '.join(parts_of(key)):28} {there:8} {size_of(key):>7}  {root / entry.file}"
        yield f"{'':28} {entry.purpose} Licence: {entry.licence}."
    yield f"{', '.join(parts_without_weights())} need no download."


def as_markdown() -> Iterator[str]:
    """Yield the lines of the table for docs/weights.md, the same on every machine."""
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
            yield f"| `{entry.file}` | <{source.url}> | {_published(source.sha256)} |"
        if entry.by_hand:
            yield f"| `{entry.file}` | by hand: {entry.by_hand} | |"
    yield ""
    yield f"No download is needed for {', '.join(f'`{name}`' for name in parts_without_weights())}."


def _published(sha256: str | None) -> str:
    return f"`{sha256}`" if sha256 else "not published; recorded at the first download"


def _bar(total: int | None, initial: int) -> tqdm:
    from modules.common.progress import progress_bar

    return progress_bar(total=total, initial=initial, unit="B", unit_scale=True, mininterval=0.5, leave=True)


def _say(text: str) -> None:
    print(text, flush=True)


def download(keys: Sequence[str], root: Path, url: str | None) -> None:
    """Download the files of ``keys``; one that fails does not keep the others from coming."""
    from modules.pretrained.install import install

    failed = []
    for key in keys:
        try:
            install(key, root, _say, _bar, url)
        except MissingWeightsError as error:
            failed.append(error)
    for earlier in failed[:-1]:
        print(f"python -m pretrain: {earlier}", file=sys.stderr)
    if failed:
        raise failed[-1]


def verify(keys: Sequence[str], root: Path) -> None:
    """Compare the files of ``keys`` with their checksums; raises ConfigError if one is wrong."""
    from modules.pretrained.install import check

    wrong = []
    for key in keys:
        good, found = check(key, root)
        if good:
            _say(found)
        else:
            wrong.append(found)
    if wrong:
        raise ConfigError("; ".join(wrong))


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Download, list or check weights; return the exit code."""
    args = get_parser().parse_args(argv)
    root = args.folder or folder()
    keys, free = resolve(args.names)
    if args.list:
        print("\n".join(as_markdown() if args.markdown else as_list(root)))
        return 0
    for name in free:
        print(f"{name} needs no download")
    if args.check:
        here = [key for key in WEIGHTS if find_weights(key, root)]
        verify(keys if args.names else here, root)
        return 0
    if args.all:
        keys = [key for key, entry in WEIGHTS.items() if entry.sources]
    if not keys and not free:
        raise ConfigError("name what to download, such as vec768l12, or use --all or --list")
    if args.url and len(keys) != 1:
        raise ConfigError("--url goes with the name of one file")
    download(keys, root, args.url)
    if args.folder and keys:
        print(f"set GLOW_SVC_PRETRAIN={args.folder.resolve()} so that the other scripts look there too")
    return 0


if __name__ == "__main__":
    sys.exit(main())
