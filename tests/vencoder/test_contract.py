"""What holds for every speech encoder in the table.

Each is built from the goldens' reduced model, in the published container; with
the real weights under pretrain/, the tests marked ``weights`` run too.
"""

import re
import shutil
from functools import partial

import pytest
import torch

from modules.common.errors import CheckpointError, GlowSVCError, MissingWeightsError
from modules.pretrained.weights import WEIGHTS, find_weights
from tests.support.golden_cases import load_case
from tests.support.published import ENCODER_CASES, write_encoder, write_vocoder
from tests.vencoder import reduced
from vencoder import ENCODERS
from vencoder.ppg.attention import AttentionNetwork

FROM_FILES = [name for name in ENCODERS if ENCODERS[name].weights]
AUDIO = reduced.clip(2.0)
from_files = pytest.mark.parametrize("file_name", FROM_FILES)
# encoders that read each other's files, which differ in size alone
GROUPS = [{"vec768l12", "vec256l9"}, {"whisper-ppg", "whisper-ppg-large"}]
GROUPS.append({name for name in ENCODERS if name.endswith("-onnx")})
# one file of each kind, and how messages may name it
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
def build(name, tmp_path_factory):
    """Build the encoder again, from the same file."""
    path = write_encoder(name, tmp_path_factory.mktemp(name)) if ENCODERS[name].weights else None
    return partial(reduced.build, name, path)


@pytest.fixture(scope="module")
def encoder(build):
    return build()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One model file of each kind."""
    written = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp("files")
        if kind == "a vocoder":
            written[kind] = write_vocoder("nsf_hifigan", folder)
        elif kind == "a web page":
            written[kind] = folder / "model.pt"
            written[kind].write_text("<!DOCTYPE html><html><body>Quota exceeded</body></html>")
        else:
            written[kind] = write_encoder(kind, folder)
    return written


def test_parity_through_the_published_file(name, encoder):
    if name not in ENCODER_CASES:
        pytest.skip("not a published encoder")
    reduced.assert_parity(encoder, load_case(ENCODER_CASES[name]))


def test_units_are_plain_tensors_of_the_stated_size(name, encoder):
    assert encoder.name == name
    assert (encoder.sampling_rate, encoder.hop_length) == (16000, 320)
    assert (encoder.clock.sampling_rate, encoder.clock.hop_length) == (16000, 320)
    units = encoder.encode(AUDIO.clone().requires_grad_())
    assert units.dtype == torch.float32 and units.device == torch.device("cpu") and units.is_contiguous()
    assert not units.requires_grad and not units.is_inference(), "training must be able to use them"
    # HuBERT's convolutions drop the last one
    assert units.shape[0] == encoder.ssl_dim and 99 <= units.shape[1] <= 101
    assert torch.isfinite(units).all()
    units.add_(1)  # not a view of the encoder's state
    assert not torch.equal(units, encoder.encode(AUDIO))


def test_short_clips_silence_and_long_clips_are_encoded_to_their_end(encoder):
    for n_samples in (1, 160, 319, 320, 399, 400, 641):
        units = encoder.encode(AUDIO[:n_samples])
        assert 1 <= units.shape[1] <= 2 and torch.isfinite(units).all(), n_samples
    assert torch.isfinite(encoder.encode(torch.zeros(16000))).all()
    # beyond one window of 30 or 40 s as within it
    units = encoder.encode(AUDIO.repeat(35))  # 70 s
    assert abs(units.shape[1] - 3500) <= 1
    assert torch.isfinite(units).all()
    stds = torch.stack([part.std() for part in units[:, :3400].split(200, dim=1)])
    assert stds.min() > 0.5 * stds.max()


def test_any_float_type_and_layout_will_do_and_unusable_audio_is_refused(encoder):
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        typed = AUDIO.to(dtype)
        assert torch.equal(encoder.encode(typed), encoder.encode(typed.float())), dtype
    mono = encoder.encode(AUDIO)
    for layout in (AUDIO[None], AUDIO[:, None]):
        assert torch.equal(encoder.encode(layout), mono)
    other = AUDIO.flip(0) * 0.5
    mean = encoder.encode((AUDIO + other) / 2)
    for layout in (torch.stack([AUDIO, other]), torch.stack([AUDIO, other], 1)):
        torch.testing.assert_close(encoder.encode(layout), mean, rtol=0, atol=1e-5)
    for shape in ((0,), (1, 2, 16000), (), (2, 0)):
        with pytest.raises(GlowSVCError, match="needs audio"):
            encoder.encode(torch.zeros(shape))
    for value in (torch.nan, torch.inf, -torch.inf):
        broken = AUDIO.clone()
        broken[7] = value
        with pytest.raises(GlowSVCError, match="NaN"):
            encoder.encode(broken)
    with pytest.raises(GlowSVCError, match="int16"):  # read as floats, it would be 90 dB too loud
        encoder.encode((AUDIO * 32767).to(torch.int16))


def test_encoding_is_deterministic_changes_nothing_and_is_the_same_in_a_batch(encoder):
    before, state = AUDIO.clone(), torch.get_rng_state()
    assert torch.equal(encoder.encode(AUDIO), encoder.encode(AUDIO))
    assert torch.equal(before, AUDIO)
    assert torch.equal(state, torch.get_rng_state())
    if network := getattr(encoder, "network", None):
        assert not any(module.training for module in network.modules())
        assert not any(parameter.requires_grad for parameter in network.parameters())
    clips = [AUDIO[:16000], AUDIO, AUDIO[5000:5100], AUDIO[:28000], AUDIO[400:12345], AUDIO.flip(0)]
    for units, alone in zip(encoder.encode_batch(clips), map(encoder.encode, clips), strict=True):
        # float32; a batch sums in another order
        torch.testing.assert_close(units, alone, rtol=1e-4, atol=1e-4)
    assert encoder.encode_batch([]) == []


def test_its_clock_is_the_middle_of_the_samples_that_a_unit_depends_on(name, build):
    """Clicks at various places around some units of a noise, as far as they change them."""
    if name == "hubertsoft-onnx":
        pytest.skip("its stand-in does not pad, as the real graph does")
    encoder = build()
    network = getattr(encoder, "network", None)
    if isinstance(network, AttentionNetwork):
        pytest.skip("what its units stand for was learnt; test_ppg.py measures it")
    if hasattr(network, "features"):  # attention looks everywhere
        network.units = lambda features, mask: features
    elif hasattr(network, "blocks"):  # their convolutions are centred
        network.blocks = torch.nn.ModuleList()
    noise = 0.01 * torch.randn(6 * 16000, generator=torch.Generator().manual_seed(0))
    undisturbed, numbers = encoder.encode(noise), torch.arange(10, 290, 14)
    places, changes = torch.arange(-480, 720, 20), []
    for some in places.split(len(numbers)):
        clicked = noise.clone()
        clicked[numbers * encoder.hop_length + some] += 0.1
        changes.append((encoder.encode(clicked) - undisturbed)[:, numbers].norm(dim=0))
    change = torch.cat(changes)
    # normalization over time makes small changes everywhere
    changed = places[change > 0.1 * change.max()]
    assert abs(float(changed[0] + changed[-1]) / 2 - encoder.clock.centre) <= 20, changed


def test_a_graph_has_the_clock_of_its_network():
    for name in ENCODERS:
        if name.endswith("-onnx") and (network := name.removesuffix("-onnx")) in ENCODERS:
            assert ENCODERS[name].clock == ENCODERS[network].clock, name


def test_lower_precision(name, encoder, build):
    state = torch.get_rng_state()
    units, exact = build(dtype=torch.bfloat16).encode(AUDIO), encoder.encode(AUDIO)
    assert torch.equal(state, torch.get_rng_state()), "building draws no random numbers"
    assert units.dtype == torch.float32
    # 8 bits of mantissa, through up to twelve layers; array encoders have one precision
    assert (0 if ENCODERS[name].without_torch else 1e-4) <= (units - exact).norm() / exact.norm() < 0.05


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_audio_on_the_cpu_and_a_network_on_the_gpu(encoder, build):
    units = build("cuda").encode(AUDIO)
    assert units.device.type == "cuda"
    torch.testing.assert_close(units.cpu(), encoder.encode(AUDIO), rtol=1e-2, atol=1e-2)  # TF32


@from_files
def test_the_published_place(file_name, tmp_path, monkeypatch):
    """A missing file is an error that says how to get it; so is one of another size."""
    spec = ENCODERS[file_name]
    monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path / "pretrain"))
    with pytest.raises(MissingWeightsError, match=re.escape(str(tmp_path / "pretrain"))) as caught:
        ENCODERS.build(file_name, "cpu")
    if WEIGHTS[spec.weights].sources:
        assert f"python -m pretrain {spec.weights}" in str(caught.value)
    path = write_encoder(file_name, tmp_path)
    width = ENCODERS.build(file_name, "cpu", weights=path).ssl_dim
    place = tmp_path / "pretrain" / WEIGHTS[spec.weights].file
    place.parent.mkdir(parents=True)
    shutil.copy(path, place)
    with pytest.raises(CheckpointError, match=rf"{width}\b.*\b{spec.ssl_dim}\b"):
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
        # to onnxruntime, any torch file is just that
        expected = f"{KINDS[kind]}|PyTorch" if file_name.endswith("-onnx") else KINDS[kind]
        assert re.search(expected, message.replace(str(path), "")), message


@from_files
def test_a_damaged_file_is_refused_in_one_line(file_name, tmp_path):
    path = write_encoder(file_name, tmp_path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", bytes(range(256)) * 40, "missing", "a folder"):
        path.unlink(missing_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content == "a folder":
            path.mkdir()
        with pytest.raises(CheckpointError, match=re.escape(str(path))) as caught:
            ENCODERS.build(file_name, "cpu", weights=path)
        assert "\n" not in str(caught.value)


@pytest.mark.weights
@from_files
def test_the_published_weights(file_name):
    if find_weights(ENCODERS[file_name].weights) is None:
        pytest.skip(f"no weights: python -m pretrain {ENCODERS[file_name].weights}")
    encoder = ENCODERS.build(file_name, "cpu")
    units = encoder.encode(AUDIO)
    assert units.shape[0] == encoder.ssl_dim == ENCODERS[file_name].ssl_dim
    assert torch.isfinite(units).all()
    wanted = [units, encoder.encode(AUDIO[:20000])]
    torch.testing.assert_close(encoder.encode_batch([AUDIO, AUDIO[:20000]]), wanted, rtol=1e-3, atol=1e-3)


def test_every_encoder_is_tested_in_its_published_container():
    assert set(ENCODER_CASES) == set(FROM_FILES)
