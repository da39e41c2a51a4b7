"""The sounds and pictures of the READMEs: of the project's own recordings, tagged, and small."""

import io
import os

import numpy as np
import pytest
import soundfile
from PIL import Image

from tools import architecture, diagram, showcase

RATE = 44100


@pytest.fixture
def demo(tmp_path):
    """Workspace of a finished demo."""
    folder = tmp_path / "synthetic"
    (folder / "raw").mkdir(parents=True)
    (folder / "results").mkdir()
    (folder / "origin.txt").write_text(showcase.OURS)
    tone = 0.3 * np.sin(np.arange(RATE) * 2 * np.pi * 220 / RATE)
    soundfile.write(folder / "raw/song.wav", tone, RATE)
    for key, age in ((5, 100), (9, 0)):
        path = folder / f"results/song_{key}key_sofia_glow_swift-f0.wav"
        with soundfile.SoundFile(path, "w", RATE, 1, format="WAV") as file:
            file.comment = f"a conversion, key {key}"
            file.write(tone)
        path.with_suffix(".png").write_bytes(f"picture of {key}".encode())
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    return folder


def test_the_newest_result_its_picture_and_the_song_are_taken(demo, tmp_path, capsys):
    docs = tmp_path / "docs"
    assert showcase.main(["--demo", str(demo), "--docs", str(docs)]) == 0
    assert (docs / "pictures/demo.png").read_bytes() == b"picture of 9"
    for name in ("demo-source", "demo-result"):
        path = docs / f"sounds/{name}.mp3"
        with soundfile.SoundFile(path) as file:
            assert (file.format, file.samplerate, file.channels) == ("MP3", RATE, 1)
            assert abs(file.frames - RATE) < 3000  # an encoder may fill up its last frame
            assert file.comment == ("a conversion, key 9" if name == "demo-result" else "")
    assert capsys.readouterr().out.count(" kB") == 3


def test_the_note_is_the_one_that_the_demo_writes(tmp_path):
    import demo

    demo._claim(tmp_path, None)
    assert (tmp_path / "origin.txt").read_text() == showcase.OURS


def test_other_recordings_unfinished_demos_and_large_sounds_are_refused(demo, tmp_path, capsys, monkeypatch):
    argv = ["--demo", str(demo), "--docs", str(tmp_path / "docs")]
    monkeypatch.setattr(showcase, "MAX_BYTES", 1000)
    assert showcase.main(argv) == 2
    assert "more than 1" in capsys.readouterr().err
    assert not list((tmp_path / "docs/sounds").iterdir())
    for picture in demo.glob("results/*.png"):
        picture.unlink()
    assert showcase.main(argv) == 2
    assert "run make demo to its end" in capsys.readouterr().err
    (demo / "origin.txt").write_text("/home/anna/recordings")
    assert showcase.main([*argv[:3], str(tmp_path / "new")]) == 2
    assert "was made of /home/anna/recordings" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.fixture(scope="module")
def stages():
    return diagram.run_stages()


def test_the_mel_is_blurred_then_noised_then_sharp(stages):
    def contrast(mel):
        return float(np.square(np.diff(mel, axis=0)).mean())

    shapes = {mel.shape for mel in (stages.glow, stages.noised, stages.half, stages.refined)}
    assert shapes == {(128, diagram.SHOWN.stop - diagram.SHOWN.start)}
    assert contrast(stages.glow) < contrast(stages.refined) < contrast(stages.half) < contrast(stages.noised)
    assert np.abs(stages.audio).max() > 0.01


def test_the_picture_is_wide_enough_and_small_enough(stages, tmp_path, monkeypatch):
    monkeypatch.setattr(diagram, "run_stages", lambda: stages)
    path = tmp_path / "diagram.png"
    assert diagram.main(["--output", str(path)]) == 0
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        assert image.width == 1800  # shown at 900
    assert path.stat().st_size < 400_000


def test_every_file_of_the_drawing_exists_and_it_draws(tmp_path):
    files = {
        file
        for lane in (architecture.SONG, architecture.CLIP)
        for row in lane
        for box in row
        for file in box.files
    }
    assert files and {file for file in files if not (architecture.ROOT / file).exists()} == set()
    assert architecture.main(["--output", str(tmp_path / "图.png")]) == 0
    with Image.open(tmp_path / "图.png") as image:
        assert image.size == (1320, 1177)
