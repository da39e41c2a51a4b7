from pathlib import Path

import pytest
import torch

from modules.checkpoint import write_checkpoint
from modules.common.errors import CheckpointError
from training.progress import CheckpointFolder, progress_of


@pytest.fixture
def folder(tmp_path):
    for step in (0, 5, 10, 200):
        write_checkpoint(tmp_path / f"G_{step}.pth", {"model": {"w": torch.ones(1) * step}})
    (tmp_path / "D_0.pth").write_bytes(b"of another model")
    (tmp_path / "G_best.pth").write_bytes(b"no number")
    return CheckpointFolder(tmp_path)


def test_other_files_are_left_alone(folder):
    assert folder.steps() == [0, 5, 10, 200]
    folder.prune(2, written=200)
    assert folder.steps() == [0, 10, 200]  # the base model stays
    folder.prune(0, written=200)
    assert folder.steps() == [0, 10, 200]
    assert (folder.folder / "D_0.pth").exists() and (folder.folder / "G_best.pth").exists()


def test_a_checkpoint_that_another_program_reads_is_deleted_later(folder, monkeypatch, caplog):
    def held(path, missing_ok=False):
        raise PermissionError(13, "in use", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", held)
        folder.prune(1, written=200)
    assert "cannot be deleted now" in caplog.text and folder.steps() == [0, 5, 10, 200]
    folder.prune(1, written=200)
    assert folder.steps() == [0, 200]


def test_damaged_checkpoints_are_skipped_and_only_damaged_ones_are_an_error(folder, tmp_path, caplog):
    assert CheckpointFolder(tmp_path / "new").newest() is None
    path = folder.path(200)
    path.write_bytes(path.read_bytes()[:100])
    newest, content = folder.newest()
    assert newest == folder.path(10) and content["model"]["w"] == 10
    assert "G_200.pth" in caplog.text
    for step in folder.steps():
        folder.path(step).write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="none of the 4"):
        folder.newest()


@pytest.mark.parametrize("keep", [1, 2])
def test_damaged_checkpoints_of_later_steps_do_not_push_out_good_ones(folder, keep):
    """The run resumed from 5, since 10 and 200 were damaged, and has just written 6."""
    write_checkpoint(folder.path(6), {"model": {}})
    folder.prune(keep, written=6)
    assert folder.steps() == ([0, 6, 10, 200] if keep == 1 else [0, 5, 6, 10, 200])


def test_a_published_diffusion_checkpoint_says_its_step():
    assert progress_of(Path("model_4000.pt"), {"global_step": 4000}).step == 4000
    assert progress_of(Path("G_4000.pth"), {}).step == 4001
    assert progress_of(Path("model_7.pt"), {"global_step": "many"}).step == 8
