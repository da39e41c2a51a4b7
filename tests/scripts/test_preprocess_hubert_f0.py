import errno
import json
import os
import shutil
import signal as signals
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import soundfile
import torch

import preprocess_hubert_f0 as step
from modules.config import load_config
from modules.dataset import features
from modules.dataset.f0_survey import survey_f0
from modules.dataset.feature_record import failed, find_unusable, recipe, record_path, settings_of
from modules.dsp.frame_rms import frame_rms
from modules.dsp.mel import LogMel
from modules.pretrained.weights import WEIGHTS, Weights
from tests.support.golden_cases import voice
from tests.support.processes import wait_until
from vencoder import ENCODERS

RATE, HOP = 44100, 512
ALWAYS = {"units", "f0", "mel"} | ({"perturbed_units"} if ENCODERS["mfcc"].n_perturbed else set())
ALL = ALWAYS | {"volume", "aug_mel", "aug_volume"}


@pytest.fixture
def run(script):
    """Run the script in a folder with nothing but a configuration; return (exit code, what it said)."""

    def call(*args: str):
        done = script(step.main, "--device", "cpu", *args)
        return done.code, done.out + done.err

    write_config()
    return call


def write_config(**model):
    values = {"data": {}, "model": {"speech_encoder": "mfcc", "ssl_dim": 12, **model}}
    Path("configs").mkdir(exist_ok=True)
    Path("configs/config.json").write_text(json.dumps(values))


def put(name: str, audio=None, rate: int = RATE, subtype: str = "PCM_16") -> Path:
    path = Path("dataset/44k", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, voice(0.6, rate) if audio is None else audio, rate, subtype=subtype)
    return path


def problems(*wavs: Path, use_diff=False) -> list[str]:
    return find_unusable(wavs, recipe(load_config("configs/config.json"), use_diff=use_diff))


def contents(folder: str = "dataset/44k") -> dict[str, bytes]:
    """All feature files, but not the records: those hold times."""
    ends = tuple(features.SUFFIXES.values())
    paths = [path for path in Path(folder).rglob("[!.]*") if path.name.endswith(ends)]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def kinds(wav: Path) -> set[str]:
    return {kind for kind in features.SUFFIXES if features.feature_path(wav, kind).exists()}


def test_features_of_a_known_voice(run):
    t = np.arange(int(0.8 * RATE) + 77) / RATE
    tone = 0.2 * sum(np.sin(2 * np.pi * 220 * k * t) / k for k in range(1, 9))
    wav = put("the singer/あの 歌.wav", tone)
    code, said = run("--use_diff", "--f0_predictor", "harvest")
    assert code == 0, said
    assert kinds(wav) == ALL
    audio = soundfile.read(wav, dtype="float32")[0]
    n = len(audio) // HOP
    mel = features.load_mel(wav)
    torch.testing.assert_close(mel, LogMel()(torch.from_numpy(audio)[None])[0], rtol=0, atol=0)
    np.testing.assert_array_equal(features.load_volume(wav), frame_rms(audio, HOP))
    f0, uv = features.load_f0(wav)
    assert len(f0) == n and float(f0.median()) == pytest.approx(220, rel=0.01) and uv.mean() > 0.8
    assert features.load_units(wav).shape[0] == 12
    if "perturbed_units" in ALL:
        copies = features.load_perturbed_units(wav)
        assert copies.shape == (ENCODERS["mfcc"].n_perturbed, *features.load_units(wav).shape)
        assert not torch.equal(copies[0], copies[1])
    aug_mel, aug_volume, key_shift = features.load_augmented(wav)
    assert aug_mel.shape == mel.shape and aug_volume.shape == (n,)
    assert abs(key_shift) <= 5
    gain = aug_volume / features.load_volume(wav)
    torch.testing.assert_close(gain, gain[:1].expand(n))
    assert 0.1 <= gain[0] <= 1 / np.abs(audio).max()
    louder = LogMel()(torch.from_numpy(audio)[None] * gain[0], key_shift=key_shift)[0]
    torch.testing.assert_close(aug_mel, louder, rtol=0, atol=1e-3)
    assert problems(wav, use_diff=True) == []
    report = json.loads(Path("dataset/44k/report.json").read_text(encoding="utf-8"))["features"]
    assert report["speakers"]["the singer"]["f0"][1] == pytest.approx(220, rel=0.01)


def test_all_formats_lengths_and_levels(run):
    wavs = [
        put("a/8 bit.wav", subtype="PCM_U8"),
        put("a/24.wav", subtype="PCM_24"),
        put("a/float.wav", 3 * voice(0.6, RATE), subtype="FLOAT"),
        put("a/stereo.flac", np.stack([voice(0.6, RATE)] * 2, axis=1)),
        put("a/50ms.wav", voice(0.05, RATE)),
        put("a/5ms.wav", voice(0.005, RATE)),
        put("a/silent.wav", np.zeros(RATE // 2)),
    ]
    code, said = run("--use_diff")
    assert code == 0, said
    for wav in wavs:
        if failed(wav):  # an encoder may refuse what is far too short, but then says so
            assert "ms.wav" in wav.name and failed(wav) in said
            continue
        n = max(1, soundfile.info(wav).frames // HOP)
        lengths = {features.n_frames(wav, kind) for kind in ALL}
        assert lengths == {None, n}


def failing(name: str, error: BaseException):
    """Stand-in of Path.write_bytes that raises ``error`` in the middle of files called so."""
    write_bytes = Path.write_bytes

    def write(path, data):
        if path.name.startswith(name):
            write_bytes(path, data[:10])
            raise error
        return write_bytes(path, data)

    return patch.object(Path, "write_bytes", write)


def test_bad_clips_are_named_and_the_rest_is_done(run):
    good = [put("a/1.wav"), put("a/9.wav")]
    bad = {
        put("a/2.wav", np.array([0.1, np.nan] * 5000), subtype="FLOAT"): "NaN",
        put("a/3.wav"): "0 bytes",
        put("a/4.wav"): "cannot be read",
        put("a/5.wav", rate=22050): "22050 Hz",
        # 233 bytes; the longest feature would be called by more than 255
        put(f"a/6{'夜' * 76}.wav"): "File name too long",
        put("a/7.wav"): "Permission denied",
    }
    nan, empty, text, *_ = bad
    empty.write_bytes(b"")
    text.write_text("words")
    with failing(".7.wav.f0", PermissionError(errno.EACCES, "Permission denied")):
        code, said = run()
    assert code == 0 and "left out: 6" in said
    for wav, reason in bad.items():
        assert f"skipped: {wav}" in said and reason in failed(wav)
        assert problems(wav) == [failed(wav)]
    assert problems(*good) == [] and not any(map(failed, good))
    assert run()[0] == 0  # and again: the records of the failures can be read

    put("a/2.wav")  # repaired
    assert "the recording changed: making" in run()[1]
    assert problems(nan) == []


def test_mistakes_are_one_line(run):
    for args, message in [
        ((), "there is no folder dataset/44k"),
        (("-c", "nowhere.json"), "nowhere.json does not exist"),
        (("--f0_predictor", "ear"), "unknown F0 predictor 'ear'"),
        (("--device", "abacus"), "unknown device"),
    ]:
        code, said = run(*args)
        assert code == 2 and message in said and len(said.splitlines()) == 1
    write_config(speech_encoder="hal9000")
    put("a/1.wav").write_bytes(b"")
    code, said = run()
    assert code == 2 and "unknown speech encoder 'hal9000'" in said and "mfcc" in said
    write_config()
    code, said = run()
    assert code == 2 and said.splitlines()[-1].startswith("preprocess_hubert_f0.py: no clip in")


def test_a_second_run_makes_nothing_and_a_changed_setting_only_its_own(run):
    wavs = [put("a/1.wav"), put("a/2.wav")]
    pair = np.empty(2, dtype=object)
    pair[:] = [np.zeros(5), np.ones(5)]
    np.save(features.feature_path(wavs[0], "f0"), pair, allow_pickle=True)  # as the published project does
    assert "no record of what made them: making" in run("--use_diff")[1]
    assert len(features.load_f0(wavs[0])[0]) == soundfile.info(wavs[0]).frames // HOP

    def times():
        paths = [features.feature_path(wav, kind) for wav in wavs for kind in ALL]
        return {path.name: path.stat().st_mtime_ns for path in paths}

    first = times()
    code, said = run("--use_diff")
    assert code == 0 and times() == first and "making" not in said and "F0 5/50/95" in said
    code, said = run("--use_diff", "--f0_predictor", "dio")
    assert "f0 predictor changed from swift-f0 to dio: making f0 of 2 clips" in said
    assert {name for name, stamp in times().items() if stamp != first[name]} == {
        "1.wav.f0.npy",
        "2.wav.f0.npy",
    }
    assert run("--f0_predictor", "dio")[1].count("making") == 0  # less is wanted: nothing is stale


def test_another_encoder_or_other_weights_are_noticed(run, monkeypatch, tmp_path):
    plain = replace(ENCODERS["mfcc"], n_perturbed=0)
    monkeypatch.setitem(WEIGHTS, "toy", Weights(file="w.pt", purpose="A toy.", licence="none"))
    monkeypatch.setitem(ENCODERS.specs, "plain", replace(plain, weights="toy"))
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path))
    (tmp_path / "w.pt").write_bytes(b"1")
    wav = put("a/1.wav")
    run()
    assert kinds(wav) == ALWAYS
    write_config(speech_encoder="plain", vol_embedding=True)
    said = run()[1]
    assert "not made yet: making volume of 1 clips" in said  # only now is it needed
    assert "encoder changed from mfcc to plain" in said
    assert kinds(wav) == {"units", "f0", "mel", "volume"}  # perturbed copies of mfcc do not stay
    assert problems(wav) == []
    assert "making" not in run()[1]
    (tmp_path / "w.pt").write_bytes(b"22")
    assert "encoder weights changed from toy-1-" in run()[1]


def test_a_whispering_speaker_is_named(run, caplog):
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    put("b/1.wav", noise)
    put("a/1.wav")
    assert run()[0] == 0
    assert caplog.messages == [
        "speaker b: 0 % is voiced: whispered, or try --f0_predictor crepe; no key is advised"
    ]
    track = np.zeros((2, 100), np.float32)
    track[:, 0] = 900.0, 1.0  # a tracker's errors
    for speaker, n_voiced in (("b", 4), ("a", 40)):
        track[:, :n_voiced] = track[:, :1]
        np.save(features.feature_path(f"dataset/44k/{speaker}/1.wav", "f0"), track)
    wavs = [Path(f"dataset/44k/{speaker}/1.wav") for speaker in "ab"]
    ranges = {speaker: survey.range for speaker, survey in survey_f0(wavs).items()}
    assert ranges == {"a": [900.0, 900.0, 900.0], "b": None}


def test_chance_follows_from_the_place_in_the_data_set_alone(run):
    put("a/1.wav")
    put("a/2.wav")
    run("--use_diff")
    here = contents()
    aug = features.SUFFIXES["aug_mel"]
    assert here[f"a/1.wav{aug}"] != here[f"a/2.wav{aug}"]
    Path("elsewhere/a").mkdir(parents=True)
    for name in ("1.wav", "2.wav"):
        shutil.copy(f"dataset/44k/a/{name}", "elsewhere/a")
    run("--use_diff", "--in_dir", "elsewhere")
    assert contents("elsewhere") == here


def test_a_killed_run_is_continued_to_the_same_end(run):
    for number in range(20):
        put(f"a/{number:02d}.wav", voice(1.0 + 0.02 * number, RATE))
    command = [sys.executable, step.__file__, "--use_diff", "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(record_path("dataset/44k/a/03.wav").exists, process)
    process.send_signal(signals.SIGKILL)
    assert process.wait() == -signals.SIGKILL
    halfway = contents()
    wavs = sorted(Path("dataset/44k/a").glob("*.wav"))
    assert problems(*wavs, use_diff=True)

    code, said = run("--use_diff")
    assert code == 0 and "making" in said
    continued = contents()
    assert continued.keys() == {
        f"a/{wav.name}{end}" for wav in wavs for kind, end in features.SUFFIXES.items() if kind in ALL
    }
    assert all(continued[name] == content for name, content in halfway.items() if "/00." in name)
    assert problems(*wavs, use_diff=True) == []
    for path in Path("dataset/44k/a").glob("*.wav.*"):
        path.unlink()
    assert run("--use_diff", "--num_processes", "2")[0] == 0  # two processes make what one makes
    assert contents() == continued


@pytest.mark.parametrize(
    ("error", "ending", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "f0"), 2, "no space left on the disk"),
        (KeyboardInterrupt(), 130, "run the same command for the rest"),
    ],
)
def test_a_full_disk_and_ctrl_c_keep_what_is_finished(run, error, ending, message):
    wavs = [put("a/1.wav"), put("a/2.wav")]
    with failing(".2.wav.f0", error):
        code, said = run()
    assert code == ending and message in said.splitlines()[-1]
    assert not list(Path("dataset").rglob(".*")) and problems(wavs[0]) == []
    assert run()[0] == 0 and problems(*wavs) == []


def test_a_data_set_keeps_the_predictor_of_its_features(run):
    wav = put("a/1.wav")
    assert run("--f0_predictor", "dio")[0] == 0
    put("a/2.wav")
    code, said = run()
    assert code == 0 and "F0 by dio, as before; --f0_predictor swift-f0 makes it again" in said
    assert "new: making" in said and "changed" not in said
    assert settings_of([wav, wav.with_name("2.wav")], "f0", "f0_predictor").keys() == {"dio"}
    code, said = run("--f0_predictor", "swift-f0")
    assert "f0 predictor changed from dio to swift-f0: making f0 of 2 clips" in said
    assert "as before" not in run()[1]


def test_under_torchrun_every_process_takes_its_share(run):
    wavs = [put(f"a/{number}.wav") for number in range(5)]
    bad = put("a/bad.wav")
    bad.write_bytes(b"no sound")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, step.__file__, "--device", "cpu", "--f0_predictor", "pm"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert all(kinds(wav) >= {"units", "f0", "mel"} for wav in wavs)
    assert done.stdout.count("report:") == 1
    assert json.loads(Path("dataset/44k/report.json").read_text())["features"]["speakers"]["a"]["clips"] == 5
    bad.unlink()
    assert "making" not in run("--f0_predictor", "pm")[1]  # nothing was left out, nor made otherwise
