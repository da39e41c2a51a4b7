import pytest
import torch

from diffusion.gaussian import GaussianDiffusion
from diffusion.reflow import ReFlow
from diffusion.schedule import NoiseSchedule
from diffusion.unit2mel import Unit2Mel, load_unit2mel
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


# --- speakers


def test_a_whole_share_is_the_speaker(model):
    units, f0, volume, speaker = song()
    shares = torch.nn.functional.one_hot(speaker, 3).float()
    want = model.embed(units, f0, volume, speaker)
    torch.testing.assert_close(model.embed(units, f0, volume, shares), want)
    torch.testing.assert_close(model.embed(units, f0, volume, shares[:, None].expand(-1, 11, -1)), want)


def test_a_track_of_shares_is_read_frame_by_frame(model):
    units, f0, volume, _ = song(1, 6)  # as many frames as hidden channels: a transposed track would fit
    track = torch.rand(1, 6, 3)
    whole = model.embed(units, f0, volume, track)
    for n in range(6):
        frame = model.embed(*(x[..., n : n + 1] for x in (units, f0, volume)), track[:, n])
        torch.testing.assert_close(whole[:, :, n : n + 1], frame)


@pytest.mark.parametrize("shallow", [False, True])
def test_mixes_are_sampled_in_batches(model, shallow):
    units, f0, volume, _ = song()
    options = {"mel": mels(), "k_step": 7} if shallow else {}
    for shares in (torch.rand(2, 3), torch.rand(2, 11, 3)):
        assert model.infer(units, f0, volume, shares, speedup=5, **options).shape == (2, MELS, 11)


def test_a_model_of_one_voice_takes_its_id_or_its_whole_share():
    model = tiny(n_spk=1)
    units, f0, volume, _ = song()
    want = model.infer(units, f0, volume, torch.zeros(2, dtype=torch.long), speedup=5)
    whole = model.infer(units, f0, volume, torch.ones(2, 11, 1), speedup=5)
    torch.testing.assert_close(whole, want, **SAME)


def test_voices_by_embedding():
    model = tiny(n_spk=1, use_speaker_encoder=True, speaker_encoder_out_channels=4)
    units, f0, volume, _ = song()
    voice = torch.randn(2, 4)
    out = model.infer(units, f0, volume, voice, speedup=5)
    track = voice[:, None].expand(-1, 11, -1)
    torch.testing.assert_close(model.infer(units, f0, volume, track, speedup=5), out, **SAME)
    with pytest.raises(ConfigError, match="embeddings of 4 numbers"):
        model.infer(units, f0, volume, torch.zeros(2, dtype=torch.long))


@pytest.mark.parametrize(
    ("speaker", "says"),
    [
        (torch.tensor([0, 3]), "speaker ids must be 0 to 2, not \\[0, 3\\]"),
        (torch.tensor([-1, 0]), "speaker ids"),
        (torch.rand(2, 4), "the mix has 4 speakers, but the model has 3"),
        (torch.rand(2, 11, 2), "the mix has 2 speakers"),
    ],
)
def test_unknown_speakers_are_refused(model, speaker, says):
    with pytest.raises(ConfigError, match=says):
        model.infer(*song()[:3], speaker)


# --- what can be asked for


@pytest.mark.parametrize(("k_step", "says"), [(0, "k_step is 0; use 1 to 40"), (-3, "k_step is -3")])
def test_k_step_below_one_is_refused(model, k_step, says):
    with pytest.raises(ConfigError, match=says):
        model.infer(*song(), mel=mels(), k_step=k_step)


def test_k_step_above_the_steps_is_refused(model):
    with pytest.raises(ConfigError, match=r"41, but the model is trained for 40 steps \(model.timesteps\)"):
        model.infer(*song(), mel=mels(), k_step=41)


@pytest.mark.parametrize("kind", TYPES)
def test_a_shallow_model_says_what_to_do_instead(kind):
    model = tiny(type=kind, k_step_max=10)
    with pytest.raises(ConfigError, match="only refine a mel: use shallow diffusion with k_step 10 or less"):
        model.infer(*song())
    with pytest.raises(ConfigError, match=r"trained for 10 steps \(model.k_step_max\): use 10 or less"):
        model.infer(*song(), mel=mels(), k_step=11)
    whole = model.infer(*song(), mel=mels(), k_step=10, speedup=3)
    # all that it can
    torch.testing.assert_close(model.infer(*song(), mel=mels(), speedup=3), whole, **SAME)
    # the published guard also fired here (loss in evaluation)
    assert model.eval()(*song(), None, mels()).isfinite()


def test_k_step_without_a_mel_is_refused(model):
    with pytest.raises(ConfigError, match="starts from a mel, and there is none"):
        model.infer(*song(), k_step=10)
    assert model.infer(*song(), k_step=40, speedup=10).shape == (2, MELS, 11)


def test_refusals_come_before_any_work(model):
    def work(*_):
        raise AssertionError("it worked before it refused")

    model.unit_embed.register_forward_pre_hook(work)
    for options in ({"k_step": 0, "mel": mels()}, {"k_step": 5}, {"mel": mels() * float("nan")}):
        with pytest.raises((ConfigError, FeatureError)):
            model.infer(*song(), **options)


def test_an_unknown_method_is_refused(model):
    with pytest.raises(ConfigError, match="not a sampling method"):
        model.infer(*song(), method="nonsense")


def test_method_and_speedup_come_from_the_configuration(model):
    seen: list[tuple[int, int]] = []
    out = model.infer(*song(), progress=lambda *done: seen.append(done))
    assert seen[-1] == (4, 4)  # 40 steps, speedup 10
    method = "dpm-solver++" if model.config.model.type == "Diffusion" else "euler"
    torch.testing.assert_close(model.infer(*song(), method=method, speedup=10), out, **SAME)


@pytest.mark.parametrize("track", ["units", "F0", "volume", "mel"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_named(model, track, value):
    tracks = dict(zip(("units", "F0", "volume"), song(), strict=False)) | {"mel": mels()}
    tracks[track] = tracks[track].clone()
    tracks[track].view(-1)[3] = value
    with pytest.raises(FeatureError, match=f"the {track} holds NaN or infinity"):
        model.infer(tracks["units"], tracks["F0"], tracks["volume"], song()[3], mel=tracks["mel"], k_step=5)


def test_units_of_another_encoder_are_refused(model):
    units, *rest = song()
    with pytest.raises(ConfigError, match=r"4 channels, but the diffusion model wants 5 .*'vec768l12'"):
        model.infer(units[:, :4], *rest)


@pytest.mark.parametrize(("frames", "fits"), [(9, False), (10, True), (11, True), (12, True), (13, False)])
def test_a_mel_may_be_one_frame_off(model, frames, fits):
    mel = mels(n_frames=13)[:, :, :frames]
    if fits:
        out = model.infer(*song(), mel=mel, k_step=5, speedup=2)
        assert out.shape[2] == min(frames, 11)
        assert model(*song(), None, mel).isfinite()
        return
    with pytest.raises(FeatureError, match=f"the mel has {frames} frames, its units and F0 11"):
        model.infer(*song(), mel=mel, k_step=5)


def test_a_mel_of_another_vocoder_is_refused(model):
    with pytest.raises(FeatureError, match="the mel has 7 bins, but the diffusion model has 8"):
        model.infer(*song(), mel=mels()[:, :7], k_step=5)


# --- training


@pytest.mark.parametrize("kind", TYPES)
def test_every_parameter_learns(kind):
    model = tiny(type=kind).train()
    model(*song(), torch.tensor([3.0, -2.0]), mels()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_loss_repeats_with_a_generator_and_leaves_global_chance_alone(model):
    state = torch.get_rng_state()
    losses = [model(*song(), None, mels(), generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(losses[0], losses[1]) and losses[0] != losses[2]
    assert torch.equal(torch.get_rng_state(), state)


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


@pytest.mark.parametrize("distribution", ["uniform", "logit_normal"])
@pytest.mark.parametrize("k_step_max", [0, 10])
def test_times_of_rectified_flow(distribution, k_step_max):
    model = tiny(type="ReFlow", k_step_max=k_step_max, t_distribution=distribution)
    t = model.decoder.draw_times(20000, torch.device("cpu"), torch.Generator().manual_seed(0))
    lowest = 0.75 if k_step_max else 0.0
    assert t.min() >= lowest and t.max() <= 1
    middle = (t - lowest) / (1 - lowest)
    assert middle.mean().item() == pytest.approx(0.5, abs=0.01)  # 20000 draws: standard error 0.002
    # of the uniform distribution, and of a sigmoid of the normal one
    assert middle.std().item() == pytest.approx(12**-0.5 if distribution == "uniform" else 0.208, abs=0.005)


def test_rectified_flow_learns_the_straight_way():
    model = tiny(type="ReFlow")
    mel, noise, t = mels(), torch.randn(2, MELS, 11), torch.tensor([0.25, 0.5])
    seen = []
    model.decoder.network.register_forward_hook(lambda _, args, out: seen.append((*args[:2], out)))
    loss = model(*song(), None, mel, t=t, noise=noise)
    x, times, out = seen[0]
    clean = (mel + 12) / 7 - 1
    torch.testing.assert_close(
        x, 0.75 * noise + 0.25 * clean + torch.tensor([0, 0.25])[:, None, None] * (clean - noise)
    )
    torch.testing.assert_close(times, torch.tensor([10.0, 20.0]))  # of 40 steps
    torch.testing.assert_close(loss, (out - (clean - noise)).square().mean())


@pytest.mark.parametrize("kind", TYPES)
def test_a_few_steps_of_training_help(kind):
    model = tiny(type=kind, n_chans=32).train()
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(100):
        loss = model(*song(), None, mels(), generator=generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


# --- files


@pytest.mark.parametrize("kind", TYPES)
def test_a_saved_model_is_the_same_model(kind, tmp_path):
    model = tiny(type=kind)
    loaded = load_unit2mel(saved(tmp_path, model), model.config)
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    torch.testing.assert_close(loaded.infer(*song(), speedup=5), model.infer(*song(), speedup=5), **SAME)


def test_a_file_with_another_noise_schedule_is_followed(tmp_path):
    model = tiny()
    betas = torch.linspace(1e-3, 0.05, 40)
    other = load_unit2mel(saved(tmp_path, model, **{"decoder.betas": betas}), model.config).decoder
    assert isinstance(other, GaussianDiffusion)
    assert other.schedule.betas == pytest.approx(betas.double().numpy())
    # half precision rounds the betas, but means the same
    rounded = saved(tmp_path, model, **{"decoder.betas": model.decoder.betas.half().float()})
    same = load_unit2mel(rounded, model.config).decoder
    assert isinstance(same, GaussianDiffusion)
    assert (same.schedule.betas == NoiseSchedule.linear(40).betas).all()


def test_files_that_do_not_fit_are_refused(tmp_path):
    model = tiny()
    path = saved(tmp_path, model)
    with pytest.raises(
        CheckpointError, match="is a model of type Diffusion, but its configuration says ReFlow"
    ):
        load_unit2mel(path, tiny_config(type="ReFlow"))
    with pytest.raises(CheckpointError, match=r"decoder\.betas is \(40,\), wanted \(50,\)"):
        load_unit2mel(path, tiny_config(timesteps=50))
    with pytest.raises(CheckpointError, match="spk_embed.weight is unknown"):
        load_unit2mel(path, tiny_config(n_spk=1))
    wide = saved(tmp_path, model, **{"unit_embed.weight": torch.zeros(6, 768)})
    with pytest.raises(CheckpointError, match="expects 768-channel units but its configuration says 5"):
        load_unit2mel(wide, model.config)
    write_checkpoint(path, {"global_step": 0})
    with pytest.raises(CheckpointError, match="holds no 'model'"):
        load_unit2mel(path, model.config)


def test_names_of_rectified_flow():
    names = set(Unit2Mel(tiny_config(type="ReFlow")).state_dict())
    published = set(Unit2Mel(tiny_config()).state_dict())
    own = {name for name in names if name.startswith("decoder.")}
    assert {name.replace("velocity_fn", "denoise_fn") for name in own} <= published
    assert {n for n in own if "velocity_fn" not in n} == {"decoder.spec_min", "decoder.spec_max"}
    assert isinstance(tiny(type="ReFlow").decoder, ReFlow)
