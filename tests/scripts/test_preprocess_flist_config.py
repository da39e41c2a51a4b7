import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

import preprocess_flist_config as step
from diffusion.config import load_diffusion_config, parse_diffusion_config
from diffusion.samplers import check_method
from modules.common.registry import Registry
from modules.config import load_config, parse_config
from modules.dsp.unit_clock import UnitClock
from modules.pretrained import starter
from modules.pretrained.weights import WEIGHTS
from training.data.batches import held_out_frames
from vdecoder import VOCODERS
from vencoder import EncoderSpec

TEMPLATE = json.loads((step.TEMPLATES / "config_template.json").read_text(encoding="utf-8"))
TINY = json.loads((step.TEMPLATES / "config_tiny_template.json").read_text(encoding="utf-8"))


ENCODERS = Registry(
    "speech encoder", {f"{dim}": EncoderSpec("", dim, UnitClock(160)) for dim in (12, 256, 768, 1024)}
)


@pytest.fixture
def run(script, monkeypatch):
    """Run the script with encoders of several sizes; return the outcome."""
    monkeypatch.setattr(step, "ENCODERS", ENCODERS)
    return lambda *args, encoder="768": script(step.main, "--speech_encoder", encoder, *args)


def diffusion() -> dict:
    return yaml.safe_load(Path("configs/diffusion.yaml").read_text(encoding="utf-8"))


def put(speaker: str, *names: str, seconds: float = 0.5):
    folder = Path("dataset/44k", speaker)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        soundfile.write(folder / name, np.zeros(round(seconds * 8000)), 8000, subtype="PCM_16")


def numbered(n: int) -> list[str]:
    return [f"{i:02d}.wav" for i in range(n)]


def lists() -> tuple[list[str], list[str]]:
    train, val = (Path(f"filelists/{name}.txt").read_text(encoding="utf-8") for name in ("train", "val"))
    return train.splitlines(), val.splitlines()


def test_the_template_is_the_published_one():
    values = {key: value for section in TEMPLATE.values() for key, value in section.items()}
    expected = {
        "learning_rate": 0.7, "scheduler": "noam", "warmup_steps": 4000, "betas": [0.8, 0.99], "eps": 1e-9,
        "batch_size": 6, "max_speclen": 512, "c_mel": 45, "c_kl": 1.0, "keep_ckpts": 3, "port": "8001",
        "filter_length": 2048, "hop_length": 512, "n_mel_channels": 128, "mel_fmin": 40, "mel_fmax": 16000,
        "hidden_channels": 192, "filter_channels": 768, "n_flow_block_layer": 12, "n_sqz": 2,
        "use_automatic_f0_prediction": True, "eval_interval": 800, "log_interval": 200, "epochs": 10000,
    }  # fmt: skip
    assert {key: values[key] for key in expected} == expected


def test_a_small_model_has_the_sizes_of_the_base_model_of_its_encoder(run, tmp_path, monkeypatch):
    put("a", *numbered(4))
    monkeypatch.setattr(starter, "STARTER", tmp_path / "base.safetensors")
    monkeypatch.setattr(starter, "STARTER_ENCODER", "256")
    (tmp_path / "config.json").write_text('{"model": {"hidden_channels": 44, "n_speakers": 9, "ssl_dim": 1}}')
    tiny = TINY["model"]["hidden_channels"]
    for encoder, flags, size in (("256", ("--tiny",), 44), ("256", (), 192), ("12", ("--tiny",), tiny)):
        assert run(*flags, encoder=encoder).code == 0
        model = load_config("configs/config.json").model
        assert (model.hidden_channels, model.n_speakers, model.ssl_dim) == (size, 1, int(encoder))


@pytest.mark.parametrize("flags", [(), ("--tiny",)])
def test_new_models_learn_units_at_their_true_times_and_others_keep_theirs(run, flags):
    put("a", *numbered(4))
    run(*flags)
    new = load_config("configs/config.json"), load_diffusion_config("configs/diffusion.yaml")
    assert [config.data.unit_interpolate_mode for config in new] == ["time", "time"]
    old = parse_config({}), parse_diffusion_config({})
    assert [config.data.unit_interpolate_mode for config in old] == ["nearest", "nearest"]


def test_two_clips_per_speaker_are_kept_for_validation(run):
    put("b", *numbered(22))
    put("a", *numbered(20))
    done = run()
    assert done.code == 0 and "next" not in done.said.lower()
    train, val = lists()
    assert len(train) == 38 and len(val) == 4 and not set(train) & set(val)
    assert train == sorted(train) and val == sorted(val)
    assert train[0].startswith("dataset/44k/a/") and all(Path(line).is_file() for line in train + val)
    config = load_config("configs/config.json")
    assert config.spk == {"a": 0, "b": 1} and config.model.n_speakers == 2
    assert diffusion()["spk"] == {"a": 0, "b": 1} and diffusion()["model"]["n_spk"] == 2
    assert diffusion()["train"]["lr"] == 1e-4


def test_names_are_composed_and_two_folders_of_one_name_are_refused(run):
    decomposed = unicodedata.normalize("NFD", "Zoé")
    put(decomposed, *numbered(3))
    assert run().code == 0
    assert load_config("configs/config.json").spk == {"Zoé": 0}
    assert json.loads(Path("configs/config.json").read_text(encoding="utf-8"))["spk"] == {"Zoé": 0}
    assert all(Path(line).is_file() for line in lists()[0])
    put("Zoé", *numbered(3))
    if len(list(Path("dataset/44k").iterdir())) == 2:  # not on a Mac, where both are one folder
        assert run().is_mistake("two folders of dataset/44k are called Zoé")


def test_a_second_run_writes_the_same_and_a_new_speaker_moves_no_other(run):
    put("b", *numbered(10))
    run()
    files = [Path("filelists/train.txt"), Path("filelists/val.txt"), Path("configs/diffusion.yaml")]
    first = [path.read_bytes() for path in files]
    _, val = lists()
    run()
    assert [path.read_bytes() for path in files] == first
    assert not list(Path("configs").glob("*.bak"))
    put("a", *numbered(4))
    run()
    assert [line for line in lists()[1] if "/b/" in line] == val


def test_validation_takes_a_tenth_of_the_time_at_most(run):
    """Or the longest clips are in both lists, and training splits them."""
    for n, n_train, n_val in (
        (1, 1, 1),
        (2, 2, 2),
        (3, 3, 2),
        (9, 9, 2),
        (10, 9, 1),
        (19, 18, 1),
        (20, 18, 2),
    ):
        put("solo", *numbered(n))
        done = run()
        assert done.code == 0 and ("validation measures what is trained on" in done.said) == (n < 10)
        assert tuple(map(len, lists())) == (n_train, n_val)
    put("songs", *numbered(17))
    put("songs", "long1.wav", "long2.wav", "long3.wav", seconds=120)
    run()
    assert [line for line in lists()[1] if "long" in line] == []
    assert len([line for line in lists()[1] if "songs" in line]) == 2


def test_of_three_long_recordings_none_is_lost_to_training(run):
    put("a", "1.wav", "3.wav", seconds=120)
    put("a", "2.wav", seconds=100)
    assert "3 clips, each more than a tenth of the time: validation measures the first tenth" in run().said
    train, val = lists()
    assert len(train) == 3 and val == ["dataset/44k/a/1.wav", "dataset/44k/a/3.wav"]
    frames = 120 * 44100 // 512
    assert sum(held_out_frames(n, 44100 / 512) for n in (frames, frames)) * 512 / 44100 < 0.1 * 340


def test_clips_that_cannot_be_used_are_named_and_ids_stay_dense(run):
    longest = "夜" * 72 + ".wav"  # 220 bytes
    put("a", *numbered(3), longest, "x" + longest)
    put("a", "blink.wav", seconds=0.29)
    Path("dataset/44k/a/empty.wav").touch()
    Path("dataset/44k/a/text.wav").write_text("words")
    Path("dataset/44k/a/two\nlines.wav").write_bytes(Path("dataset/44k/a/00.wav").read_bytes())
    put("nobody", "blink.wav", seconds=0.05)
    put("z", *numbered(3))
    done = run()
    assert done.code == 0
    for part in (
        "blink.wav lasts 0.29 s",
        "empty.wav is empty",
        "text.wav cannot be read",
        "not a line of text",
        f"skipped: dataset/44k/a/x{longest} has a name of more than 220 bytes",
        "speaker nobody has no usable clip",
    ):
        assert part in done.said
    assert load_config("configs/config.json").spk == {"a": 0, "z": 1}
    train, val = lists()
    assert f"dataset/44k/a/{longest}" in train and len(train) == 7 and set(val) < set(train)


def test_unusual_names_are_warned_of_and_work(run):
    put("歌手 一", "あの 歌.wav", "b.wav", "c.wav", "[d] é.wav")
    done = run()
    assert done.code == 0 and "names hold more than" in done.said
    train, val = lists()
    assert sorted(Path(line).name for line in {*train, *val}) == sorted(
        ["あの 歌.wav", "b.wav", "c.wav", "[d] é.wav"]
    )
    assert "歌手 一" in Path("configs/config.json").read_text(encoding="utf-8")
    assert "歌手 一" in Path("configs/diffusion.yaml").read_text(encoding="utf-8")


def test_sizes_follow_the_encoder_and_flags_the_command(run):
    put("a", *numbered(4))
    tiny = TINY["model"]["gin_channels"], TINY["model"]["filter_channels"]
    for size, gin in ((12, 256), (256, 256), (768, 768), (1024, 1024)):
        for flags, sizes in (([], (gin, max(gin, 768))), (["--tiny"], tiny)):
            run(*flags, encoder=f"{size}")
            model, data = load_config("configs/config.json").model, diffusion()["data"]
            assert (model.speech_encoder, model.ssl_dim) == (f"{size}", size)
            assert (data["encoder"], data["encoder_out_channels"]) == (f"{size}", size)
            assert (model.gin_channels, model.filter_channels) == sizes
        assert diffusion()["model"]["n_layers"] < 20
    run("--vocoder", "world", "--vol_aug", "--train_list", "lists/t.txt", "--val_list", "lists/v.txt")
    config = load_config("configs/config.json")
    assert config.train.vol_aug and config.model.vol_embedding and config.model.vocoder_name == "world"
    assert (config.data.training_files, config.data.validation_files) == ("lists/t.txt", "lists/v.txt")
    assert len(Path("lists/t.txt").read_text().splitlines()) == 4
    assert diffusion()["vocoder"] == {"type": "world", "ckpt": ""}


def test_the_diffusion_model_has_the_vocoder_of_the_voice_and_its_own_method(run):
    put("a", *numbered(3), seconds=0.5)
    put("a", *[f"long{i}.wav" for i in range(3)], seconds=3.0)
    for vocoder, spec in VOCODERS.items():
        assert "3 of 6 clips are shorter than data.duration" in run("--vocoder", vocoder).said
        config = load_diffusion_config("configs/diffusion.yaml")
        assert (config.vocoder.type, config.model.type) == (vocoder, "Diffusion")
        assert config.vocoder.ckpt == (f"pretrain/{WEIGHTS[spec.weights].file}" if spec.weights else "")
    run("--reflow")
    config = load_diffusion_config("configs/diffusion.yaml")
    assert (config.model.type, check_method(config.infer.method, "ReFlow")) == ("ReFlow", "euler")


def test_an_edited_configuration_is_kept_each_time(run):
    put("a", *numbered(4))
    run()
    config = Path("configs/config.json")
    for edit in ("one", "two"):
        config.write_text(edit)
        done = run()
        assert done.code == 0 and "kept as" in done.said
    assert {path.read_text() for path in config.parent.glob("config.json*.bak")} == {"one", "two"}
    assert load_config(config).spk == {"a": 0}


def test_mistakes_are_one_line(run):
    for prepare, args, message in [
        (lambda: None, (), "there is no folder dataset/44k"),
        (lambda: Path("dataset/44k").mkdir(parents=True), (), "holds no recordings"),
        (lambda: put("a", "x.wav", seconds=0.05), (), "holds no usable clip"),
        (lambda: put("a", "x.wav"), ("--speech_encoder", "hal9000"), "choose one of: 12, 256, 768, 1024"),
        (lambda: None, ("--vocoder", "theremin"), "choose one of: nsf-hifigan, nsf-hifigan-log10, nsf-snake"),
    ]:
        prepare()
        done = run(*args)
        assert done.code == 2 and message in done.said
    assert not Path("configs").exists() and not Path("filelists").exists()
