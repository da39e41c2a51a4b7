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
from vdecoder import VOCODERS
from vencoder import ENCODERS

SHA256 = re.compile(r"[0-9a-f]{64}")


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    return tmp_path


def put(root, *names, body=b"weights"):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)


def test_the_registries_and_the_table_agree():
    needed = {
        spec.weights for registry in (ENCODERS, VOCODERS, F0_PREDICTORS) for spec in registry.values()
    } - {None}
    assert needed == set(WEIGHTS)


def test_every_entry_is_complete():
    for key, entry in WEIGHTS.items():
        assert entry.purpose.endswith(".") and entry.licence, key
        assert entry.sources or entry.by_hand, key
        assert not any(name.startswith(("/", ".")) or ".." in name for name in entry.files), key
        for source in entry.sources:
            assert source.url.startswith("https://")
            assert source.sha256 is None or SHA256.fullmatch(source.sha256)
            assert not source.members or set(entry.files) <= set(source.members.values())
        assert all(SHA256.fullmatch(sha) for sha in entry.known)
        if key.startswith("whisper"):  # which states its checksum in its address
            assert entry.sources[0].url.split("/")[-2] == entry.sources[0].sha256
    names = [name for entry in WEIGHTS.values() for name in (*entry.files, *entry.aliases)]
    assert len(names) == len(set(names))


def test_a_missing_file_says_which_how_and_where_in_one_line(root):
    for key, entry in WEIGHTS.items():
        assert find_weights(key) is None
        with pytest.raises(MissingWeightsError) as caught:
            weights_path(key)
        message = str(caught.value)
        assert "\n" not in message
        assert all(str(root / name) in message for name in entry.files)
        assert (f"python -m pretrain {key}." in message) == bool(entry.sources)
        assert all(source.url in message for source in entry.sources)
    assert "dec." in missing_message("nsf-snake-hifigan") and "G_*.pth" in missing_message(
        "nsf-snake-hifigan"
    )
    message = missing_message("rmvpe")  # a zip says which of its files is meant
    assert "rmvpe.pt or https://" in message and "rmvpe.zip (model.pt in it)" in message


def test_what_is_there_is_not_called_missing(root):
    put(root, "nsf_hifigan/model")
    assert find_weights("nsf-hifigan") is None
    message = missing_message("nsf-hifigan")
    assert message.startswith(f"{root}/nsf_hifigan/config.json is missing")
    put(root, "nsf_hifigan/config.json")
    assert weights_path("nsf-hifigan") == root / "nsf_hifigan/model"


def test_hubert_base_serves_under_its_own_name_too(root):
    put(root, "hubert_base.pt")
    assert weights_path("contentvec") == root / "hubert_base.pt"
    put(root, "checkpoint_best_legacy_500.pt")
    assert weights_path("contentvec") == root / "checkpoint_best_legacy_500.pt"


def test_an_unknown_key_lists_the_keys():
    with pytest.raises(ConfigError, match="no weights 'vec'; choose from: contentvec, hubertsoft"):
        find_weights("vec")


def test_the_folder_is_that_of_the_variable_or_the_project_s(root, monkeypatch):
    assert folder() == root
    monkeypatch.delenv("GLOW_SVC_PRETRAIN")
    assert folder() == weights.ROOT / "pretrain"


@pytest.mark.parametrize("endpoint", ["https://mirror.example", "https://mirror.example/"])
def test_hf_endpoint_stands_in_for_the_hub_and_for_nothing_else(monkeypatch, endpoint):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    hub, other = (source.address for source in WEIGHTS["rmvpe"].sources)
    assert hub == "https://mirror.example/datasets/ylzz1997/rmvpe_pretrain_model/resolve/main/rmvpe.pt"
    assert other.startswith("https://github.com/")
    assert hub in missing_message("rmvpe")
    assert (
        DownloadSource(url="https://huggingface.co.example/a").address == "https://huggingface.co.example/a"
    )


def test_a_fingerprint_tells_files_apart(root):
    assert fingerprint(None) == "none" and fingerprint("rmvpe") == "rmvpe"
    body = bytearray(5 << 20)
    put(root, "rmvpe.pt", body=body)
    first = fingerprint("rmvpe")
    assert first.startswith("rmvpe-5242880-")
    (root / "rmvpe.pt").touch()
    assert fingerprint("rmvpe") == first
    for where in (0, (5 << 19) + 3, len(body) - 1):
        changed = bytearray(body)
        changed[where] = 1
        put(root, "rmvpe.pt", body=changed)
        assert fingerprint("rmvpe") != first, where
    put(root, "rmvpe.pt", body=body[:-1])
    assert fingerprint("rmvpe") != first
    for size in (0, 1, 100, 1 << 20, (1 << 20) + 1):
        put(root, "rmvpe.pt", body=bytes(size))
        assert fingerprint("rmvpe").startswith(f"rmvpe-{size}-")
    put(root, "nsf_hifigan/model", "nsf_hifigan/config.json")  # which lies beside and counts
    first = fingerprint("nsf-hifigan")
    put(root, "nsf_hifigan/config.json", body=b"{}")
    assert fingerprint("nsf-hifigan") != first
