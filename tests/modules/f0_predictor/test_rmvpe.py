"""RMVPE: published files of every layout, the published numbers, and recordings of any length."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from modules.common.errors import CheckpointError, MissingWeightsError
from modules.dsp.audio import resample
from modules.dsp.f0 import fill_unvoiced
from modules.f0_predictor import F0_PREDICTORS, rmvpe
from modules.f0_predictor.rmvpe import CENTS_PER_BIN, FIRST_CENT, PitchMel, RmvpePredictor
from modules.f0_predictor.rmvpe_model import E2E0, load_rmvpe
from modules.f0_predictor.salience import decode
from tests.modules.f0_predictor.published import LAYOUTS, to_16k, write_rmvpe
from tests.support.golden_cases import fill, load_case, signal, voice

CASE = load_case("f0_rmvpe")
MEL = torch.from_numpy(signal("rmvpe.mel", (1, 128, 32), 2.0) - 4)
MEL40 = torch.from_numpy(signal("rmvpe.mel40", (1, 128, 40), 2.0) - 4)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_rmvpe(tmp_path_factory.mktemp("rmvpe") / "rmvpe.pt")


@pytest.fixture(scope="module")
def network(path):
    return load_rmvpe(path)


@pytest.fixture
def predictor(path):
    return RmvpePredictor(weights=path)


class TestFiles:
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_parity_from_every_published_layout(self, tmp_path, layout):
        network = load_rmvpe(write_rmvpe(tmp_path / "rmvpe.pt", layout))
        assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}
        # float16 weights are other weights
        tolerance = 0.05 if "float16" in layout else 1e-4
        np.testing.assert_allclose(network(MEL)[0], CASE["reduced_salience"], atol=tolerance)

    def test_parity_at_the_published_size(self, tmp_path):
        shapes = CASE.manifest["default_state_dict"]
        state = {
            name: torch.from_numpy(fill(name, tuple(shape), dtype)) for name, (shape, dtype) in shapes.items()
        }
        torch.save({"model": state}, tmp_path / "rmvpe.pt")
        network = load_rmvpe(tmp_path / "rmvpe.pt")
        assert network.sizes == E2E0().sizes
        salience = network(MEL)[0]
        np.testing.assert_allclose(salience, 1 / (1 + np.exp(-CASE["full_logits"])), atol=1e-3)

    def test_the_published_place(self, tmp_path, monkeypatch):
        monkeypatch.setenv("GLOW_SVC_PRETRAIN", str(tmp_path))
        with pytest.raises(MissingWeightsError, match="python -m pretrain rmvpe"):
            F0_PREDICTORS.build("rmvpe")
        write_rmvpe(tmp_path / "rmvpe.pt")
        assert F0_PREDICTORS.build("rmvpe").network.sizes.channels == 4

    def test_damaged_files_and_others_are_named(self, tmp_path):
        whole = {name: tensor for name, tensor in CASE.state_dict().items() if "unet.tf." not in name}
        stages = {f"unet.encoder.layers.{i}.conv.0.x": torch.zeros(1) for i in range(60)}
        for changes, message in (
            ({"cnn.weight": None}, "not an RMVPE checkpoint: it is damaged"),
            ({"cnn.bias": torch.zeros(7)}, r"cnn.bias is \(7,\), wanted \(3,\)"),
            # too large for any memory, refused before allocation
            ({"fc.1.weight": torch.empty(0).expand(10**12, 0)}, "fc.1.weight is|cannot be read"),
            (stages, "not an RMVPE checkpoint"),
            ({"fc.0.gru.weight_ih_l0": torch.zeros(3)}, "not an RMVPE checkpoint"),
            ({"model": {"unit_embed.weight": torch.zeros(3)}}, "it seems to be a diffusion model"),
        ):
            state = {name: tensor for name, tensor in {**whole, **changes}.items() if tensor is not None}
            torch.save(state, tmp_path / "bad.pt")
            with pytest.raises(CheckpointError, match=message) as caught:
                RmvpePredictor(weights=tmp_path / "bad.pt")
            assert str(tmp_path / "bad.pt") in str(caught.value) and "\n" not in str(caught.value)


class TestNetwork:
    def test_parity_of_the_unet_and_of_both_published_paddings(self, network):
        features = network.features(MEL)[0]
        np.testing.assert_allclose(features[:, :128], CASE["reduced_cnn_out_ch0"], atol=1e-4, rtol=1e-5)
        for mode in ("reflect", "constant"):
            found = network(F.pad(MEL40, (0, 24), mode=mode))[0, :40, ::4]
            np.testing.assert_allclose(found, CASE[f"reduced_hidden40_{mode}"], atol=1e-4)

    def test_the_gru_in_chunks_equals_the_whole(self, network):
        gru = network.fc[0]
        features = 0.1 * torch.randn(1, 100, 384, generator=torch.Generator().manual_seed(0))
        for cuts in ([100], [30, 30, 40], [1] * 100):
            chunks = torch.cat(list(gru.stream(features[0].split(cuts))))
            torch.testing.assert_close(chunks, gru(features)[0], rtol=1e-4, atol=1e-5)


class TestFrontEnd:
    def test_parity_of_the_mel(self):
        mel, published = PitchMel()(torch.from_numpy(voice(1.0, 16000))).numpy(), CASE["mel_voice16k"]
        assert mel.shape == published.shape
        np.testing.assert_allclose(np.exp(mel), np.exp(published), atol=2e-6)
        # in quiet bands beside loud ones the logarithm shows the rounding of the Fourier transform
        loud = published > np.log(1e-3)
        np.testing.assert_allclose(mel[loud], published[loud], atol=1e-4)
        rest = published == np.float32(np.log(1e-5))
        np.testing.assert_array_equal(mel[rest], published[rest])

    def test_parity_of_the_resampled_voice(self):
        published = CASE["resampled_voice_0.5s"]
        np.testing.assert_allclose(to_16k(voice(0.5, 44100)), published, atol=1e-5)
        # soxr is the same in the pass band of both filters
        ours = resample(voice(0.5, 44100), 44100, 16000)
        assert ours.shape == published.shape
        spectra = [np.fft.rfft(x[:7000] * np.hanning(7000)) for x in (ours, published)]
        band = np.fft.rfftfreq(7000, 1 / 16000) < 7000
        np.testing.assert_allclose(spectra[0][band], spectra[1][band], atol=1e-3 * np.abs(spectra[1]).max())

    def test_pieces_of_a_long_mel_are_the_whole(self, monkeypatch):
        sound, mel = torch.from_numpy(voice(1.0, 16000)), PitchMel()
        whole = mel(sound)
        monkeypatch.setattr(rmvpe, "CHUNK", 7)
        torch.testing.assert_close(mel(sound), whole, rtol=0, atol=1e-3)


@pytest.mark.parametrize("threshold", ["0.03", "0.05"])
def test_parity_of_decoding(threshold):
    cents = FIRST_CENT + CENTS_PER_BIN * np.arange(360)
    found = decode(CASE["salience"], cents, 20.0, 4000.0, float(threshold))
    published = CASE[f"decode_f0_thr{threshold}"]
    np.testing.assert_array_equal(found > 0, published > 0)
    np.testing.assert_allclose(found, published, atol=1e-2)


class TestFrames:
    """With the golden's replacement of the network: a known pitch at every time."""

    @staticmethod
    def bin_at(frame):
        return 150 + 40 * np.sin(2 * np.pi * frame / 50)

    @pytest.fixture
    def stub(self, predictor, monkeypatch):
        def salience(sound):
            frame = np.arange(len(sound) // 160 + 1)[:, None]
            loud = np.where(frame % 30 < 22, 0.8, 0.01)
            hill = np.exp(-0.5 * ((np.arange(360) - self.bin_at(frame)) / 1.7) ** 2)
            yield torch.from_numpy((loud * hill).astype(np.float32))

        monkeypatch.setattr(predictor, "salience", salience)
        return predictor

    def test_parity_of_raw_frames_and_of_the_published_resize(self, stub):
        raw = stub.pitch(resample(voice(1.3, 44100)[:57000], 44100, 16000))
        np.testing.assert_allclose(raw, CASE["wrapper_raw_f0"], atol=1e-2)
        for name, n_frames in (("wrapper", 111), ("wrapper_plus2", 113)):
            f0, uv = fill_unvoiced(raw[np.arange(n_frames) * len(raw) // n_frames])
            np.testing.assert_allclose(f0, CASE[f"{name}_f0"], atol=1e-2)
            np.testing.assert_array_equal(uv, CASE[f"{name}_uv"])

    def test_true_times(self, stub):
        f0, uv = stub.predict(voice(1.3, 44100)[:57000])
        frame = np.arange(111) * 512 / 441
        truth = 10 * 2 ** ((FIRST_CENT + CENTS_PER_BIN * self.bin_at(frame)) / 1200)
        np.testing.assert_array_equal(uv > 0, np.rint(frame) % 30 < 22)
        inner = (np.floor(frame) % 30 < 22) & (np.ceil(frame) % 30 < 22)
        error = np.abs(1200 * np.log2(f0 / truth))
        assert error[inner].max() < 4  # the curve bends by up to 13 cents within a frame
        assert error[uv > 0].max() < 51  # where a note begins or ends: half a frame of up to 101 cents


class TestPredictor:
    def test_silence_follows_the_recording(self, predictor, monkeypatch):
        seen = []
        features = predictor.network.features
        monkeypatch.setattr(predictor.network, "features", lambda mel: seen.append(mel) or features(mel))
        for n_samples in (160, 16 * 160, 17 * 160, 5121):
            assert predictor.pitch(voice(1.0, 16000)[:n_samples]).shape == (n_samples // 160 + 1,)
            mel = seen.pop()
            assert not seen and mel.shape[2] % predictor.network.multiple == 0
            padding = mel[0, :, n_samples // 160 + 1 :]
            torch.testing.assert_close(padding, torch.full_like(padding, np.log(1e-5)))

    def test_chunks_change_nothing(self, predictor, monkeypatch):
        # the GRU, filled by name, amplifies rounding errors; with small features it does not
        predictor.network.cnn.weight.mul_(1e-3)
        sound = torch.from_numpy(voice(8.0, 16000))
        with torch.inference_mode():
            whole = torch.cat(list(predictor.salience(sound)))
            sizes = []
            features = predictor.network.features
            monkeypatch.setattr(
                predictor.network, "features", lambda mel: sizes.append(mel.shape[2]) or features(mel)
            )
            monkeypatch.setattr(rmvpe, "CHUNK", 64)
            monkeypatch.setattr(rmvpe, "MARGIN", 128)
            pieces = list(predictor.salience(sound))
        assert max(sizes) == 320 and len(pieces) == 13
        assert whole.shape == (801, 360)
        torch.testing.assert_close(torch.cat(pieces), whole, rtol=0, atol=1e-4)

    @pytest.mark.weights
    def test_the_published_weights(self):
        try:
            predictor = F0_PREDICTORS.build("rmvpe")
        except MissingWeightsError as error:
            pytest.skip(str(error))
        assert predictor.network.sizes == type(predictor.network.sizes)()
