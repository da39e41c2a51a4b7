"""Picture of a conversion: mel and F0 of source and result, loudness of both, and the slices."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from webui.language import Say, in_language
from webui.session import SHOWN, ConvertedSong
from webui.texts import TEXTS

if TYPE_CHECKING:
    import gradio as gr
    from PIL.Image import Image as Picture

_POINTS = 2000  # of a loudness curve


def picture_texts(request: gr.Request | None) -> Say:
    """Texts for pictures: in the page's language, or in English if no installed font has its letters."""
    from inference.speaker_mix.plot import fonts

    say = in_language(request)
    letters = "".join(say(key) for key in TEXTS if key.startswith("picture."))
    return say if fonts(letters)[1] >= set(letters) else in_language(None)


def draw_conversion(converted: ConvertedSong, request: gr.Request | None = None) -> Picture:
    """Draw both mels with their F0 over the first 30 s, and the loudness of the whole song.

    Raises AudioError if one of the recordings no longer exists.
    """
    from matplotlib.figure import Figure
    from PIL import Image

    from inference.source import SourceAudio
    from inference.speaker_mix.plot import use_fonts
    from webui.uploads import temporary_folder

    say, rate, hop = picture_texts(request), converted.sampling_rate, converted.hop_length
    figure = Figure(figsize=(11, 8), layout="constrained")
    axes = figure.subplots(3, 1)
    paths = {"source": converted.task.song, "result": converted.task.result}
    conversion, result_f0 = converted.conversion, converted.result_f0
    tracks = {"source": conversion.f0[: len(result_f0)], "result": result_f0}
    begin = {"source": round(conversion.start * rate), "result": 0}  # of a preview
    colours = {"source": "tab:blue", "result": "tab:orange"}
    with temporary_folder() as folder:
        for axis, (name, path) in zip(axes, paths.items(), strict=False):
            with SourceAudio(path, rate, folder) as source:
                length = round(min(conversion.seconds, SHOWN) * rate)
                audio = source.read(begin[name], begin[name] + length)
                shown = {other: tracks[other] for other in tracks if name in (other, "result")}
                _mel(axis, audio, shown, converted, say)
                seconds, first = source.seconds, begin["source"] / rate if name == "result" else 0.0
                _loudness(axes[2], source.rms, first, seconds, say(f"picture.{name}"), colours[name])
            cut = say("picture.first").format(seconds=SHOWN) if conversion.seconds > SHOWN else ""
            axis.set_title(say(f"picture.{name}") + cut, fontsize=10)
    for chunk in conversion.chunks:
        if not chunk.silent:
            axes[2].axvspan(chunk.start / rate, chunk.end / rate, color="tab:green", alpha=0.12, linewidth=0)
            axes[2].axvline(chunk.start / rate, color="tab:green", linewidth=0.7)
    axes[2].set_xlim(conversion.start, conversion.start + max(conversion.seconds, hop / rate))
    axes[2].set_ylim(-80, 3)
    axes[2].set_ylabel(say("picture.loudness"))
    axes[2].set_xlabel(say("picture.slices"))
    axes[2].legend(loc="lower right", ncols=2, fontsize=8)
    use_fonts(figure)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=90)
    return Image.open(content)


def _mel(
    axis: Any, audio: np.ndarray, tracks: dict[str, np.ndarray], converted: ConvertedSong, say: Say
) -> None:
    import torch

    from modules.config import DataConfig
    from modules.dsp.mel import LogMel

    rate, hop = converted.sampling_rate, converted.hop_length
    image = LogMel(DataConfig(sampling_rate=rate, hop_length=hop))(torch.from_numpy(audio)[None])[0].numpy()
    seconds = image.shape[1] * hop / rate
    axis.imshow(
        image, origin="lower", aspect="auto", cmap="magma", vmin=-10, vmax=1, extent=(0, seconds, 0, 1)
    )
    axis.set_yticks([])
    axis.set_ylabel(say("picture.mel"))
    over = axis.twinx()
    for (name, f0), colour in zip(tracks.items(), ("cyan", "lime"), strict=False):
        times = np.arange(len(f0)) * hop / rate
        label = say(f"picture.f0.{name}")
        over.plot(times, np.where(f0 > 0, f0, np.nan), color=colour, linewidth=1.2, label=label)
    over.set_yscale("log", base=2)
    over.yaxis.set_major_formatter("{x:.0f}")
    over.set_ylim(60, 1200)
    over.set_ylabel(say("picture.f0"))
    over.legend(loc="upper right", fontsize=8)


def _loudness(axis: Any, rms: np.ndarray, start: float, seconds: float, name: str, colour: str) -> None:
    width = -(-len(rms) // _POINTS)
    loudest = np.pad(rms, (0, -len(rms) % width)).reshape(-1, width).max(axis=1)
    times = start + np.linspace(0, seconds, len(loudest))
    axis.plot(times, 20 * np.log10(np.maximum(loudest, 1e-5)), color=colour, linewidth=0.9, label=name)
