from dataclasses import replace

import pytest
import torch

from models import GlowSVC
from modules.common.errors import ConfigError, FeatureError
from modules.config import ModelConfig
from modules.dsp.f0 import F0_MAX, F0_MIN

TINY = ModelConfig(
    inter_channels=8,
    hidden_channels=8,
    filter_channels=12,
    n_layers=1,
    n_flow_block_layer=2,
    n_flow_layer=2,
    gin_channels=6,
    ssl_dim=5,
    n_speakers=3,
)


def tiny(**changes):
    torch.manual_seed(0)
    model = GlowSVC(replace(TINY, **changes)).eval()
    for name, parameter in model.named_parameters():
        if ".post." in name or name.startswith("prenet.proj."):  # zero at the start: it would do nothing
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def batch(model, lengths=(11, 7), n_frames=None):
    """Arguments of forward: random recordings, zero behind their ends."""
    config, size = model.config, len(lengths)
    n_frames = n_frames or max(lengths)
    generator = torch.Generator().manual_seed(1)
    real = (torch.arange(n_frames) < torch.tensor(lengths)[:, None]).float()
    return {
        "units": torch.randn(size, config.ssl_dim, n_frames, generator=generator) * real[:, None],
        "f0": (200 + 100 * torch.rand(size, n_frames, generator=generator)) * real,
        "uv": real * (torch.rand(size, n_frames, generator=generator) < 0.8),
        "mel": (torch.randn(size, config.inter_channels, n_frames, generator=generator) - 3) * real[:, None],
        "lengths": torch.tensor(lengths),
        "speaker_id": torch.arange(size) % config.n_speakers,
        "volume": torch.rand(size, n_frames, generator=generator) * real if config.vol_embedding else None,
    }


def song(model, n_frames=12, size=1):
    """Units, f0, uv, speaker and volume, as infer takes them."""
    b = batch(model, (n_frames,) * size)
    return b["units"], b["f0"], b["uv"], b["speaker_id"], b["volume"]


@pytest.mark.parametrize("n_sqz", [1, 2, 4])
def test_every_frame_count_converts_and_trains(n_sqz):
    model = tiny(n_sqz=n_sqz, vol_embedding=True)
    assert model.flow.flows[0].logs.shape == (1, 8 * n_sqz, 1)
    for n_frames in (1, 2, 3, 4, 5, 13):
        mel, f0 = model.infer(*song(model, n_frames, size=2))
        assert mel.shape == (2, 8, n_frames) and f0.shape == (2, n_frames)
        output = model(**batch(model, (n_frames, 1)))
        padded = -(-n_frames // n_sqz) * n_sqz
        assert output.z.shape == output.m_p.shape == output.logs_p.shape == (2, 8, padded)
        assert output.mask.sum((1, 2)).tolist() == [padded, n_sqz]
        assert output.pred_lf0.shape == output.frame_mask.shape == (2, 1, n_frames)
        assert all(torch.isfinite(loss) for loss in GlowSVC.losses(output).values())


def test_empty_items_and_batches_are_not_nan_but_a_nan_f0_shows_in_the_loss():
    model = tiny()
    for lengths in ((5, 0), (0, 0)):
        losses = GlowSVC.losses(model(**batch(model, lengths, n_frames=5)))
        sum(losses.values()).backward()
        assert all(torch.isfinite(loss) for loss in losses.values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    b = batch(model)
    b["f0"][0, 3] = torch.nan
    losses = GlowSVC.losses(model(**b))
    assert losses["lf0"].isnan() and losses["mle"].isfinite()


def test_the_last_frame_of_an_odd_recording_counts():
    model = tiny()
    b = batch(model, (11, 7))
    before = model(**b).z
    b["mel"][0, :, 10] += 1
    assert (model(**b).z - before)[0, :, 10].abs().min() > 1e-3


@pytest.mark.parametrize(("length", "prenet"), [(6, 0), (7, 0), (7, 10)])
def test_an_item_does_not_depend_on_its_neighbours_or_its_padding(length, prenet):
    model = tiny(vol_embedding=True, prenet_channels=prenet)
    b = batch(model, (11, length))
    for name in ("f0", "mel", "volume"):
        b[name][1, ..., length:] = 50.0  # garbage
    together = model(**b)
    alone = model(**{k: v[1:, ..., :length] if v.dim() > 1 else v[1:] for k, v in b.items()})
    frames = alone.z.size(2)
    for name in ("z", "m_p", "logs_p", "mask"):
        both = getattr(together, name)
        torch.testing.assert_close(both[1:, :, :frames], getattr(alone, name), rtol=1e-5, atol=1e-5)
        assert not both[1, :, frames:].any()
    # the F0 decoder's first convolution meets the speaker behind the end, as published: one frame differs
    near = slice(length - 1)
    torch.testing.assert_close(
        together.pred_lf0[1:, :, near], alone.pred_lf0[:, :, near], rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(together.logdet[1:], alone.logdet, rtol=1e-5, atol=1e-5)


def test_a_model_that_gets_a_prenet_begins_as_it_was_and_trains_it():
    plain, model = tiny(), tiny(prenet_channels=10, prenet_layers=2)
    for parameter in model.prenet.proj.parameters():
        torch.nn.init.zeros_(parameter)
    model.load_state_dict(plain.state_dict(), strict=False)
    b = batch(model)
    torch.testing.assert_close(model(**b).m_p, plain(**b).m_p)
    optimizer = torch.optim.SGD(model.prenet.parameters(), 0.1)
    for _ in range(2):  # at first only the last layer has a gradient
        optimizer.zero_grad()
        GlowSVC.losses(model(**b))["mle"].backward()
        optimizer.step()
    assert all(p.grad.any() for p in model.prenet.parameters())
    assert not torch.allclose(model(**b).m_p, plain(**b).m_p)


@pytest.mark.parametrize(("n_sqz", "n_frames"), [(1, 5), (2, 1), (2, 13), (4, 3), (4, 16)])
def test_a_track_of_any_length_is_decimated_for_the_flow(n_sqz, n_frames):
    model = tiny(n_sqz=n_sqz, vol_embedding=True)
    units, f0, uv, _, volume = song(model, n_frames, size=2)
    constant = torch.tensor([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]])
    for predict_f0 in (False, True):
        want, found = (
            model.infer(units, f0, uv, shares, volume, noise_scale=0, predict_f0=predict_f0)
            for shares in (constant, constant[:, None].expand(-1, n_frames, -1))
        )
        torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-4)

    seen = []
    for step in model.flow.flows[2::3]:
        step.enc.cond_layer.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    track = torch.rand(2, n_frames, 3).softmax(2)
    mel, _ = model.infer(units, f0, uv, track, volume)
    assert mel.shape == (2, 8, n_frames) and torch.isfinite(mel).all()
    g, shift = model.embed_speaker(track)
    for n in range(n_frames):  # shares may change by frame
        found = g[:, :, n : n + 1], shift[:, :, n : n + 1]
        torch.testing.assert_close(found, tuple(model.embed_speaker(track[:, n])))
    assert seen and all(
        torch.equal(one.mT, g[:, :, ::n_sqz]) for one in seen
    )  # the first frame of each group


def test_predicted_f0_is_a_pitch_and_decides_the_mel():
    model = tiny()
    torch.nn.init.constant_(model.f0_decoder.proj.bias, 100.0)
    units, f0, uv, speaker, _ = song(model, 8)
    given, same = model.infer(units, f0, uv, speaker, noise_scale=0)
    mel, predicted = model.infer(units, f0, uv, speaker, noise_scale=0, predict_f0=True)
    torch.testing.assert_close(same, f0)
    assert (predicted == F0_MAX).all() and not torch.allclose(mel, given)
    torch.nn.init.constant_(model.f0_decoder.proj.bias, -100.0)
    assert (model.infer(units, f0, uv, speaker, predict_f0=True)[1] == F0_MIN).all()


def test_automatic_f0_is_trained_and_a_plain_model_has_none():
    model = tiny()
    losses = GlowSVC.losses(model(**batch(model), f0_factor=torch.tensor([0.8, 1.2])))
    losses["lf0"].backward()
    reached = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert reached == {"f0_decoder", "emb_g"}  # the encoder's input is left to the likelihood
    assert all(p.grad is not None and p.grad.any() for p in model.f0_decoder.proj.parameters())
    model = tiny(use_automatic_f0_prediction=False)
    output = model(**batch(model))
    assert output.pred_lf0 is output.norm_lf0 is output.lf0 is None
    assert set(GlowSVC.losses(output)) == {"mle"}
    with pytest.raises(ConfigError, match="cannot predict F0"):
        model.infer(*song(model), predict_f0=True)


def test_conversion_leaves_the_global_generator_alone():
    model = tiny()
    arguments = song(model)
    state = torch.get_rng_state()
    first, _ = model.infer(*arguments)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(model.infer(*arguments)[0], first)
    loud, _ = model.infer(*arguments, noise=torch.ones(1, 8, 12), noise_scale=1.0)
    still, _ = model.infer(*arguments, noise_scale=0)
    assert not torch.allclose(loud, still)


def test_bad_input_is_named():
    for change, error, message in [
        ({"units": torch.zeros(1, 7, 12)}, ConfigError, "7 channels.*wants 5.*vec768l12"),
        ({"volume": None}, ConfigError, "volume is missing"),
        ({"speaker": torch.tensor([3])}, ConfigError, r"0 to 2, not \[3\]"),
        ({"speaker": torch.tensor([-1])}, ConfigError, "0 to 2"),
        ({"speaker": torch.ones(1, 4)}, ConfigError, "mix has 4 speakers.*has 3"),
        ({"f0": torch.full((1, 12), torch.nan)}, FeatureError, "NaN"),
    ]:
        model = tiny(vol_embedding=True)
        arguments = dict(zip(("units", "f0", "uv", "speaker", "volume"), song(model), strict=True))
        with pytest.raises(error, match=message):
            model.infer(**(arguments | change))
        with pytest.raises(ConfigError, match="volume is missing"):
            model(**(batch(model) | {"volume": None}))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_changes_little(dtype):
    model = tiny(vol_embedding=True).train()
    b = batch(model, (32, 21))
    model.initialise(**b)
    exact = GlowSVC.losses(model(**b))
    with torch.autocast("cpu", dtype=dtype):
        output = model(**b)
        half = GlowSVC.losses(output)
        mel, _ = model.eval().infer(*song(model))
    for name in ("z", "m_p", "logs_p", "logdet"):
        assert getattr(output, name).dtype == torch.float32, name
    for name, loss in half.items():
        # bfloat16 has 8 bits; the flow itself stays in float32
        torch.testing.assert_close(loss, exact[name], rtol=2e-2, atol=2e-2)
    sum(half.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert mel.dtype == torch.float32
    torch.testing.assert_close(mel, model.infer(*song(model))[0], rtol=0.05, atol=0.1)


def test_initialisation_is_from_real_frames_even_one_and_keeps_the_flow_invertible():
    b = batch(tiny(), (64, 31))
    b["mel"][:, 3] *= 4
    models = []
    for garbage in (0.0, 1e6):
        b["mel"][1, :, 31:] = garbage
        models.append(tiny())
        models[-1].initialise(**b)
    torch.testing.assert_close(*(m.state_dict() for m in models), rtol=0, atol=0)
    model, output = models[0], models[0](**b)
    frames = output.z.transpose(1, 2)[output.mask[:, 0] > 0]
    assert frames.mean(0).abs().max() < 0.5 and 0.5 < frames.std(0).min() and frames.std(0).max() < 2
    g, _ = model.embed_speaker(b["speaker_id"])
    back = model.flow.inverse(output.z, output.mask, g)
    # the deviation of a band may be small: float32 and two scales of up to 1 / 0.3 each
    torch.testing.assert_close(back[0], b["mel"][0], rtol=1e-4, atol=1e-4)
    model = tiny()
    model.initialise(**batch(model, (1,)))
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert model.flow.flows[0].logs.abs().max() < 1


@pytest.mark.parametrize(("swing", "bound"), [(0.0, 3.0), (0.1, 3.0), (6.0, 1000.0)])
def test_a_band_that_is_constant_at_first_does_not_explode_later(swing, bound):
    torch.manual_seed(0)
    # eight blocks: what is amplified in each of them grows without limit
    model = GlowSVC(replace(TINY, inter_channels=16, n_flow_block_layer=8))
    b = batch(model, (200, 160))
    b["mel"][:, 6:] = -11.5  # a boundary inside a group of the channel mixing, and whole groups
    model.initialise(**b)
    b["mel"][:, 6:] += swing * torch.randn(b["mel"][:, 6:].shape, generator=torch.Generator().manual_seed(2))
    assert GlowSVC.losses(model(**b))["mle"] < bound
