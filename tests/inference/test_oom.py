"""A song that does not fit into the memory is one line of advice, and the next one is converted."""

import gc
import weakref
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile
import torch

import inference_main
from inference.converter import Converter
from inference.oom import within_memory
from inference.options import ConvertOptions
from modules.common.errors import GlowSVCError
from tests.inference.tiny import RATE, write_model, write_voice
from tests.support.golden_cases import voice

CARD = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nOf the allocated memory ...")


@pytest.mark.parametrize(
    ("error", "device", "changes", "message"),
    [
        (CARD, "cuda:0", {}, "cuda:0 is .* (-cl 10 or less), half precision (-pr fp16) or the .* (-d cpu)"),
        (CARD, "cuda:0", {"precision": "fp16"}, "cuda:0 is .* (-cl 10 or less) or the processor (-d cpu)"),
        (RuntimeError("MPS backend out of memory (MPS allocated"), "mps", {}, "mps is out of memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when"), "cuda", {}, "cuda is out of memory"),
        (MemoryError(), "cuda", {}, "cpu is .* (-cl 10 or less) or closing other programs"),
    ],
)
def test_what_is_full_and_what_takes_less(error, device, changes, message):
    pattern = "^a song.wav: " + message.replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(GlowSVCError, match=pattern) as caught:
        with within_memory("a song.wav", device, ConvertOptions(**changes)):
            raise error
    assert "\n" not in str(caught.value)


def test_the_machine_itself_is_full_other_errors_stay_and_what_filled_the_memory_is_given_back():
    for fill in (lambda: torch.empty(1 << 50), lambda: np.empty(1 << 50)):
        with pytest.raises(GlowSVCError, match="cpu is out of memory"):
            with within_memory("song.wav", "cuda", ConvertOptions()):
                fill()
    with pytest.raises(RuntimeError, match="shapes"):
        with within_memory("song.wav", "cpu", ConvertOptions()):
            raise RuntimeError("the shapes do not fit")
    held = []

    def fill_and_fail():
        filling = torch.zeros(10)
        held.append(weakref.ref(filling))
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(GlowSVCError) as caught:
        with within_memory("song.wav", "cuda", ConvertOptions()):
            fill_and_fail()
    gc.collect()
    assert caught.value and held[0]() is None


def test_the_command_goes_on_with_the_next_song(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "logs" / "44k")
    (tmp_path / "raw").mkdir()
    for name in ("long", "short"):
        soundfile.write(f"raw/{name}.wav", voice(0.3, RATE), RATE)
    synthesize, seen = Converter.synthesize, []

    def fail_first(self, segment, report):
        seen.append(segment)
        if len(seen) == 1:
            raise CARD
        return synthesize(self, segment, report)

    monkeypatch.setattr(Converter, "synthesize", fail_first)
    argv = ["-m", "logs/44k/G_8.pth", "-d", "cpu", "-n", "long", "short", "-s", "anna"]
    assert inference_main.main(argv) == 2
    shown = capsys.readouterr().err
    assert "long.wav: cpu is out of memory" in shown and "Traceback" not in shown
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["short_0key_anna_glow_swift-f0.flac"]


def test_a_model_that_does_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr("inference.converter.build_module", Mock(side_effect=CARD))
    options = write_voice(tmp_path)
    with pytest.raises(GlowSVCError, match=r"G_8\.pth: cpu is out of memory\. Try closing other programs$"):
        Converter(options)
