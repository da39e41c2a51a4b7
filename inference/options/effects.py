"""What each option changes: which have no effect beside the others, and which the name of a result tells."""

from __future__ import annotations

from collections.abc import Iterator

from inference.options import ConvertOptions
from modules.dsp.slicer import LONGEST
from modules.f0_predictor import F0_PREDICTORS

# options that change the sound and are not in a published name, in the order of a result's
_NAMED = (
    *("feature_retrieval", "noise_scale", "f0_filter_threshold", "enhance", "enhancer_adaptive_key"),
    *("k_step", "second_encoding", "diffusion_method", "diffusion_speedup"),
    *("autotune", "scale", "formant", "protect", "preview"),
    *("clip", "linear_gradient", "linear_gradient_retain", "slice_db", "pad_seconds"),
    "loudness_envelope_adjustment",
    "mute_unvoiced",
)


def unused_options(options: ConvertOptions) -> dict[str, str]:
    """Options that are set and have no effect, with the reason, for people."""
    fields = ConvertOptions.__dataclass_fields__
    return {
        name: f"{fields[name].metadata['flags'][0]} has no effect {reason}"
        for name, reason in _reasons(options)
        if getattr(options, name) not in (fields[name].default, "", ())
    }


def name_parts(options: ConvertOptions) -> list[str]:
    """Each option that changes the sound and is not at its default, as the name of a result tells it."""
    unused, fields = unused_options(options), ConvertOptions.__dataclass_fields__
    parts = []
    for name in _NAMED:
        value = getattr(options, name)
        if value != fields[name].default and name not in unused:
            flag = fields[name].metadata["flags"][0].strip("-").removeprefix("diffusion_")
            word = value if isinstance(value, str) else flag if value is True else f"{flag}{value:g}"
            parts.append(word.replace(":", ""))  # Windows has no such names
    return [*parts, *(name for name, file in (("f0", options.f0_file), ("midi", options.midi)) if file)]


def _reasons(options: ConvertOptions) -> Iterator[tuple[str, str]]:
    """Options that have no effect beside the others, set or not, and why."""
    if options.use_spk_mix:
        for name in ("spk_list", "cluster_infer_ratio", "cluster_model_path", "feature_retrieval"):
            yield name, "on a speaker mix (-usm)"
    else:
        yield "spk_mix_file", "without -usm"
        if not options.cluster_infer_ratio:
            yield "feature_retrieval", "without -cr: at 0 the units stay as they are"
            yield "cluster_model_path", "without -cr: at 0 the units stay as they are"
    if not options.clip:
        yield "linear_gradient", "without -cl: there are no forced slices to cross-fade"
    elif options.clip > LONGEST:
        yield "linear_gradient", f"with a -cl above {LONGEST:g} s: slices so long are cut at quiet places"
    if not 0 < options.clip <= LONGEST or not options.linear_gradient:
        yield "linear_gradient_retain", "without -cl and -lg: there is no cross-fade to blend"
    if not F0_PREDICTORS[options.f0_predictor].has_threshold:
        yield "f0_filter_threshold", f"on -f0p {options.f0_predictor}"
    if options.auto_predict_f0:
        for name in ("trans", "autotune"):
            yield name, "with -a: the model chooses the pitch"
    if not options.autotune or options.auto_predict_f0:
        yield "scale", "without --autotune: no note is moved"
    if options.diffuses:
        yield "enhance", "on what a diffusion model has refined"
    if not options.enhances:
        yield "enhancer_adaptive_key", "without -eh"
    if options.only_diffusion:
        for name in ("model_path", "config_path", "noise_scale", "shallow_diffusion", "second_encoding"):
            yield name, "with -od, which uses no Glow model"
    if not options.shallow_diffusion or options.only_diffusion:
        yield "k_step", "without -shd: nothing is refined"
    if not options.diffuses:
        for name in ("model_path", "config_path", "method", "speedup"):
            yield f"diffusion_{name}", "without -shd or -od"
    if options.onnx:
        for name in ("model_path", "config_path"):
            yield name, "with --onnx"
