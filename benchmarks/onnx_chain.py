"""One song through the ONNX chain and through PyTorch, each in a process of its own.

``python -m benchmarks.onnx_chain song.wav`` converts that song instead of a synthetic one.
Nothing is imported at the top that loads PyTorch, since the ONNX chain's process runs this file too.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.measure import isolated, peak_memory, table, temporary_folder

SECONDS = 30.0
STARTS = 5  # of each chain; the start-up is their median
KINDS = {"PyTorch": "torch", "onnxruntime": "onnx"}


def main(song: Path | None = None) -> None:
    """Print start-up, real-time factor and peak memory of both, and the difference of their results."""
    from benchmarks.workspace import synthetic_song
    from modules.dsp.audio import write_audio

    rows, checks = [], []
    with temporary_folder() as root:
        if song is None:
            song = root / "song.wav"
            write_audio(song, synthetic_song(SECONDS, 3), 44100)
        for label, (folder, differences) in _write_voices(root).items():
            checks += [[label, difference] for difference in differences]
            for title, kind in KINDS.items():
                run = _measure(kind, folder, song, root)
                memory = [f"{run[key] / 2**20:.0f} MB" for key in ("peak", "idle")]
                cells = [f"{run['start']:.2f} s", f"{run['factor']:.3f}", *memory]
                rows.append([f"{label}, {title}", *cells, ""])
            rows[-1][-1] = _difference(root / "torch.wav", root / "onnx.wav")
    header = ["chain", "start-up", "real-time factor", "peak memory", "before the song"]
    table([*header, "samples (mel) apart, at most"], rows)
    print("\nGraph by graph (onnx_export.py --check):\n")
    table(["voice", "largest difference"], checks)


def _write_voices(root: Path) -> dict[str, tuple[Path, list[str]]]:
    """Write and export voices of random weights: folder and largest differences of each, by its label."""
    os.environ["GLOW_SVC_PRETRAIN"] = str(root / "pretrain")
    import torch

    from benchmarks.vocoding import PUBLISHED, load_random
    from benchmarks.workspace import SIZES, run, template_without_downloads
    from models import GlowSVC
    from modules.checkpoint import write_checkpoint
    from modules.common.files import write_json
    from modules.config import parse_config
    from vdecoder.generator import Generator

    pretrain = root / "pretrain" / "nsf_hifigan"
    pretrain.mkdir(parents=True)
    vocoder = Generator(PUBLISHED)
    load_random(vocoder)
    write_checkpoint(pretrain / "model", {"generator": vocoder.state_dict()})
    analysis = {"sampling_rate": 44100, "n_fft": 2048, "win_size": 2048, "hop_size": 512}
    write_json(pretrain / "config.json", {**asdict(PUBLISHED), **analysis, "fmin": 40, "fmax": 16000})

    voices = {}
    for size, (title, vocoder_name) in zip(
        SIZES, (("WORLD", "world"), ("NSF-HiFiGAN", "nsf-hifigan")), strict=True
    ):
        label = f"{size}, {title}"
        folder = root / "checkpoints" / label
        config = asdict(template_without_downloads(size))
        config["model"] |= {"vocoder_name": vocoder_name, "n_speakers": 2}
        config["spk"] = {"voice": 0, "other": 1}
        write_json(folder / "config.json", config)
        torch.manual_seed(0)
        model = GlowSVC(parse_config(config).model)
        for name, tensor in model.named_parameters():
            if ".post." in name:  # initialised with zeros, which would hide the WaveNets
                torch.nn.init.normal_(tensor, std=0.01)
        write_checkpoint(folder / "model.pth", {"model": model.state_dict()})
        output = run(root, "onnx_export.py", "-n", label, "--check").splitlines()
        start = "largest difference of "
        voices[label] = folder, [line.removeprefix(start) for line in output if line.startswith(start)]
    return voices


def _measure(kind: str, folder: Path, song: Path, root: Path) -> dict[str, float]:
    """Numbers of the process of one chain, and the median start-up of several."""
    starts = [isolated(_convert, kind, folder, song, None, time.time())["start"] for _ in range(STARTS)]
    run = isolated(_convert, kind, folder, song, root / f"{kind}.wav", time.time())
    return {**run, "start": statistics.median([*starts, run["start"]])}


def _convert(kind: str, folder: Path, song: Path, result: Path | None, began: float) -> dict[str, float]:
    """Load a chain, and convert ``song`` if there is a ``result`` to write; times and memory."""
    from inference.options import ConvertOptions

    options = ConvertOptions(
        onnx=str(folder),
        model_path=str(folder / "model.pth"),
        config_path=str(folder / "config.json"),
        f0_predictor="dio",
        precision="fp32",  # as the graphs
        wav_format="wav",
        device="cpu",
    )
    converter: Any
    if kind == "onnx":
        from inference.onnx.converter import OnnxConverter

        converter = OnnxConverter(options)
    else:
        from inference.converter import Converter

        converter = Converter(options)
    start, idle = time.time() - began, peak_memory()
    factor = converter.convert(song, result, "voice").real_time_factor if result else 0.0
    assert (kind == "onnx") != ("torch" in sys.modules)
    return {"start": start, "factor": factor, "idle": idle, "peak": peak_memory()}


def _difference(one: Path, other: Path) -> str:
    import numpy as np
    import torch

    from modules.dsp.audio import read_audio
    from modules.dsp.mel import LogMel

    sounds = [read_audio(path)[0] for path in (one, other)]
    mels = [LogMel()(torch.from_numpy(sound)[None])[0] for sound in sounds]
    samples = np.abs(sounds[0] - sounds[1]).max() / np.abs(sounds[0]).max()
    return f"{20 * np.log10(max(samples, 1e-9)):.0f} dB ({float((mels[0] - mels[1]).abs().max()):.4f})"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
