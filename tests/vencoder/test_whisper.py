"""Whisper's encoder from OpenAI's file, against OpenAI's numbers."""

import librosa
import numpy as np
import pytest
import torch

from modules.checkpoint.archive import Archive
from modules.common.errors import CheckpointError
from tests.support.golden_cases import load_case, signal
from tests.support.published import ENCODER_CASES
from tests.vencoder.reduced import clip, load_full_size
from vencoder import ENCODERS
from vencoder.whisper import crossfade, load_network, window_starts

names = pytest.mark.parametrize("name", ["whisper-ppg", "whisper-ppg-large"])


@pytest.fixture
def encoder(reduced):
    return reduced("whisper-ppg")


@pytest.fixture
def content():
    case = load_case("encoder_whisper_ppg")
    return {"dims": dict(case.manifest["config"]["reduced"]), "model_state_dict": case.state_dict()}


def build(folder, content):
    torch.save(content, folder / "whisper.pt")
    return ENCODERS.build("whisper-ppg", "cpu", weights=folder / "whisper.pt")


@names
def test_parity_of_the_spectrogram(reduced, name):
    case, encoder = load_case(ENCODER_CASES[name]), reduced(name)
    filters = librosa.filters.mel(sr=16000, n_fft=400, n_mels=80)
    np.testing.assert_allclose(filters, case["debug_mel_filters"], rtol=0, atol=1e-8)
    mel = encoder.log_mel(clip(1.3))
    assert mel.shape == (80, 3000)
    # float32: rounding of the transform shows in bands 70 dB below the loudest, and torch's versions differ
    np.testing.assert_allclose(mel[:, :150], case["debug_logmel_1.3_first150frames"], rtol=0, atol=1e-4)
    with torch.no_grad():
        rows = encoder.network(mel[None]).last_hidden_state[0, [0, 70, 700, 1499]]
    np.testing.assert_allclose(rows, case["debug_full_rows_0_70_700_1499_1.3"], rtol=1e-4, atol=1e-4)


@names
def test_parity_of_the_full_size(name):
    case = load_case(ENCODER_CASES[name])
    n_heads = case.manifest["config"]["published"]["n_audio_head"]

    def load(state, *heads):
        encoder = {key.removeprefix("encoder."): t for key, t in state.items() if key.startswith("encoder.")}
        network = load_network(encoder, "whisper.pt", *heads)
        assert len(network.state_dict()) == len(encoder)
        return network

    network = load_full_size(case, lambda state: load(state, n_heads))
    assert network.ssl_dim == ENCODERS[name].ssl_dim
    assert network.config.max_source_positions == 1500
    default = load_full_size(case, load).config.encoder_attention_heads
    assert default == n_heads, "a head for 64 channels"


def test_half_precision_as_published_is_read_without_the_decoder(tmp_path, content, encoder, monkeypatch):
    """As it is published."""
    content["model_state_dict"] = {name: value.half() for name, value in content["model_state_dict"].items()}
    half = build(tmp_path, content)
    assert {tensor.dtype for tensor in half.network.parameters()} == {torch.float32}
    units, wanted = half.encode(clip(1.3)), encoder.encode(clip(1.3))
    # weights of 11 bits
    assert 0 < (units - wanted).norm() < 3e-3 * wanted.norm()
    sizes = []
    read = Archive.tensor
    monkeypatch.setattr(
        Archive, "tensor", lambda self, lazy: sizes.append(tuple(lazy.size)) or read(self, lazy)
    )
    content["model_state_dict"]["decoder.token_embedding.weight"] = torch.zeros(41, 43)
    encoder = build(tmp_path, content)
    assert (32, 80, 3) in sizes, "the encoder's are read"
    assert (41, 43) not in sizes
    assert len(sizes) == len(encoder.network.state_dict())


def test_the_numbers_of_units_and_heads_and_files_without_an_encoder(encoder, tmp_path, content):
    for n_samples, n_units in ((1, 1), (319, 1), (320, 1), (639, 1), (640, 2), (20801, 65)):
        assert encoder.encode(clip(2.0)[:n_samples]).shape == (32, n_units)
    audio = torch.from_numpy(signal("breath", (480320,), 0.1))  # around one window of 30 s
    full = encoder.encode(audio[:480000])
    for extra, n_units in ((-1, 1499), (0, 1500), (319, 1500), (320, 1501)):
        units = encoder.encode(audio[: 480000 + extra])
        assert units.shape == (32, n_units)
        assert extra != 319 or torch.equal(units, full), "as published, the remainder has no unit"
    del content["dims"]
    encoder = build(tmp_path, content)
    assert encoder.network.config.encoder_attention_heads == 1, "one for 64 channels"
    content["dims"] = {"n_audio_head": "many"}
    assert build(tmp_path, content).network.config.encoder_attention_heads == 1
    content["dims"]["n_audio_head"] = 5
    with pytest.raises(CheckpointError, match=r"whisper\.pt.*32 channels.*5 heads"):
        build(tmp_path, content)
    for state in ({"decoder.ln.weight": torch.zeros(3)}, {"encoder.conv1.weight": 1.0, 7: None}):
        with pytest.raises(CheckpointError, match=r"whisper\.pt holds no 'model_state_dict'"):
            build(tmp_path, {"model_state_dict": state})


@pytest.fixture(scope="module")
def song():
    return torch.cat([clip(25.0), clip(25.0).flip(0)])  # 50 s


def test_nothing_is_cut_or_stretched_after_30_seconds(encoder, song):
    units = encoder.encode(song)
    assert units.shape == (32, 2500)
    changed = song.clone()
    changed[45 * 16000 : 45 * 16000 + 3200] = torch.from_numpy(signal("chirp", (3200,), 0.1))
    difference = (encoder.encode(changed) - units).norm(dim=0)
    # the first window ends at 30 s, and its weight is 0 after 25.5 s
    assert difference[:1225].max() == 0
    assert difference[2250:2260].min() > 5 * difference[1400:2200].mean()


def test_windows_equal_recordings_of_30_seconds_and_have_no_seam(encoder, song):
    units = encoder.encode(song)
    mel = encoder.log_mel(song)
    with torch.no_grad():
        alone = encoder.network(mel[None, :, :3000]).last_hidden_state[0].T
    torch.testing.assert_close(units[:, :1200], alone[:, :1200], rtol=0, atol=1e-5)
    assert mel.min() >= mel.max() - 2, "80 dB are 2 after scaling: one floor for all windows"
    first = encoder.encode(song[:480000])
    # a separate recording has another edge, and here the same maximum
    torch.testing.assert_close(units[:, :1200], first[:, :1200], rtol=0, atol=0.05)
    short, batched = encoder.encode_batch([song[:5000], song])
    torch.testing.assert_close(short, encoder.encode(song[:5000]), rtol=0, atol=2e-5)
    torch.testing.assert_close(batched, units, rtol=0, atol=2e-5)
    steps = units.diff(dim=1).norm(dim=0)
    middle = (1000 + 1500) // 2
    # a cut without a crossfade makes 1.9
    assert steps[middle - 30 : middle + 30].max() < 1.5 * steps.median()


def test_windows_cover_everything_and_their_crossfades_are_linear_and_sum_to_one():
    for n_units in (1, 1500, 1501, 2500, 2800, 2801, 30000):
        starts = window_starts(n_units, 1500)
        assert starts[0] == 0
        if n_units <= 1500:
            assert starts == [0]
            continue
        assert starts[-1] == n_units - 1500, "no window extends into silence"
        assert all(0 < later - start <= 1300 for start, later in zip(starts, starts[1:], strict=False))
        assert len(starts) <= n_units / 1300 + 1, "as few as possible"
    starts = window_starts(3000, 1500)
    units = crossfade([torch.full((1, 1500), float(index)) for index in range(len(starts))], starts, 3000)[0]
    steps = units.diff()
    assert steps.min() >= 0
    torch.testing.assert_close(steps.max(), torch.tensor(1 / 50), rtol=0, atol=1e-5)
    for index, start in enumerate(starts):
        assert units[start + 750] == index
    wanted = torch.from_numpy(signal("units", (4, 4000)))
    starts = window_starts(4000, 1500)
    units = crossfade([wanted[:, start : start + 1500] for start in starts], starts, 4000)
    torch.testing.assert_close(units, wanted, rtol=0, atol=1e-6)
