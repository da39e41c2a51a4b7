from PIL import Image

from tools import architecture


def test_every_file_of_the_drawing_exists():
    files = {
        file
        for lane in (architecture.SONG, architecture.CLIP)
        for row in lane
        for box in row
        for file in box.files
    }
    assert files and {file for file in files if not (architecture.ROOT / file).exists()} == set()


def test_it_draws(tmp_path):
    assert architecture.main(["--output", str(tmp_path / "图.png")]) == 0
    with Image.open(tmp_path / "图.png") as image:
        assert image.size == (1320, 1177)
