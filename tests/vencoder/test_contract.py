"""What holds for every speech encoder in the table, whatever is inside.

Each is built from the goldens' reduced model, through the published container;
with the real weights under pretrain/, the tests marked ``weights`` run too.
"""

import re
import shutil

import pytest
import torch

from modules.common.errors import CheckpointError, ConfigError, GlowSVCError, MissingWeightsError
from modules.pretrained.weights import WEIGHTS, find_weights
from tests.support.golden_cases import voice
from tests.support.published import ENCODER_CASES, write_encoder, write_vocoder
from vencoder import ENCODERS

FROM_FILES = [name for name in ENCODERS if ENCODERS[name].weights]
from_files = pytest.mark.parametrize("file_name", FROM_FILES)
# what reads what: an encoder takes any file of its own group, which differ in size alone
GROUPS = [{"vec768l12", "vec256l9"}, {"whisper-ppg", "whisper-ppg-large"}]
GROUPS.append({name for name in ENCODERS if name.endswith("-onnx")})
# one file of each kind, and what it may be said to be
KINDS = {
    "vec768l12": "HuBERT|ContentVec",
    "hubertsoft": "HuBERT",
    "cnhubertlarge": "HuBERT",
    "wavlmbase+": "WavLM",
    "dphubert": "DPHuBERT",
    "whisper-ppg": "Whisper",
    "hubertsoft-onnx": "ONNX",
    "a vocoder": "vocoder",
    "a web page": "web page",
}


@pytest.fixture(scope="module", params=list(ENCODERS))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def encoder(name, tmp_path_factory):
    if ENCODERS[name].weights is None:
        return ENCODERS.build(name, "cpu")
    return ENCODERS.build(name, "cpu", weights=write_encoder(name, tmp_path_factory.mktemp(name)))


@pytest.fixture(scope="module")
def audio():
    return torch.from_numpy(voice(2.0, 16000))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One model file of each kind."""
    folder = tmp_path_factory.mktemp("files")
    written = {}
    for kind in KINDS:
        (folder / kind).mkdir()
        if kind == "a vocoder":
            written[kind] = write_vocoder("nsf_hifigan", folder / kind)
        elif kind == "a web page":
            written[kind] = folder / kind / "model.pt"
            written[kind].write_text("<!DOCTYPE html><html><body>Quota exceeded</body></html>")
        else:
            written[kind] = write_encoder(kind, folder / kind)
    return written


# ---- units


def test_units_have_the_size_that_the_table_says(name, encoder, audio):
    units = encoder.encode(audio)
    assert encoder.name == name
    assert (encoder.sampling_rate, encoder.hop_length) == (16000, 320)
    assert units.dtype == torch.float32
    assert units.shape[0] == encoder.ssl_dim
    # HuBERT's convolutions eat the last one
    assert 99 <= units.shape[1] <= 101
    assert torch.isfinite(units).all()
    assert units.device == torch.device("cpu")


def test_units_are_plain_tensors_without_history(encoder, audio):
    units = encoder.encode(audio.clone().requires_grad_())
    assert not units.requires_grad
    assert not units.is_inference()  # training could not use those
    assert units.is_contiguous()
    units.add_(1)  # nothing of the encoder's own
    assert not torch.equal(units, encoder.encode(audio))


def test_units_follow_the_sound(encoder, audio):
    one, other = encoder.encode(audio), encoder.encode(audio.flip(0))
    assert (one - other).abs().mean() > 0.05 * one.abs().mean()
    assert one.std(1).mean() > 0.01 * one.abs().mean()


@pytest.mark.parametrize("n_samples", [1, 2, 159, 160, 319, 320, 399, 400, 401, 641])
def test_short_clips_are_padded(encoder, audio, n_samples):
    units = encoder.encode(audio[:n_samples])
    assert 1 <= units.shape[1] <= 2
    assert torch.isfinite(units).all()


def test_every_second_counts_however_long_the_clip(encoder, audio):
    units = encoder.encode(audio.repeat(16))  # 32 s
    assert abs(units.shape[1] - 1600) <= 1
    assert units[:, -100:].std() > 0.1 * units.std()


def test_what_is_beyond_a_window_is_heard_as_what_is_in_one(encoder, audio):
    units = encoder.encode(audio.repeat(35))  # 70 s
    assert abs(units.shape[1] - 3500) <= 1
    assert torch.isfinite(units).all()
    stds = torch.stack([part.std() for part in units[:, :3400].split(200, dim=1)])
    assert stds.min() > 0.5 * stds.max()


def test_silence_is_no_error(encoder):
    assert torch.isfinite(encoder.encode(torch.zeros(16000))).all()


# ---- audio


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_float_type(encoder, audio, dtype):
    typed = audio.to(dtype)
    units = encoder.encode(typed)
    assert units.dtype == torch.float32
    torch.testing.assert_close(units, encoder.encode(typed.float()), rtol=0, atol=0)


@pytest.mark.parametrize("layout", ["one row", "one column", "channels first", "channels last"])
def test_channels_are_averaged_wherever_they_are(encoder, audio, layout):
    other = audio.flip(0) * 0.5
    mono = audio if layout.startswith("one") else (audio + other) / 2
    stereo = torch.stack([mono] if layout.startswith("one") else [audio, other])
    if layout in ("one column", "channels last"):
        stereo = stereo.T
    torch.testing.assert_close(encoder.encode(stereo), encoder.encode(mono), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(0,), (1, 2, 16000), (), (2, 0)])
def test_what_is_no_audio_is_refused(encoder, shape):
    with pytest.raises(GlowSVCError, match="needs audio"):
        encoder.encode(torch.zeros(shape))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_numbers_that_are_none_are_refused(encoder, audio, value):
    broken = audio.clone()
    broken[7] = value
    with pytest.raises(GlowSVCError, match="NaN"):
        encoder.encode(broken)


def test_whole_numbers_are_refused(encoder, audio):
    """int16 read as floats would be 90 dB too loud."""
    with pytest.raises(GlowSVCError, match="int16"):
        encoder.encode((audio * 32767).to(torch.int16))


# ---- state


def test_equal_audio_gives_equal_units_and_stays_as_it_was(encoder, audio):
    before, state = audio.clone(), torch.get_rng_state()
    assert torch.equal(encoder.encode(audio), encoder.encode(audio))
    assert torch.equal(before, audio)
    assert torch.equal(state, torch.get_rng_state())


def test_the_network_is_for_use_and_not_for_training(encoder):
    network = getattr(encoder, "network", None)
    if network is None:
        pytest.skip("no torch network")
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_batch_gives_what_one_by_one_gives(encoder, audio):
    clips = [audio[:16000], audio, audio[5000:5100], audio[:28000], audio[400:12345], audio.flip(0)]
    for units, alone in zip(encoder.encode_batch(clips), map(encoder.encode, clips), strict=True):
        # float32; a batch sums in another order
        torch.testing.assert_close(units, alone, rtol=1e-4, atol=1e-4)


def test_a_batch_may_be_empty(encoder):
    assert encoder.encode_batch([]) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_audio_on_the_cpu_and_a_network_on_the_gpu(name, encoder, audio, tmp_path):
    options = {"weights": write_encoder(name, tmp_path)} if ENCODERS[name].weights else {}
    units = ENCODERS.build(name, "cuda", **options).encode(audio)
    assert units.device.type == "cuda"
    torch.testing.assert_close(units.cpu(), encoder.encode(audio), rtol=1e-2, atol=1e-2)  # TF32


# ---- files


@from_files
def test_a_missing_file_says_how_to_get_it(file_name, tmp_path, monkeypatch):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path))
    with pytest.raises(MissingWeightsError, match=re.escape(str(tmp_path))) as caught:
        ENCODERS.build(file_name, "cpu")
    if WEIGHTS[ENCODERS[file_name].weights].sources:
        assert f"python -m pretrain {ENCODERS[file_name].weights}" in str(caught.value)


@from_files
def test_a_file_of_another_size_in_the_published_place_is_refused(file_name, tmp_path, monkeypatch):
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))
    reduced = write_encoder(file_name, tmp_path)
    width = ENCODERS.build(file_name, "cpu", weights=reduced).ssl_dim
    place = tmp_path / "pretrain" / WEIGHTS[ENCODERS[file_name].weights].file
    place.parent.mkdir(parents=True)
    shutil.copy(reduced, place)
    with pytest.raises(CheckpointError, match=rf"{width}\b.*\b{ENCODERS[file_name].ssl_dim}\b"):
        ENCODERS.build(file_name, "cpu")


@from_files
def test_a_file_of_another_kind_is_named(file_name, files):
    group = next((group for group in GROUPS if file_name in group), {file_name})
    for kind, path in files.items():
        if kind in group:
            continue
        with pytest.raises(CheckpointError, match=re.escape(str(path))) as caught:
            ENCODERS.build(file_name, "cpu", weights=path)
        message = str(caught.value)
        assert "\n" not in message
        # a torch file is no graph, whatever else it is
        expected = f"{KINDS[kind]}|PyTorch" if file_name.endswith("-onnx") else KINDS[kind]
        assert re.search(expected, message.replace(str(path), "")), message


@from_files
@pytest.mark.parametrize("damage", ["cut short", "empty", "noise", "a folder", "not there"])
def test_a_damaged_file_is_refused_in_one_line(file_name, tmp_path, damage):
    path = write_encoder(file_name, tmp_path)
    whole = path.read_bytes()
    path.unlink()
    if damage == "cut short":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "noise":
        path.write_bytes(bytes(range(256)) * 40)
    elif damage == "a folder":
        path.mkdir()
    with pytest.raises(CheckpointError, match=re.escape(str(path))) as caught:
        ENCODERS.build(file_name, "cpu", weights=path)
    assert "\n" not in str(caught.value)


@pytest.mark.weights
@from_files
def test_the_published_weights(file_name, audio):
    if find_weights(ENCODERS[file_name].weights) is None:
        pytest.skip(f"no weights: python -m pretrain {ENCODERS[file_name].weights}")
    encoder = ENCODERS.build(file_name, "cpu")
    units = encoder.encode(audio)
    assert units.shape[0] == encoder.ssl_dim == ENCODERS[file_name].ssl_dim
    assert torch.isfinite(units).all()
    batch = encoder.encode_batch([audio, audio[:20000]])
    torch.testing.assert_close(batch[0], units, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(batch[1], encoder.encode(audio[:20000]), rtol=1e-3, atol=1e-3)


# ---- the table


def test_every_encoder_goes_through_here_in_its_published_container():
    assert set(ENCODER_CASES) == set(FROM_FILES)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ConfigError, match="mfcc"):
        ENCODERS.build("hubert", "cpu")
