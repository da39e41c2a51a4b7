import math

import pytest
import torch

from diffusion.gaussian import GaussianDiffusion
from diffusion.reflow import ReFlow
from diffusion.schedule import NoiseSchedule
from diffusion.unit2mel import load_unit2mel
from modules.checkpoint import write_checkpoint
from modules.common.errors import CheckpointError, ConfigError, FeatureError
from tests.diffusion.tiny import MELS, mels, song, tiny, tiny_config

TYPES = ["Diffusion", "ReFlow"]
# torch's convolutions on a CPU may differ in the last bit from call to call; values here reach 20
SAME = {"atol": 1e-4, "rtol": 1e-5}


@pytest.fixture(params=TYPES)
def model(request):
    return tiny(type=request.param)


def saved(folder, model, **changes):
    path = folder / "model_0.pt"
    write_checkpoint(path, {"global_step": 0, "model": model.state_dict() | changes})
    return path


def test_mixes_are_sampled_in_batches_and_one_speaker_as_its_id_or_its_whole_share(model):
    for options in ({}, {"mel": mels(), "k_step": 7}):
        for shares in (torch.rand(2, 3), torch.rand(2, 11, 3)):
            assert model.infer(*song()[:3], shares, speedup=5, **options).shape == (2, MELS, 11)
    model = tiny(n_spk=1)
    want = model.infer(*song()[:3], torch.zeros(2, dtype=torch.long), speedup=5)
    torch.testing.assert_close(model.infer(*song()[:3], torch.ones(2, 11, 1), speedup=5), want, **SAME)


def test_speakers_by_embedding():
    model = tiny(n_spk=1, use_speaker_encoder=True, speaker_encoder_out_channels=4)
    speaker = torch.randn(2, 4)
    out = model.infer(*song()[:3], speaker, speedup=5)
    track = speaker[:, None].expand(-1, 11, -1)
    torch.testing.assert_close(model.infer(*song()[:3], track, speedup=5), out, **SAME)
    with pytest.raises(ConfigError, match="embeddings of 4 numbers"):
        model.infer(*song()[:3], torch.zeros(2, dtype=torch.long))


NO_WORK = [
    ({"k_step": 0, "mel": mels()}, ConfigError, "k_step is 0; use 1 to 40"),
    ({"k_step": 41, "mel": mels()}, ConfigError, r"41, but .* trained for 40 steps \(model.timesteps\)"),
    ({"k_step": 10}, ConfigError, "starts from a mel, and there is none"),
    ({"speaker": torch.tensor([0, 3])}, ConfigError, "speaker ids must be 0 to 2, not \\[0, 3\\]"),
]
OTHERS = [
    ({"speaker": torch.rand(2, 4)}, ConfigError, "the mix has 4 speakers, but the model has 3"),
    ({"method": "nonsense"}, ConfigError, "not a sampling method"),
    ({"units": song()[0][:, :4]}, ConfigError, r"4 channels, but the diffusion model wants 5 .*'vec768l12'"),
    ({"mel": mels()[:, :7], "k_step": 5}, FeatureError, "the mel has 7 bins, but the diffusion model has 8"),
    ({"mel": mels(n_frames=9), "k_step": 5}, FeatureError, "the mel has 9 frames, its units and F0 11"),
    ({"mel": mels(n_frames=13), "k_step": 5}, FeatureError, "the mel has 13 frames"),
]


def test_what_cannot_be_done_is_refused(model):
    tracks = dict(zip(("units", "f0", "volume", "speaker"), song(), strict=True))
    for changes, error, message in OTHERS:
        with pytest.raises(error, match=message):
            model.infer(**(tracks | changes))
    model.unit_embed.register_forward_pre_hook(lambda *_: pytest.fail("refused only after some work"))
    for changes, error, message in NO_WORK:
        with pytest.raises(error, match=message):
            model.infer(**(tracks | changes))
    tracks["mel"] = mels()
    for name in ("units", "f0", "volume", "mel"):
        for value in (math.nan, math.inf):
            bad = tracks[name].clone()
            bad.view(-1)[3] = value
            with pytest.raises(FeatureError, match=f"(?i)the {name} holds NaN or infinity"):
                model.infer(**(tracks | {name: bad}))


@pytest.mark.parametrize("kind", TYPES)
def test_a_shallow_model_says_what_to_do_instead(kind):
    model = tiny(type=kind, k_step_max=10)
    with pytest.raises(ConfigError, match="only refine a mel: use shallow diffusion with k_step 10 or less"):
        model.infer(*song())
    with pytest.raises(ConfigError, match=r"trained for 10 steps \(model.k_step_max\): use 10 or less"):
        model.infer(*song(), mel=mels(), k_step=11)
    whole = model.infer(*song(), mel=mels(), k_step=10, speedup=3)
    # all that it is trained for
    torch.testing.assert_close(model.infer(*song(), mel=mels(), speedup=3), whole, **SAME)
    # the published guard also fired here (loss in evaluation)
    assert model.eval()(*song(), None, mels()).isfinite()


def test_method_and_speedup_come_from_the_configuration_and_a_saved_model_is_the_same(model, tmp_path):
    seen: list[tuple[int, int]] = []
    out = model.infer(*song(), progress=lambda *done: seen.append(done))
    assert seen[-1] == (4, 4)  # 40 steps, speedup 10
    method = "dpm-solver++" if model.config.model.type == "Diffusion" else "euler"
    torch.testing.assert_close(model.infer(*song(), k_step=40, method=method, speedup=10), out, **SAME)
    loaded = load_unit2mel(saved(tmp_path, model), model.config)
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    torch.testing.assert_close(loaded.infer(*song(), speedup=5), model.infer(*song(), speedup=5), **SAME)


def test_a_mel_may_be_one_frame_off_and_every_parameter_learns(model):
    for frames in (10, 11, 12):
        mel = mels(n_frames=frames)
        assert model.infer(*song(), mel=mel, k_step=5, speedup=2).shape[2] == min(frames, 11)
        assert model(*song(), None, mel).isfinite()
    model.train()(*song(), torch.tensor([3.0, -2.0]), mels()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_shift_for_a_model_without_is_refused():
    model = tiny(use_pitch_aug=False)
    assert model(*song(), None, mels()).isfinite()
    with pytest.raises(ConfigError, match="use_pitch_aug"):
        model(*song(), torch.zeros(2), mels())


@pytest.mark.parametrize("k_step_max", [0, 5])
def test_only_the_steps_that_are_used_are_trained(k_step_max):
    seen = []
    model = tiny(k_step_max=k_step_max)
    model.decoder.network.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    model(*song(400, 2), None, mels(400, 2))
    assert sorted(set(seen[0].tolist())) == list(range(k_step_max or 40))


@pytest.mark.parametrize(("distribution", "deviation"), [("uniform", 12**-0.5), ("logit_normal", 0.208)])
@pytest.mark.parametrize(("k_step_max", "lowest"), [(0, 0.0), (10, 0.75)])
def test_times_of_rectified_flow(distribution, deviation, k_step_max, lowest):
    model = tiny(type="ReFlow", k_step_max=k_step_max, t_distribution=distribution)
    t = model.decoder.draw_times(20000, torch.device("cpu"))
    assert t.min() >= lowest and t.max() <= 1
    middle = (t - lowest) / (1 - lowest)
    assert middle.mean().item() == pytest.approx(0.5, abs=0.01)  # 20000 draws: standard error 0.002
    assert middle.std().item() == pytest.approx(deviation, abs=0.005)


def test_rectified_flow_learns_the_straight_path_and_has_its_own_names():
    model = tiny(type="ReFlow")
    mel, noise, t = mels(), torch.randn(2, MELS, 11), torch.tensor([0.25, 0.5])
    seen = []
    model.decoder.network.register_forward_hook(lambda _, args, out: seen.append((*args[:2], out)))
    loss = model(*song(), None, mel, t=t, noise=noise)
    x, times, out = seen[0]
    clean = (mel + 12) / 7 - 1
    torch.testing.assert_close(x, noise + t[:, None, None] * (clean - noise))
    torch.testing.assert_close(times, torch.tensor([10.0, 20.0]))  # of 40 steps
    torch.testing.assert_close(loss, (out - (clean - noise)).square().mean())
    own = {name for name in model.state_dict() if name.startswith("decoder.")}
    assert {name.replace("velocity_fn", "denoise_fn") for name in own} <= set(tiny().state_dict())
    assert {n for n in own if "velocity_fn" not in n} == {"decoder.spec_min", "decoder.spec_max"}
    assert isinstance(model.decoder, ReFlow)


def test_a_sampling_projects_the_condition_once(model):
    seen = []
    for layer in model.decoder.network.residual_layers:
        layer.conditioner_projection.register_forward_hook(lambda module, *_: seen.append(module))
    model.infer(*song(), progress=lambda *done: seen.append(done))
    assert seen[:2] == [layer.conditioner_projection for layer in model.decoder.network.residual_layers]
    assert seen[2:] == [(done, 4) for done in range(1, 5)]


def test_a_network_in_half_precision_predicts_as_under_autocast_and_samples_in_float32(model):
    network = model.decoder.network
    inputs = mels() / 10, torch.tensor([3.0, 30.0]), torch.randn(2, 6, 11)
    with torch.autocast("cpu", torch.bfloat16):
        want = network(*inputs)
    full = model.infer(*song())
    network.in_precision(torch.bfloat16)
    assert {p.dtype for p in network.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(network(*inputs), want, rtol=0.02, atol=0.02)  # of bfloat16's three digits
    half = model.infer(*song())
    assert half.dtype == torch.float32 and 0 < (half - full).abs().max() < 0.1 * full.std()


def test_a_file_with_another_noise_schedule_is_followed(tmp_path):
    model = tiny()
    betas = torch.linspace(1e-3, 0.05, 40)
    # half precision rounds the betas, but means the same
    rounded = model.decoder.betas.half().float()
    for stored, want in ((betas, betas.double().numpy()), (rounded, NoiseSchedule.linear(40).betas)):
        decoder = load_unit2mel(saved(tmp_path, model, **{"decoder.betas": stored}), model.config).decoder
        assert isinstance(decoder, GaussianDiffusion) and (decoder.schedule.betas == want).all()


def test_files_that_do_not_fit_are_refused(tmp_path):
    model = tiny()
    path = saved(tmp_path, model)
    for changes, message in (
        ({"type": "ReFlow"}, "is a model of type Diffusion, but its configuration says ReFlow"),
        ({"timesteps": 50}, r"decoder\.betas is \(40,\), wanted \(50,\)"),
        ({"n_spk": 1}, "spk_embed.weight is unknown"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_unit2mel(path, tiny_config(**changes))
    wide = saved(tmp_path, model, **{"unit_embed.weight": torch.zeros(6, 768)})
    with pytest.raises(CheckpointError, match="expects 768-channel units but its configuration says 5"):
        load_unit2mel(wide, model.config)
    write_checkpoint(path, {"global_step": 0})
    with pytest.raises(CheckpointError, match="holds no 'model'"):
        load_unit2mel(path, model.config)
