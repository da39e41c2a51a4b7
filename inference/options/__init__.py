"""Every setting of a conversion, with its flag, default, range and help.

The command line (arguments.py) is generated from :class:`ConvertOptions`; the WebUI and the
API read the same fields. Nothing heavy is imported here, so ``--help`` is quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from diffusion.samplers import SAMPLERS
from inference.options.checks import AUTO_KEY, Key, check, check_keys
from modules.common.precision import AUTO, PRECISIONS
from modules.f0_predictor import DEFAULT_PREDICTOR, F0_PREDICTORS


def _option(
    *flags: str,
    default: Any,
    help: str,
    choices: Iterable[str] | None = None,
    within: tuple[float, float] | None = None,
    parse: Callable[[Any], Any] | None = None,
) -> Any:
    """A field with its metadata for the command line and the WebUI."""
    choices = tuple(choices) if choices else None
    metadata = {"flags": flags, "help": help, "choices": choices, "within": within, "parse": parse}
    return field(default=default, metadata=metadata)


def parse_key(value: Any) -> Key:
    """A key change from a number or a word; raises ValueError."""
    return AUTO_KEY if value == AUTO_KEY else float(value)


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """What to convert, to which target, and how.

    Every field's ``metadata`` holds its ``flags``, ``help``, ``choices``, ``within`` (range) and ``parse``.

    Raises:
        ConfigError: A value is out of its range; names the flag.
    """

    model_path: str = _option(
        "-m", "--model_path", default="logs/44k/G_37600.pth", help="the trained voice model"
    )
    config_path: str = _option(
        "-c", "--config_path", default="", help="its configuration (default: config.json beside it)"
    )
    onnx: str = _option(
        "--onnx",
        default="",
        help="folder of a voice model from onnx_export.py: convert without PyTorch, instead of -m and -c",
    )
    reference: str = _option(
        "--reference",
        default="",
        help="a recording of the target voice, or a folder of them, instead of a trained model: 5 s are "
        "enough, 20 s better, and half a minute is heard",
    )
    clean_names: tuple[str, ...] = _option(
        "-n",
        "--clean_names",
        default=(),
        help="songs: names in raw/, with or without extension, or paths; dry vocals convert best",
    )
    trans: tuple[Key, ...] = _option(
        "-t",
        "--trans",
        default=(0.0,),
        within=(-60, 60),
        parse=parse_key,
        help="key change in semitones, one for all songs or one for each; auto: what fits the voice, a "
        "whole octave if that does",
    )
    spk_list: tuple[str, ...] = _option(
        "-s",
        "--spk_list",
        default=(),
        help="target speakers, by name or id; not needed if the model has only one",
    )
    use_spk_mix: bool = _option(
        "-usm",
        "--use_spk_mix",
        default=False,
        help="convert to a speaker mix that --spk_mix_file gives over time; -s has no effect",
    )
    spk_mix_file: str = _option(
        "--spk_mix_file",
        default="spkmix.py",
        help="tracks of the speaker mix: Python literals or JSON, never run",
    )
    cluster_infer_ratio: float = _option(
        "-cr",
        "--cluster_infer_ratio",
        default=0.0,
        within=(0, 1),
        help="0 to 1: how far units are moved towards the target's own; closer to the target, less clear. "
        "Try 0.3",
    )
    cluster_model_path: str = _option(
        "-cm",
        "--cluster_model_path",
        default="",
        help="k-means model or retrieval index, ignored when -cr is 0 (default: the one beside the model, "
        "else in logs/44k)",
    )
    feature_retrieval: bool = _option(
        "-fr",
        "--feature_retrieval",
        default=False,
        help="with -cr: use the retrieval index instead of the k-means model",
    )
    clip: float = _option(
        "-cl",
        "--clip",
        default=0.0,
        within=(0, 3600),
        help="length of forced slices, s; 0 cuts at silences only. Slices over 30 s are cut at quiet places",
    )
    linear_gradient: float = _option(
        "-lg",
        "--linear_gradient",
        default=0.0,
        within=(0, 3600),
        help="cross-fade of two forced slices, s; 0 to --clip. Try 1 if words are cut where slices join",
    )
    linear_gradient_retain: float = _option(
        "-lgr",
        "--linear_gradient_retain",
        default=0.75,
        help="share of the cross-fade that is blended, above 0 to 1",
    )
    f0_predictor: str = _option(
        "-f0p", "--f0_predictor", default=DEFAULT_PREDICTOR, help="pitch tracker", choices=F0_PREDICTORS
    )
    f0_filter_threshold: float = _option(
        "-ft",
        "--f0_filter_threshold",
        default=0.05,
        within=(0, 1),
        help="voicing threshold of crepe, rmvpe and fcpe, 0 to 1; higher leaves more frames unvoiced",
    )
    f0_file: str = _option(
        "--f0",
        default="",
        help="file of the song's pitch, lines of time in s, Hz, voiced; what it leaves out is tracked. A "
        "folder: <song>.f0.csv of each song",
    )
    write_f0: str = _option(
        "--write_f0",
        default="",
        help="write the pitch that is sung, before -t, to such a file, or into a folder",
    )
    midi: str = _option(
        "--midi",
        default="",
        help="MIDI file of a melody, to whose notes the singing is drawn; or a folder of <song>.mid",
    )
    write_midi: str = _option(
        "--write_midi", default="", help="write the notes of that pitch to a MIDI file, or into a folder"
    )
    autotune: float = _option(
        "--autotune",
        default=0.0,
        within=(0, 1),
        help="how far notes are drawn to the nearest ones of --scale, 0 to 1; vibrato and glides stay",
    )
    scale: str = _option(
        "--scale",
        default="chromatic",
        help="notes for --autotune, of the song before -t: a key as C:maj or F#:min, or auto to find it",
    )
    formant: float = _option(
        "--formant",
        default=0.0,
        within=(-12, 12),
        help="shift of the formants in semitones, at the same pitch: above 0 a smaller, brighter singer",
    )
    protect: float = _option(
        "--protect",
        default=0.0,
        within=(0, 1),
        help="how much of breaths, voiceless consonants, whisper and fry is the source's own sound, 0 to 1",
    )
    preview: float = _option(
        "--preview",
        default=0.0,
        within=(0, 3600),
        help="convert only so many seconds of each song, those with the most singing; 0: all. Try 15",
    )
    auto_predict_f0: bool = _option(
        "-a",
        "--auto_predict_f0",
        default=False,
        help="predict the pitch: for speech only, singing goes out of tune",
    )
    enhance: bool = _option(
        "-eh",
        "--enhance",
        default=False,
        help="enhance the result with the NSF-HiFiGAN vocoder: helps models trained on little data, may "
        "harm good ones",
    )
    enhancer_adaptive_key: float = _option(
        "-eak",
        "--enhancer_adaptive_key",
        default=0.0,
        within=(-24, 24),
        help="semitones, up to 24, by which the enhancer's range is extended upwards",
    )
    mute_unvoiced: bool = _option(
        "-mu",
        "--mute_unvoiced",
        default=False,
        help="mute the sines of neural vocoders in unvoiced frames, instead of interpolating F0 through them "
        "as in their training: try it if consonants buzz",
    )
    shallow_diffusion: bool = _option(
        "-shd",
        "--shallow_diffusion",
        default=False,
        help="refine the result with the diffusion model: less metallic, slower",
    )
    diffusion_model_path: str = _option(
        "-dm",
        "--diffusion_model_path",
        default="logs/44k/diffusion/model_0.pt",
        help="the trained diffusion model",
    )
    diffusion_config_path: str = _option(
        "-dc",
        "--diffusion_config_path",
        default="",
        help="its configuration (default: config.yaml beside it)",
    )
    k_step: int = _option(
        "-ks",
        "--k_step",
        default=100,
        help="how many of 1000 steps shallow diffusion denoises again: more is closer to the diffusion model "
        "alone, and slower",
    )
    only_diffusion: bool = _option(
        "-od",
        "--only_diffusion",
        default=False,
        help="convert with the diffusion model alone; no Glow model is loaded",
    )
    second_encoding: bool = _option(
        "-se",
        "--second_encoding",
        default=False,
        help="with -shd: encode the Glow model's result again and refine it with these units; sometimes "
        "better, sometimes worse",
    )
    diffusion_method: str = _option(
        "--diffusion_method",
        default="",
        help="sampler, instead of the configuration's",
        choices=tuple(name for name, spec in SAMPLERS.items() if spec.selectable),
    )
    diffusion_speedup: int | None = _option(
        "--diffusion_speedup",
        default=None,
        help="steps of the schedule per sampler step, instead of the configuration's; 1 is slowest",
    )
    slice_db: float = _option(
        "-sd",
        "--slice_db",
        default=-40.0,
        within=(-200, 0),
        help="loudness of silence, dB below full scale, in soft songs below their own level; "
        "-30 for noisy recordings, -50 to keep breaths",
    )
    pad_seconds: float = _option(
        "-p",
        "--pad_seconds",
        default=0.5,
        within=(0, 10),
        help="context rendered around every slice, then cropped, s, 0 to 10; avoids artifacts at its ends",
    )
    loudness_envelope_adjustment: float = _option(
        "-lea",
        "--loudness_envelope_adjustment",
        default=1.0,
        within=(0, 1),
        help="loudness envelope of the result: 1 keeps its own, 0 follows the source",
    )
    noise_scale: float = _option(
        "-ns",
        "--noise_scale",
        "--noice_scale",  # the published spelling
        default=0.4,
        within=(0, 2),
        help="sampling temperature, 0 to 2; lower is steadier and duller",
    )
    precision: str = _option(
        "-pr",
        "--precision",
        default=AUTO,
        help="number format of the networks: half precision is faster on GPUs and recent CPUs; auto takes it "
        "where the result is measured to stay the same",
        choices=PRECISIONS,
    )
    wav_format: str = _option(
        "-wf", "--wav_format", default="flac", help="format of the result: flac, wav, mp3, ogg ..."
    )
    device: str | None = _option(
        "-d", "--device", default=None, help="cpu, cuda, cuda:1 or mps; default: detected automatically"
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def diffuses(self) -> bool:
        """Whether a diffusion model takes part."""
        return self.shallow_diffusion or self.only_diffusion

    @property
    def voice_path(self) -> str:
        """The voice model that converts: of -m, alone of -dm, or the folder of --onnx."""
        return self.onnx or (self.diffusion_model_path if self.only_diffusion else self.model_path)

    @property
    def blends(self) -> str:
        """What moves the units: "kmeans", "retrieval", or "" for nothing."""
        if not self.cluster_infer_ratio or self.use_spk_mix:  # both belong to one speaker
            return ""
        return "retrieval" if self.feature_retrieval else "kmeans"

    @property
    def enhances(self) -> bool:
        """Whether the enhancer takes part; not after a diffusion model."""
        return self.enhance and not self.diffuses

    @property
    def mode(self) -> str:
        """The models, as in the names of results."""
        return "diff" if self.only_diffusion else "glowdiff" if self.shallow_diffusion else "glow"

    def keys(self, n_songs: int) -> tuple[Key, ...]:
        """One key change per song, semitones or "auto"; raises ConfigError if their numbers differ."""
        check_keys(self.trans, n_songs)
        return self.trans * n_songs if len(self.trans) == 1 else self.trans
