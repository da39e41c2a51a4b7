import io

import matplotlib.image
import torch

from tests.training.support.events import Events
from training.tensorboard import TensorBoardLogger


def test_what_is_written_can_be_read_and_unvoiced_frames_are_not_drawn(tmp_path):
    folder = tmp_path / "日志 run"
    tensorboard = TensorBoardLogger(folder)
    tensorboard.scalars({"train/total": 1.5, "train/lf0": 0.25}, 10)
    tensorboard.scalars({"train/total": 1.25}, 20)
    wave = torch.sin(torch.arange(4410) / 20) * 1.5  # too loud: held at full scale
    tensorboard.audio("audio/0", wave, 44100, 20)
    tensorboard.mels("mel/0", {"recorded": torch.randn(128, 50), "generated": torch.randn(128, 50)}, 20)
    tensorboard.f0("f0/0", {"input": torch.tensor([0.0, 220.0, 230.0]), "predicted": torch.zeros(3)}, 20)
    tensorboard.close()

    events = Events(folder)
    assert events.scalar("train/total") == [(10, 1.5), (20, 1.25)]
    assert events.scalar("train/lf0") == [(10, 0.25)]
    ((step, rate, samples),) = events.audio("audio/0")
    assert (step, rate) == (20, 44100)
    # 16 bits, whose largest value is one step short of full scale
    torch.testing.assert_close(torch.from_numpy(samples), wave.clamp(-1, 1), rtol=0, atol=1e-4)
    assert events.tags("images") == ["f0/0", "mel/0"]
    tensorboard = TensorBoardLogger(tmp_path)
    for rows in (1, 2):
        tensorboard.mels(f"{rows} mels", {f"row {i}": torch.full((128, 50), -3.0) for i in range(rows)}, 1)
    tensorboard.f0("voiced", {"input": torch.linspace(100, 400, 50)}, 1)
    tensorboard.f0("unvoiced", {"input": torch.zeros(50)}, 1)
    tensorboard.close()
    events = Events(tmp_path)

    def picture(tag):
        ((_, png),) = events.images(tag)
        return matplotlib.image.imread(io.BytesIO(png), format="png")[..., :3]

    def coloured(tag):
        pixels = picture(tag)
        return int((pixels.max(-1) - pixels.min(-1) > 0.3).sum())

    assert [picture(f"{rows} mels").shape[0] for rows in (1, 2)] == [260, 520]
    assert coloured("voiced") > 2 * coloured("unvoiced")  # the key shows the colour too
