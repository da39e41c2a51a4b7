import numpy as np
import pytest
import soundfile

from modules.common.errors import AudioError
from modules.dsp.audio import (
    AUDIO_SUFFIXES,
    find_audio,
    read_audio,
    resample,
    resample_blocks,
    resampled_length,
    write_audio,
)

RATE = 44100


def tone(seconds: float, rate: int = RATE, frequency: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def test_every_format_reads_back_and_stereo_is_averaged_over_its_channels(tmp_path):
    for name, subtype, tolerance in [
        ("eight bit.wav", "PCM_U8", 1e-2),
        ("sixteen.wav", "PCM_16", 1e-4),
        ("float.wav", "FLOAT", 0),
        ("double.wav", "DOUBLE", 0),
        ("歌声 テスト.flac", "PCM_24", 1e-6),
        ("lossy.ogg", "VORBIS", 5e-2),
    ]:
        write_audio(tmp_path / name, tone(0.3), RATE, subtype)
        audio, rate = read_audio(tmp_path / name)
        assert rate == RATE and audio.dtype == np.float32
        np.testing.assert_allclose(audio, tone(0.3), rtol=0, atol=tolerance)
    left, right = tone(0.1), tone(0.1, frequency=660)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), RATE, "FLOAT")
    audio, _ = read_audio(tmp_path / "stereo.wav")
    np.testing.assert_allclose(audio, (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "GSM610"), ("a.aiff", "GSM610"), ("a.wav", "G721_32"), ("a.au", "G721_32"),
        ("a.au", "G723_24"), ("a.au", "G723_40"), ("a.wav", "NMS_ADPCM_16"), ("a.wav", "NMS_ADPCM_32"),
    ],
)  # fmt: skip
def test_telephone_formats_that_cannot_tell_their_length_are_read(tmp_path, name, subtype):
    soundfile.write(tmp_path / name, tone(10.0, 8000), 8000, subtype)
    assert not soundfile.SoundFile(tmp_path / name).seekable()
    audio, rate = read_audio(tmp_path / name)
    assert rate == 8000 and 80000 <= len(audio) <= 80320  # whole blocks of the format
    middle = slice(4000, 76000)
    assert np.corrcoef(audio[middle], tone(10.0, 8000)[middle])[0, 1] > 0.8


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_blocks_are_resampled_as_the_whole_is(rate):
    audio = tone(3.1, rate)[:-5]
    for sizes in ([1, 10000, 0, 7, 50000], [3], []):
        blocks = np.split(audio, np.cumsum(sizes)) if sizes else []
        whole = np.concatenate([np.zeros(0, np.float32), *blocks])
        given = np.concatenate([np.zeros(0, np.float32), *resample_blocks(blocks, rate, RATE)])
        np.testing.assert_array_equal(given, resample(whole, rate, RATE) if blocks else whole)


@pytest.mark.parametrize("rate", [8000, 22050, 48000, 96000])
def test_resampling_keeps_the_tone_and_the_exact_length(rate):
    n = 6789
    audio = resample(tone(1.0, rate)[:n], rate, RATE)
    assert len(audio) == resampled_length(n, rate, RATE) == round(n * RATE / rate)
    middle = slice(2000, len(audio) - 2000)
    np.testing.assert_allclose(audio[middle], tone(2.0)[: len(audio)][middle], atol=2e-3)


def test_bad_files_are_named_and_a_failed_write_leaves_the_old_one(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is not a sound")
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), RATE, "FLOAT")
    soundfile.write(tmp_path / "nan.wav", np.array([0, np.nan], np.float32), RATE, "FLOAT")
    write_audio(tmp_path / "blip.wav", np.ones(1, np.float32), 192000, "FLOAT")
    assert len(read_audio(tmp_path / "blip.wav")[0]) == 1  # but no sample at a lower rate
    for name, reason in {
        "missing.wav": "does not exist",
        "empty.wav": "empty",
        "text.wav": "cannot be read",
        "none.wav": "no samples",
        "nan.wav": "NaN",
        "blip.wav": "holds no samples, or too few",
    }.items():
        with pytest.raises(AudioError, match=reason) as caught:
            read_audio(tmp_path / name, RATE)
        assert name in str(caught.value)
    path = tmp_path / "new" / "out.wav"
    write_audio(path, tone(0.1), RATE)
    before = path.read_bytes()
    with pytest.raises(AudioError, match="cannot be written"):
        write_audio(path, tone(0.1), RATE, subtype="VORBIS")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("suffix", sorted(AUDIO_SUFFIXES))
def test_files_of_every_suffix_are_read(tmp_path, suffix):
    """libsndfile detects the format from the content."""
    kinds = {".aifc": "AIFF", ".aif": "AIFF", ".snd": "AU", ".sph": "NIST", ".sf": "IRCAM", ".oga": "OGG"}
    kinds |= {".wave": "WAV", ".bwf": "WAV", ".opus": "OGG"}
    kind = kinds.get(suffix, suffix[1:].upper())
    subtype = "OPUS" if suffix == ".opus" else soundfile.default_subtype(kind)
    soundfile.write(tmp_path / f"x{suffix}", tone(0.5, 48000), 48000, subtype, format=kind)
    assert [path.suffix for path in find_audio(tmp_path)] == [suffix]
    audio, rate = read_audio(tmp_path / f"x{suffix}")
    assert rate == 48000 and abs(len(audio) - 24000) < 4800 and np.abs(audio).max() > 0.05
