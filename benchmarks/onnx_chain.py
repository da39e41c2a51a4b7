"""One song through the ONNX chain and through PyTorch, each in a process of its own.

``python -m benchmarks.onnx_chain song.wav`` takes that song instead of a synthetic one.
Nothing is imported at the top that loads PyTorch, since the ONNX chain's process runs this file too.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.measure import table

SECONDS = 30.0
STARTS = 5  # of each chain; the start-up is their median
_CHECKED: list[list[str]] = []  # what the export says of the voices
KINDS = {"PyTorch": "torch", "onnxruntime": "onnx"}


def main(song: Path | None = None) -> None:
    """Print start-up, real-time factor and peak memory of both, and how far their results are apart."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        song = song or _write_song(root / "song.wav")
        for label, folder in _write_voices(root).items():
            runs = {kind: _runs(kind, folder, song, root) for kind in KINDS.values()}
            apart = _difference(root / "torch.wav", root / "onnx.wav")
            for title, kind in KINDS.items():
                run = runs[kind]
                rows.append(
                    [
                        f"{label}, {title}",
                        f"{run['start']:.2f} s",
                        f"{run['factor']:.3f}",
                        f"{run['peak'] / 1024:.0f} MB",
                        f"{run['idle'] / 1024:.0f} MB",
                        apart if kind == "onnx" else "",
                    ]
                )
    header = ["chain", "start-up", "real-time factor", "peak memory", "before the song"]
    table([*header, "samples (mel) apart, at most"], rows)
    print("\nGraph by graph (onnx_export.py --check):\n")
    table(["voice", "largest difference"], _CHECKED)


def _write_song(path: Path) -> Path:
    from modules.dsp.audio import write_audio
    from synthetic_voice import SINGERS, compose, sing

    singer = next(iter(SINGERS.values()))
    write_audio(path, sing(compose(singer, SECONDS, 3), singer, seed=3).audio, 44100)
    return path


def _write_voices(root: Path) -> dict[str, Path]:
    """Write voices of random weights, and export them; return their folders by what they are."""
    os.environ["GLOW_SVC_PRETRAIN"] = str(root / "pretrain")  # before benchmarks.workspace looks
    import torch

    from benchmarks.conversion import no_download
    from benchmarks.vocoding import PUBLISHED, load_random
    from benchmarks.workspace import run, script
    from models import GlowSVC
    from modules.checkpoint import write_checkpoint
    from modules.config import parse_config
    from vdecoder.generator import Generator

    pretrain = root / "pretrain" / "nsf_hifigan"
    pretrain.mkdir(parents=True)
    vocoder = Generator(PUBLISHED)
    load_random(vocoder)
    write_checkpoint(pretrain / "model", {"generator": vocoder.state_dict()})
    analysis = {"sampling_rate": 44100, "n_fft": 2048, "win_size": 2048, "hop_size": 512}
    values = {**asdict(PUBLISHED), **analysis, "fmin": 40, "fmax": 16000}
    (pretrain / "config.json").write_text(json.dumps(values), encoding="utf-8")

    folders = {}
    for label, template, vocoder_name in (
        ("tiny, WORLD", "config_tiny_template.json", "world"),
        ("published size, NSF-HiFiGAN", "config_template.json", "nsf-hifigan"),
    ):
        folder = root / "checkpoints" / label
        folder.mkdir(parents=True)
        config = asdict(no_download(template))
        config["model"] |= {"vocoder_name": vocoder_name, "n_speakers": 2}
        config["spk"] = {"voice": 0, "other": 1}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        torch.manual_seed(0)
        model = GlowSVC(parse_config(config).model)
        for name, tensor in model.named_parameters():
            if ".post." in name:  # which begin as nothing, and would let the WaveNets go unheard
                torch.nn.init.normal_(tensor, std=0.01)
        write_checkpoint(folder / "model.pth", {"model": model.state_dict()})
        said = run(root, script("onnx_export.py", "-n", label, "--check"))
        lines = (line for line in said.splitlines() if line.startswith("largest difference of "))
        _CHECKED.extend([label, line.removeprefix("largest difference of ")] for line in lines)
        folders[label] = folder
    return folders


def _runs(kind: str, folder: Path, song: Path, root: Path) -> dict[str, float]:
    """Return what the process of one chain says of itself, and the median start-up of several."""
    said = [_process(kind, folder, song, root) for _ in range(STARTS)]
    said.append(_process(kind, folder, song, root, root / f"{kind}.wav"))
    return {**said[-1], "start": statistics.median(one["start"] for one in said)}


def _process(kind: str, folder: Path, song: Path, root: Path, result: Path | str = "") -> dict[str, float]:
    """Load a voice in a new process, and convert ``song`` if there is a ``result`` to write."""
    command = [sys.executable, "-m", "benchmarks.onnx_chain", kind, str(folder), str(song), str(result)]
    done = subprocess.run([*command, str(time.time())], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    said: dict[str, float] = json.loads(done.stdout)
    return said


def _convert(kind: str, folder: Path, song: str, result: str, began: float) -> None:
    """Load one of the chains and convert ``song``; print how long it took to start, and its cost."""
    from benchmarks.memory import peak
    from inference.options import ConvertOptions

    options = ConvertOptions(
        onnx=str(folder),
        model_path=str(folder / "model.pth"),
        config_path=str(folder / "config.json"),
        f0_predictor="dio",
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
    start, idle = time.time() - began, peak()
    factor = converter.convert(song, result, "voice").real_time_factor if result else 0.0
    assert (kind == "onnx") != ("torch" in sys.modules)
    print(json.dumps({"start": start, "factor": factor, "idle": idle, "peak": peak()}))


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
    if len(sys.argv) == 6:
        _convert(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4], float(sys.argv[5]))
    else:
        main(*map(Path, sys.argv[1:]))
