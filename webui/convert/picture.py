"""A conversion as a picture: what was sung, what came of it, how loud both are, and where it was cut."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from webui.language import in_language
from webui.session import SHOWN, Made
from webui.texts.pictures import TEXTS

if TYPE_CHECKING:
    import gradio as gr

_POINTS = 2000  # of a loudness curve; more are not seen


def words(request: gr.Request | None) -> Callable[[str], str]:
    """Return the words in pictures: in the page's language, or in English if no font here has its letters."""
    from inference.speaker_mix.plot import fonts

    say = in_language(TEXTS, request)
    letters = "".join(map(say, TEXTS))
    return say if fonts(letters)[1] >= set(letters) else in_language(TEXTS, None)


def draw(made: Made, request: gr.Request | None = None) -> bytes:
    """Return a PNG of both mels with their F0, and of the loudness with the slices.

    The mels show the first 30 s, the loudness all of the song.

    Raises:
        AudioError: One of the recordings is not there any more.
    """
    from matplotlib.figure import Figure

    from inference.source import SourceAudio
    from inference.speaker_mix.plot import use_fonts
    from webui.uploads import scratch

    say, rate, hop = words(request), made.sampling_rate, made.hop_length
    figure = Figure(figsize=(11, 8), layout="constrained")
    axes = figure.subplots(3, 1)
    paths = {"source": made.take.song, "result": made.take.result}
    tracks = {"source": made.source_f0, "result": made.result_f0}
    colours = {"source": "tab:blue", "result": "tab:orange"}
    with scratch() as folder:
        for axis, (name, path) in zip(axes, paths.items(), strict=False):
            with SourceAudio(path, rate, folder) as source:
                audio = source.read(0, min(source.n_samples, round(SHOWN * rate)))
                shown = {other: tracks[other] for other in tracks if name in (other, "result")}
                _mel(axis, audio, shown, made, say)
                _loudness(axes[2], source.rms, source.seconds, say(f"picture.{name}"), colours[name])
            cut = say("picture.first").format(seconds=SHOWN) if source.seconds > SHOWN else ""
            axis.set_title(say(f"picture.{name}") + cut, fontsize=10)
    for start, end in made.slices:
        axes[2].axvspan(start, end, color="tab:green", alpha=0.12, linewidth=0)
        axes[2].axvline(start, color="tab:green", linewidth=0.7)
    axes[2].set_xlim(0, max(made.seconds, hop / rate))
    axes[2].set_ylim(-80, 3)
    axes[2].set_ylabel(say("picture.loudness"))
    axes[2].set_xlabel(say("picture.slices"))
    axes[2].legend(loc="lower right", ncols=2, fontsize=8)
    use_fonts(figure)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=90)
    return content.getvalue()


def _mel(
    axis: Any, audio: np.ndarray, tracks: dict[str, np.ndarray], made: Made, say: Callable[[str], str]
) -> None:
    import torch

    from modules.config import DataConfig
    from modules.dsp.mel import LogMel

    rate, hop = made.sampling_rate, made.hop_length
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


def _loudness(axis: Any, rms: np.ndarray, seconds: float, name: str, colour: str) -> None:
    width = -(-len(rms) // _POINTS)
    loudest = np.pad(rms, (0, -len(rms) % width)).reshape(-1, width).max(axis=1)
    times = np.linspace(0, seconds, len(loudest))
    axis.plot(times, 20 * np.log10(np.maximum(loudest, 1e-5)), color=colour, linewidth=0.9, label=name)
