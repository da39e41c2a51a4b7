import matplotlib.image
import numpy as np
import pytest

from evaluation.picture import write_comparison


@pytest.mark.parametrize("seconds", [0.02, 1.0])
def test_panels_lie_one_above_the_other_with_f0_where_it_is_voiced(tmp_path, seconds):
    audio = np.sin(np.arange(int(44100 * seconds)) / 20).astype(np.float32)
    f0 = np.full(max(2, len(audio) // 512), 350.0)
    path = tmp_path / "图 1.png"
    write_comparison(path, {"source": (audio, f0), "result": (audio, f0 * 0)}, 44100)
    picture = matplotlib.image.imread(path)
    assert picture.shape[:2] == (680, 1200)
    cyan = (picture[..., 0] < 0.2) & (picture[..., 1] > 0.8) & (picture[..., 2] > 0.8)
    upper, lower = cyan[:340].sum(), cyan[340:].sum()
    assert (upper > 500) == (seconds == 1.0) and not lower
    assert list(tmp_path.iterdir()) == [path]
