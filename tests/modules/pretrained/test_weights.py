"""The table of weights, and what is said when one is missing."""

import re

import pytest

from modules.common.errors import ConfigError, MissingWeightsError
from modules.f0_predictor import F0_PREDICTORS
from modules.pretrained import weights
from modules.pretrained.weights import (
    WEIGHTS,
    DownloadSource,
    find_weights,
    fingerprint,
    folder,
    missing_message,
    weights_path,
)
from separation import SEPARATORS
from vdecoder import VOCODERS
from vencoder import ENCODERS


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    return tmp_path


def put(root, *names, body=b"weights"):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)


def test_every_entry_is_needed_and_complete():
    parts = (
        spec for registry in (ENCODERS, VOCODERS, F0_PREDICTORS, SEPARATORS) for spec in registry.values()
    )
    assert {spec.weights for spec in parts} - {None} == set(WEIGHTS)
    for key, entry in WEIGHTS.items():
        assert entry.purpose.endswith(".") and entry.licence, key
        assert entry.sources or entry.by_hand, key
        assert not any(name.startswith(("/", ".")) or ".." in name for name in entry.files), key
        for source in entry.sources:
            assert source.url.startswith("https://")
            assert source.sha256 is None or re.fullmatch("[0-9a-f]{64}", source.sha256)
            assert not source.members or set(entry.files) <= set(source.members.values())
        assert all(re.fullmatch("[0-9a-f]{64}", sha) for sha in entry.known)
        if key.startswith("whisper"):  # which states its checksum in its address
            assert entry.sources[0].url.split("/")[-2] == entry.sources[0].sha256
    names = [name for entry in WEIGHTS.values() for name in (*entry.files, *entry.aliases)]
    assert len(names) == len(set(names))


def test_a_missing_file_says_which_how_and_where_in_one_line_and_others_are_found(root):
    for key, entry in WEIGHTS.items():
        assert find_weights(key) is None
        with pytest.raises(MissingWeightsError) as caught:
            weights_path(key)
        message = str(caught.value)
        assert "\n" not in message
        assert all(str(root / name) in message for name in entry.files)
        assert (f"python -m pretrain {key}." in message) == bool(entry.sources)
        assert all(source.url in message for source in entry.sources)
    message = missing_message("nsf-snake-hifigan")
    assert "dec." in message and "G_*.pth" in message
    message = missing_message("rmvpe")  # a zip says which of its files is meant
    assert "rmvpe.pt or https://" in message and "rmvpe.zip (model.pt in it)" in message
    put(root, "nsf_hifigan/model")
    assert find_weights("nsf-hifigan") is None
    assert missing_message("nsf-hifigan").startswith(f"{root}/nsf_hifigan/config.json is missing")
    put(root, "nsf_hifigan/config.json")
    assert weights_path("nsf-hifigan") == root / "nsf_hifigan/model"
    for name in ("hubert_base.pt", "checkpoint_best_legacy_500.pt"):  # the second counts more
        put(root, name)
        assert weights_path("contentvec") == root / name


def test_the_folder_is_that_of_the_variable_and_hf_endpoint_stands_in_for_the_hub_alone(root, monkeypatch):
    assert folder() == root
    monkeypatch.delenv("GLOW_SVC_PRETRAIN")
    assert folder() == weights.ROOT / "pretrain"
    with pytest.raises(ConfigError, match="no weights 'vec'; choose from: contentvec, hubertsoft"):
        find_weights("vec")
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    hub, other = (source.address for source in WEIGHTS["rmvpe"].sources)
    assert hub == "https://mirror.example/datasets/ylzz1997/rmvpe_pretrain_model/resolve/main/rmvpe.pt"
    assert other.startswith("https://github.com/") and hub in missing_message("rmvpe")
    similar = "https://huggingface.co.example/a"
    assert DownloadSource(url=similar).address == similar


def test_a_fingerprint_tells_files_apart(root):
    assert fingerprint(None) == "none" and fingerprint("rmvpe") == "rmvpe"
    for size in (0, 1, 100, 1 << 20, (1 << 20) + 1, 5 << 20):
        put(root, "rmvpe.pt", body=bytes(size))
        first = fingerprint("rmvpe")
        assert first.startswith(f"rmvpe-{size}-")
    (root / "rmvpe.pt").touch()
    assert fingerprint("rmvpe") == first
    for where in (0, (5 << 19) + 3, size - 1):
        put(root, "rmvpe.pt", body=bytes(where) + b"1" + bytes(size - 1 - where))
        assert fingerprint("rmvpe") != first, where
    put(root, "nsf_hifigan/model", "nsf_hifigan/config.json")  # which lies beside and counts
    first = fingerprint("nsf-hifigan")
    put(root, "nsf_hifigan/config.json", body=b"{}")
    assert fingerprint("nsf-hifigan") != first
