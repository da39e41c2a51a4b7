"""A run keeps the speakers it was trained with, and its folder to itself."""

import json
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import torch
import yaml

import train
import train_diff
from modules.checkpoint import read_checkpoint
from modules.config import load_config
from modules.dataset.feature_record import FeatureRecord
from tests.scripts.test_train import configure_diffusion
from tests.support.processes import wait_until
from tests.support.scripts import configure

ROOT = Path(train.__file__).parent
FIRST, NEXT, BEST = (Path("logs/44k") / f"G_{step}.pth" for step in (2, 4, "best"))


@pytest.fixture(autouse=True)
def _here(workspace):
    pass


def of_speakers(*names: str) -> None:
    """Write lists and configuration of these speakers, as step 2 does; all have anna's recordings."""
    for name in names:
        if not Path(f"dataset/44k/{name}").exists():
            shutil.copytree("dataset/44k/anna", f"dataset/44k/{name}")
    for number, part in enumerate(("train", "val")):
        lines = [f"dataset/44k/{name}/{number}.wav" for name in names]
        Path(f"filelists/{part}.txt").write_text("\n".join(lines), encoding="utf-8")
    configure(n_speakers=len(names))
    edit(spk={name: number for number, name in enumerate(sorted(names))})


def edit(**sections) -> None:
    path = Path("configs/config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **sections}))


def table(path: Path) -> torch.Tensor:
    return read_checkpoint(path)["model"]["emb_g.weight"]


def test_a_run_of_other_speakers_is_refused_and_a_new_one_keeps_those_it_knows(capsys, caplog):
    of_speakers("anna", "bob")
    assert train.main(["-d", "cpu"]) == 0
    kept = Path("logs/44k/config.json").read_bytes()
    for names in (("bob", "carol"), ("carol",), ("anna",)):
        of_speakers(*names)
        capsys.readouterr()
        assert train.main(["-d", "cpu"]) == 2
        error = capsys.readouterr().err.replace("\\", "/")
        assert f"G_2.pth was trained on anna, bob, but the configuration has {', '.join(names)}" in error
        assert "-m <another name>; --base logs/44k/G_2.pth starts" in error
        assert Path("logs/44k/config.json").read_bytes() == kept
    of_speakers("bob", "carol")
    assert train.main(["-d", "cpu", "-m", "other", "--base", str(FIRST)]) == 0
    assert f"starting from the base model {FIRST}; bob as in it; carol as the average" in caplog.text


def test_a_run_keeps_the_times_of_its_units(capsys):
    """They are a part of what it learnt, and the configuration of step 2 may have another default by now."""
    edit(data={"unit_interpolate_mode": "left"})
    assert train.main(["-d", "cpu"]) == 0
    kept = Path("logs/44k/config.json").read_bytes()
    edit(data={"unit_interpolate_mode": "time"})
    capsys.readouterr()
    assert train.main(["-d", "cpu"]) == 2
    error = capsys.readouterr().err.replace("\\", "/")
    assert "logs/44k/G_2.pth was trained with data.unit_interpolate_mode left, but" in error
    assert "set it to left there to continue" in error and Path("logs/44k/config.json").read_bytes() == kept
    assert train.main(["-d", "cpu", "-m", "other", "--base", str(FIRST)]) == 0
    configure({"max_steps": 4})
    edit(data={"unit_interpolate_mode": "nearest"})  # the same rule
    assert train.main(["-d", "cpu"]) == 0 and NEXT.is_file()


def test_added_speakers_start_again_from_the_run_itself(caplog):
    of_speakers("anna", "bob")
    assert train.main(["-d", "cpu"]) == 0
    before = table(FIRST)
    of_speakers("aaron", "anna", "bob")  # their ids move
    Path("dataset/44k/aaron/0.wav.mel.pt").rename("mel")
    assert train.main(["-d", "cpu"]) == 2  # before any checkpoint changes
    assert torch.equal(table(FIRST), before)
    Path("mel").rename("dataset/44k/aaron/0.wav.mel.pt")
    assert train.main(["-d", "cpu"]) == 0
    assert "starting again from step 2: anna and bob as in it; aaron as the average" in caplog.text
    assert torch.equal(table(FIRST)[1:], before)
    assert len(table(NEXT)) == len(table(BEST)) == 3  # all steps of the configuration once more
    progress = read_checkpoint(NEXT)["progress"]
    assert (progress["step"], progress["start"]) == (4, 2)
    assert load_config("logs/44k/config.json").spk == {"aaron": 0, "anna": 1, "bob": 2}
    assert train.main(["-d", "cpu"]) == 0 and len(table(NEXT)) == 3  # nothing is left to do


def test_a_diffusion_model_keeps_its_speakers_too(capsys, caplog):
    def diffusion_of(*names: str, **model) -> None:
        of_speakers(*names)
        configure_diffusion({"max_steps": 2}, n_spk=len(names), **model)
        path = Path("configs/diffusion.yaml")
        spk = {name: number for number, name in enumerate(names)}
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "spk": spk}))

    run = Path("logs/44k/diffusion")
    diffusion_of("anna", "bob", use_pitch_aug=False)
    assert train_diff.main([]) == 0
    diffusion_of("bob", "carol", use_pitch_aug=False)
    assert train_diff.main([]) == 2
    assert "model_2.pt was trained on anna, bob" in capsys.readouterr().err
    diffusion_of("anna", "bob", "carol", use_pitch_aug=False)
    assert train_diff.main([]) == 0 and (run / "model_4.pt").is_file()
    assert "anna and bob as in it; carol as the average of its speakers" in caplog.text
    base = (run / "model_4.pt").read_bytes()
    shutil.rmtree(run)
    run.mkdir()
    (run / "model_0.pt").write_bytes(base)
    diffusion_of("anna", "bob", "carol")  # with the input that the base lacks
    assert train_diff.main([]) == 0
    assert "model_0.pt; anna and bob and carol as in it; aug_shift_embed from scratch" in caplog.text


def test_a_base_model_may_lack_parts_or_have_more(caplog):
    configure(use_automatic_f0_prediction=False)
    assert train.main(["-d", "cpu", "-m", "small"]) == 0
    configure(vol_embedding=True)
    assert train.main(["-d", "cpu", "-m", "large", "--base", "logs/small/G_2.pth"]) == 0
    assert "G_2.pth; anna as in it; emb_vol and f0_decoder from scratch" in caplog.text
    configure(use_automatic_f0_prediction=False)
    assert train.main(["-d", "cpu", "-m", "less", "--base", "logs/large/G_2.pth"]) == 0
    assert "G_2.pth; anna as in it; without its emb_vol and f0_decoder" in caplog.text


def test_a_second_training_in_one_folder_is_refused_until_the_first_is_gone(capsys):
    code = (
        "import sys, time\nfrom modules.common.files import exclusive\n"
        "with exclusive('logs/44k/.lock', ''):\n    open('held', 'w').close()\n    time.sleep(600)"
    )
    first = subprocess.Popen([sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)})
    try:
        wait_until(Path("held").exists, first)
        assert train.main(["-d", "cpu"]) == 2
        assert "another training writes to" in capsys.readouterr().err
        assert train.main(["-d", "cpu", "-m", "other"]) == 0
    finally:
        first.kill()  # which leaves no time to tidy up
        first.wait()
    assert train.main(["-d", "cpu"]) == 0


def test_clips_with_features_of_several_makers_are_named(capsys, caplog):
    def made(clip: int, kind: str, **settings: str) -> None:
        wav = f"dataset/44k/anna/{clip}.wav"
        record = FeatureRecord.load(wav)
        record.made[kind]["settings"] |= settings
        record.save(wav)

    made(1, "f0", f0_predictor="crepe")
    assert train.main(["-d", "cpu"]) == 0
    assert "F0 by different predictors (swift-f0: 1, as dataset" in caplog.text.replace("\\", "/")
    assert "crepe: 1, as dataset" in caplog.text
    made(0, "units", encoder_weights="a")
    made(1, "units", encoder_weights="b")
    assert train.main(["-d", "cpu"]) == 2
    assert "units of different files of the encoder (a: 1, as " in capsys.readouterr().err


def test_settings_without_effect_are_named(caplog):
    configure({"c_mel": 30, "vol_aug": True, "batchsize": 3})
    assert train.main(["-d", "cpu"]) == 0
    (line,) = (line for line in caplog.messages if "without effect" in line)
    assert line == (
        "configs/config.json: without effect: train.c_mel, train.batchsize, train.vol_aug (it needs "
        "model.vol_embedding)"
    )
    caplog.clear()
    configure_diffusion(data={"extensions": ["flac"]})
    assert train_diff.main([]) == 0
    assert "configs/diffusion.yaml: without effect: data.extensions" in caplog.messages


def test_speakers_that_the_configuration_does_not_name(capsys):
    edit(spk={})
    assert train.main(["-d", "cpu"]) == 2
    assert "the configuration names no speakers (section spk); run pre" in capsys.readouterr().err
    edit(spk={"bob": 0})
    assert train.main(["-d", "cpu"]) == 2
    assert "no speaker 'anna'; it knows: bob (0). The file lists are of another" in capsys.readouterr().err


def test_a_name_is_the_same_in_every_unicode_form(capsys):
    decomposed = unicodedata.normalize("NFD", "Zoé")
    of_speakers(decomposed)
    assert train.main(["-d", "cpu"]) == 0
    config = load_config("logs/44k/config.json")
    assert config.spk == {"Zoé": 0} and "Zoé" in config.f0_range
    assert config.speaker_id(decomposed) == 0
    edit(spk={"Zoé": 0})  # as another machine wrote it
    assert train.main(["-d", "cpu"]) == 0
