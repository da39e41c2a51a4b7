"""Data sets: folders as preprocessing expects them."""

import pytest
import soundfile

from modules.common.errors import ConfigError
from synthetic_voice import write_dataset
from synthetic_voice.dataset import clip_lengths


@pytest.mark.parametrize("seconds", [10.5, 14.0, 180.0])
def test_clips_are_4_to_10_s_and_add_up(seconds):
    for seed in range(10):
        lengths = clip_lengths(seconds, seed)
        assert sum(lengths) == pytest.approx(seconds)
        assert all(4 <= length <= 10 for length in lengths)


def test_one_folder_per_singer_which_depends_on_the_seed(tmp_path):
    paths = list(write_dataset(tmp_path, ["tomas", "kit"], 11.0, seed=1))
    lengths = clip_lengths(11.0, 1)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        f"{name}/{number:02d}.wav" for name in ("tomas", "kit") for number in range(1, len(lengths) + 1)
    ]
    assert sorted(tmp_path.rglob("*")) == sorted({*paths, *(path.parent for path in paths)})
    for path, length in zip(paths, lengths * 2, strict=True):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (44100, 1, "PCM_16")
        assert info.frames == round(length * 44100)
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        list(write_dataset(tmp_path / folder, ["noor"], 4, seed))
    one, again, other = ((tmp_path / folder / "noor" / "01.wav").read_bytes() for folder in "abc")
    assert one == again != other


def test_invalid_arguments_are_refused_before_anything_is_written(tmp_path):
    for singers, seconds, seed in ((["caruso"], 10, 0), (["kit"], -1, 0), (["kit"], 10, -1)):
        with pytest.raises(ConfigError):
            write_dataset(tmp_path / "new", singers, seconds, seed)
    assert not (tmp_path / "new").exists()
