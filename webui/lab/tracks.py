"""Dynamic mix: an editor for speaker mixes along the song, checked as the conversion checks them."""

from __future__ import annotations

import html
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from inference.speaker_mix import SpeakerMix
from inference.speaker_mix.file import read_mix_file
from modules.common.errors import ConfigError, GlowSVCError
from modules.common.files import write_json
from modules.config import Config, load_config
from webui.context import Context
from webui.convert.picture import picture_texts
from webui.language import Say, in_language
from webui.menus import auto_refresh
from webui.paths import VOICE_MODELS, find_models, inside, plain_name
from webui.texts import TEXTS

FOLDER = Path("configs") / "mixes"  # of saved mixes, in the project
_COLUMNS = ("speaker", "start", "end", "low", "high")

Row = list[Any]  # speaker, start, end, value at start, value at end; as typed


def build(context: Context) -> None:
    """Lay out the part."""
    text, root = context.text, context.root
    on = partial(context.on, show_progress="hidden")
    with gr.Row():
        model = gr.Dropdown(
            [],
            label=text("lab.tracks.model"),
            info=text("lab.tracks.model.info"),
            scale=3,
            min_width=240,
        )
        seconds = gr.Number(180, minimum=1, label=text("lab.tracks.seconds"), min_width=160)
    with gr.Row():
        even = gr.Button(text("lab.tracks.even"), min_width=160)
        fade = gr.Button(text("lab.tracks.fade"), min_width=160)
    table = gr.Dataframe(
        headers=[TEXTS[f"lab.column.{name}"][0] for name in _COLUMNS],
        datatype=["str", "number", "number", "number", "number"],
        column_count=len(_COLUMNS),
        type="array",
        interactive=True,
        label=text("lab.tracks.table"),
        visible=False,  # until a model is chosen
    )
    with gr.Row():
        speaker = gr.Dropdown([], label=text("lab.tracks.speaker"), min_width=160)
        split = gr.Button(text("lab.tracks.split"), min_width=160)
        join = gr.Button(text("lab.tracks.join"), min_width=160)
    message = gr.Markdown()
    picture = gr.Image(show_label=False, interactive=False, visible=False, buttons=[])
    with gr.Row():
        name = gr.Textbox("mix", label=text("lab.tracks.name"), max_lines=1, min_width=160)
        overwrite = gr.Checkbox(label=text("lab.overwrite"), info=text("lab.overwrite.info"), min_width=160)
        save = gr.Button(text("lab.tracks.save"), variant="primary", min_width=120)
        file = gr.Dropdown(saved_mixes(root), label=text("lab.tracks.file"), min_width=160)
        load = gr.Button(text("lab.tracks.open"), min_width=120)

    def edit(make: Callable[..., list[Row]], trigger: Callable[..., Any], *inputs: Any) -> None:
        """Let ``trigger`` fill the table with the rows from ``make``."""

        def show(request: gr.Request, *values: Any) -> Any:
            return _table(make(*values), request)

        on(trigger, show, list(inputs), table)

    def speakers(model: str | None) -> list[str]:
        return list(config_beside(root, model).spk)

    def choose(request: gr.Request, model: str | None) -> Any:
        if not model:
            return gr.skip()
        names = speakers(model)
        return _table(crossfade_rows(names), request), gr.Dropdown(names, value=names[0] if names else None)

    def check(request: gr.Request, rows: list[Row], model: str | None, seconds: float) -> Any:
        if not model:
            return "", gr.Image(visible=False)
        try:
            mix = parse_mix(rows, config_beside(root, model))
        except GlowSVCError as error:
            return f"⚠ {html.escape(str(error))}", gr.Image(visible=False)
        return f"✓ {in_language(request)('lab.tracks.fine')}", gr.Image(
            _draw_mix(mix, seconds, picture_texts(request)), visible=True
        )

    def write(request: gr.Request, rows: list[Row], model: str | None, name: str, overwrite: bool) -> Any:
        path = save_mix(root, rows, config_beside(root, model), name, overwrite)
        gr.Info(in_language(request)("lab.tracks.saved").format(path=path.as_posix()))
        return gr.Dropdown(saved_mixes(root), value=path.as_posix())

    def read(file: str | None, model: str | None) -> list[Row]:
        return open_mix(root, file, config_beside(root, model))

    auto_refresh((model, lambda: find_models(root, VOICE_MODELS)), (file, lambda: saved_mixes(root)))
    on(model.change, choose, model, [table, speaker])
    edit(lambda model: equal_rows(speakers(model)), even.click, model)
    edit(lambda model: crossfade_rows(speakers(model)), fade.click, model)
    edit(split_last, split.click, table, speaker)
    edit(join_last, join.click, table, speaker)
    edit(read, load.click, file, model)
    changes = partial(gr.on, [table.change, seconds.change, model.change], trigger_mode="always_last")
    on(changes, check, [table, model, seconds], [message, picture])
    on(save.click, write, [table, model, name, overwrite], file)


def config_beside(root: Path, model: str | None) -> Config:
    """Configuration of a model of the project; raises ConfigError without one, or without speakers."""
    path = (root / inside(root, model, "a voice model")).with_name("config.json")
    config = load_config(path)
    if not config.spk:
        raise ConfigError(f"{path.relative_to(root)} names no speakers")
    return config


def crossfade_rows(names: Sequence[str]) -> list[Row]:
    """Rows that cross-fade from each speaker to the next along the song."""
    if len(names) < 2:
        return equal_rows(names)
    rows: list[Row] = []
    last = len(names) - 1
    for i, name in enumerate(names):
        for part in range(last):
            start, end = (round(edge / last, 4) for edge in (part, part + 1))
            rows.append([name, start, end, float(part == i), float(part + 1 == i)])
    return rows


def equal_rows(names: Sequence[str]) -> list[Row]:
    """Rows in which all speakers have the same share."""
    return [[name, 0.0, 1.0, 1.0, 1.0] for name in names]


def split_last(rows: list[Row], speaker: str | None) -> list[Row]:
    """The rows with a speaker's last segment split in its middle.

    Raises:
        ConfigError: The speaker has no segment, or it is not numeric.
    """
    position = _positions(rows, speaker)[-1]
    start, end, low, high = _numbers(rows[position])
    if not start < end:
        raise ConfigError(f"the last segment of {speaker} does not end after it starts")
    middle, value = round((start + end) / 2, 6), round((low + high) / 2, 6)
    halves = [[speaker, start, middle, low, value], [speaker, middle, end, value, high]]
    return [*rows[:position], *halves, *rows[position + 1 :]]


def join_last(rows: list[Row], speaker: str | None) -> list[Row]:
    """The rows with a speaker's last two segments joined; raises ConfigError as :func:`split_last`."""
    positions = _positions(rows, speaker)
    if len(positions) < 2:
        raise ConfigError(f"{speaker} has only one segment")
    first, last = positions[-2:]
    start, _, low, _ = _numbers(rows[first])
    _, end, _, high = _numbers(rows[last])
    joined = [*rows[:first], [speaker, start, end, low, high], *rows[first + 1 :]]
    return [row for i, row in enumerate(joined) if i != last]


def parse_tracks(rows: Sequence[Row]) -> dict[str, list[list[Any]]]:
    """Segments of each speaker; cells that are not numbers stay as they are, for the error message."""
    tracks: dict[str, list[list[Any]]] = {}
    for name, *cells in rows:
        if _is_empty(name) and all(map(_is_empty, cells)):
            continue
        tracks.setdefault(str(name).strip(), []).append([_number(cell) for cell in cells])
    return tracks


def parse_mix(rows: Sequence[Row], config: Config) -> SpeakerMix:
    """The mix in a table; raises ConfigError with the rule that it breaks."""
    return SpeakerMix(parse_tracks(rows), config.spk, config.model.n_speakers, "the table")


def saved_mixes(root: Path) -> list[str]:
    """Saved mixes of the project, and spkmix.py."""
    found = sorted(path.relative_to(root).as_posix() for path in (root / FOLDER).glob("*.json"))
    return [*found, *(["spkmix.py"] if (root / "spkmix.py").is_file() else [])]


def save_mix(
    root: Path, rows: Sequence[Row], config: Config, name: str | None, overwrite: bool = False
) -> Path:
    """Write a mix; return its path relative to ``root``.

    Raises:
        ConfigError: The mix or its name is not valid, or another of that name is not to be overwritten.
    """
    path = FOLDER / f"{plain_name(name, 'the name of the mix')}.json"
    parse_mix(rows, config)
    if (root / path).exists() and not overwrite:
        raise ConfigError(f"{path} exists; choose another name, or tick Overwrite")
    write_json(root / path, parse_tracks(rows))
    return path


def open_mix(root: Path, file: str | None, config: Config) -> list[Row]:
    """Rows of a saved mix, with names of speakers; raises ConfigError if it is not valid."""
    path = inside(root, file, "a saved mix")
    tracks = read_mix_file(root / path)
    SpeakerMix(tracks, config.spk, config.model.n_speakers, path)
    names = {str(number): name for name, number in config.spk.items()}
    return [[names.get(str(key), str(key)), *segment] for key, track in tracks for segment in track]


def _table(rows: Sequence[Row], request: gr.Request) -> Any:
    """Table of ``rows``, with headers in the language of the page."""
    say = in_language(request)
    headers = [say(f"lab.column.{name}") for name in _COLUMNS]
    return gr.Dataframe({"headers": headers, "data": list(rows)}, visible=True)


def _draw_mix(mix: SpeakerMix, seconds: float | None, say: Say) -> Any:
    from PIL import Image

    from inference.speaker_mix.plot import write_mix_plot

    length = seconds if seconds and math.isfinite(seconds) and seconds > 0 else 1.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mix.png"
        write_mix_plot(path, mix, length, (say("picture.seconds"), say("picture.share")))
        with Image.open(path) as image:
            return image.copy()


def _positions(rows: Sequence[Row], speaker: str | None) -> list[int]:
    positions = [i for i, row in enumerate(rows) if str(row[0]).strip() == speaker]
    if not positions:
        raise ConfigError(f"{speaker} has no segment in the table" if speaker else "choose a speaker first")
    return positions


def _numbers(row: Row) -> list[float]:
    numbers = [_number(cell) for cell in row[1:]]
    if not all(isinstance(number, float) and math.isfinite(number) for number in numbers):
        raise ConfigError(
            f"a segment of {row[0]} contains a value that is not a number: {json.dumps(row[1:], default=str)}"
        )
    return numbers


def _number(cell: Any) -> Any:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return cell


def _is_empty(cell: Any) -> bool:
    return cell in (None, "") or cell != cell  # NaN
