"""Golden numbers of the published model, through a file in its container."""

import numpy as np
import pytest
import torch

from diffusion.config import parse_diffusion_config
from diffusion.samplers import methods
from diffusion.unit2mel import Unit2Mel, load_unit2mel
from modules.checkpoint import write_checkpoint
from tests.support.golden_cases import fill, load_case, signal

CASES = ["diffusion_1spk", "diffusion_3spk", "diffusion_kmax50", "diffusion_dsvc"]


def config_of(values, **model):
    """Configuration from a manifest's constructor arguments."""
    sizes = {k: v for k, v in values.items() if k not in ("input_channel", "out_dims")}
    data = {"encoder_out_channels": values["input_channel"], "n_mels": values["out_dims"]}
    return parse_diffusion_config({"data": data, "model": sizes | model})


def published_state(case, config):
    """Filled tensors with the tables that the published module computes itself."""
    own = Unit2Mel(config).state_dict()
    return case.state_dict() | {name: own[name] for name in case.manifest["state_dict_computed"]}


def load_golden(name, folder, **model):
    """A case and its model, read from a file in the published container."""
    case = load_case(name)
    config = config_of(case.manifest["config"], **model)
    path = folder / "model_1000.pt"
    write_checkpoint(path, {"global_step": 1000, "model": published_state(case, config)})
    return case, load_unit2mel(path, config)


def tensor(case, name):
    return torch.from_numpy(case[name])


def channels_first(case, name):
    """A published (B, T, C) array as (B, C, N)."""
    return tensor(case, name).transpose(1, 2)


def plain(case, name):
    """A published (B, 1, M, T) array as (B, M, N)."""
    return tensor(case, name).squeeze(1)


def inputs(case, items=2):
    """Units, f0, volume and speaker ids from 0 of the first items."""
    if "spk_id" in case.arrays:
        first = 1 if case.manifest["case"] == "diffusion_dsvc" else 0  # Diffusion-SVC counts from 1
        speaker = tensor(case, "spk_id").squeeze(1).long() - first
    else:
        speaker = torch.zeros(2, dtype=torch.long)
    return (
        channels_first(case, "units")[:items],
        tensor(case, "f0").squeeze(2)[:items],
        tensor(case, "volume").squeeze(2)[:items],
        speaker[:items],
    )


EXACT = {"atol": 2e-5, "rtol": 1e-4}  # of the manifests: float32, another order of summation
SAMPLED = {"atol": 2e-3, "rtol": 1e-3}  # likewise: the samplers amplify it
SPEEDUPS = {"diffusion_dsvc": 100}  # of full sampling; others 10


@pytest.fixture(scope="module", params=CASES)
def golden(request, tmp_path_factory):
    return load_golden(request.param, tmp_path_factory.mktemp(request.param))


def sample(case, model, *, shallow, items=1, **options):
    """Sample item 0 of the case as the manifest says; the item that samples has the first speaker."""
    units, f0, volume, speaker = inputs(case, items)
    options.setdefault("noise", plain(case, "q_noise" if shallow else "x_T")[:items])
    if shallow:
        options = {"mel": channels_first(case, "gt")[:items], "k_step": 50} | options
    return model.infer(units, f0, volume, options.pop("speaker", speaker), **options)


def test_parity_condition_and_denoiser(golden):
    case, model = golden
    condition = channels_first(case, "cond")
    torch.testing.assert_close(model.embed(*inputs(case)), condition, **EXACT)
    shift = tensor(case, "aug_shift").flatten()
    torch.testing.assert_close(model.embed(*inputs(case), shift), channels_first(case, "cond_aug"), **EXACT)
    out = model.decoder.network(plain(case, "x_t"), tensor(case, "t_den").long(), condition)
    torch.testing.assert_close(out, plain(case, "denoise"), **EXACT)


def test_parity_range_noising_and_tables(golden):
    case, model = golden
    mel = channels_first(case, "gt")
    x = model.decoder.normalize(mel)
    torch.testing.assert_close(x, channels_first(case, "norm_spec"), **EXACT)
    torch.testing.assert_close(model.decoder.denormalize(x), mel, atol=1e-5, rtol=0)
    noised = model.decoder.noised(x, tensor(case, "t_train").long(), plain(case, "q_noise"))
    torch.testing.assert_close(noised, plain(case, "q_sample"), **EXACT)
    names = [name.removeprefix("buf_") for name in case.arrays if name.startswith("buf_")]
    assert len(names) == 5
    for name in names:
        # rtol of the manifest: the published tables are float32 sums of float64 numbers
        want = tensor(case, f"buf_{name}")
        torch.testing.assert_close(model.decoder.get_buffer(name), want, rtol=1e-5, atol=0)


def test_parity_loss_and_gradients(golden):
    case, model = golden
    model = Unit2Mel(model.config)
    model.load_state_dict(golden[1].state_dict())
    loss = model(
        *inputs(case),
        tensor(case, "aug_shift").flatten(),
        channels_first(case, "gt"),
        t=tensor(case, "t_train").long(),
        noise=plain(case, "q_noise"),
    )
    torch.testing.assert_close(loss.reshape(1), tensor(case, "loss"), **EXACT)
    loss.backward()
    parameters = dict(model.named_parameters())
    assert list(parameters) == case.manifest["grad_names"]  # and so in the optimizer's state
    norms = [parameters[name].grad.norm().item() for name in case.manifest["grad_names"]]
    np.testing.assert_allclose(norms, case["grad_norm"], rtol=1e-3)


RUNS = [
    (case, start, method)
    for case in CASES
    for start in ("full", "shallow")
    for method in methods("Diffusion")
    if f"{start}_{method}" in load_case(case).arrays
]


@pytest.mark.parametrize(("name", "start", "method"), RUNS)
def test_parity_samplers(name, start, method, tmp_path):
    case, model = load_golden(name, tmp_path)
    times: list[float] = []
    model.decoder.network.register_forward_pre_hook(lambda _, args: times.append(args[1][0].item()))
    speedup = SPEEDUPS.get(name, 10) if start == "full" else 10
    # what Diffusion-SVC calls dpm-solver is dpm-solver++; see diffusion/config.py
    ours = "dpm-solver++" if (name, method) == ("diffusion_dsvc", "dpm-solver") else method
    mel = sample(case, model, shallow=start == "shallow", method=ours, speedup=speedup)
    want = channels_first(case, f"{start}_{method}")
    if name == "diffusion_dsvc" and start == "full":  # a random network amplifies the noise to thousands
        assert (mel - want).abs().max() <= 1e-3 * want.abs().max()
    else:
        torch.testing.assert_close(mel, want, **SAMPLED)
    want_times = case[f"t_{start}_{method}"]
    if method in ("ddim", "pndm"):  # their last published evaluation changes nothing, and is left out
        assert want_times[-1] == 0
        want_times = want_times[:-1]
    np.testing.assert_allclose(times, want_times, rtol=1e-5)


def test_parity_covers_every_method():
    assert len(RUNS) == 2 * (5 + 5 + 4) + 5


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("start", ["full", "shallow"])
def test_parity_ancestral(name, start, tmp_path):
    case, model = load_golden(name, tmp_path)
    if f"{start}_ancestral" not in case.arrays:
        assert model.config.model.shallow_only
        return
    condition = model.embed(*inputs(case, 1))
    shallow = start == "shallow"
    mel = model.decoder.sample(
        condition,
        method="ddim",  # ignored at this speed
        speedup=1,
        noise=plain(case, "q_noise" if shallow else "x_T")[:1],
        draw=torch.zeros_like,  # as the golden was made
        mel=channels_first(case, "gt")[:1] if shallow else None,
        k_step=50 if shallow else None,
    )
    torch.testing.assert_close(mel, channels_first(case, f"{start}_ancestral"), **SAMPLED)


def test_parity_with_a_speedup_that_does_not_divide_and_a_mel_one_frame_shorter(tmp_path):
    case, model = load_golden("diffusion_1spk", tmp_path)
    for published in ("ddim", "dpmpp", "unipc", "pndm"):
        method = {"dpmpp": "dpm-solver++"}.get(published, published)
        mel = sample(case, model, shallow=True, method=method, speedup=7)
        torch.testing.assert_close(mel, channels_first(case, f"shallow_{published}_speed7"), **SAMPLED)

    short = channels_first(case, "gt")[:1, :, :29]
    noise = torch.from_numpy(signal("diff.qnoise", (1, 16, 29)))
    mel = sample(case, model, shallow=True, mel=short, noise=noise, method="ddim", speedup=10)
    torch.testing.assert_close(mel, channels_first(case, "shallow_short_gt_ddim"), **SAMPLED)


@pytest.mark.parametrize("name", ["diffusion_3spk", "diffusion_dsvc"])
def test_parity_speaker_mix(name, tmp_path):
    case, model = load_golden(name, tmp_path)
    tracks, mixes = inputs(case)[:3], {"diffusion_3spk": "cond_mix_const", "diffusion_dsvc": "cond_mix"}
    mixed = model.embed(*tracks, torch.tensor([0.2, 0.3, 0.5]).expand(2, 3))
    torch.testing.assert_close(mixed, channels_first(case, mixes[name]), **EXACT)
    if name == "diffusion_3spk":
        track = tensor(case, "mix_track").expand(2, -1, -1)
        mixed = model.embed(*tracks, track)
        torch.testing.assert_close(mixed, channels_first(case, "cond_mix_track"), **EXACT)
        mel = sample(case, model, shallow=True, speaker=track[:1], method="ddim", speedup=10)
        torch.testing.assert_close(mel, channels_first(case, "shallow_ddim_mix_track"), **SAMPLED)


def test_parity_speaker_encoder_of_diffusion_svc():
    case = load_case("diffusion_dsvc")
    config = config_of(
        case.manifest["config"], n_spk=1, use_speaker_encoder=True, speaker_encoder_out_channels=12
    )
    model = Unit2Mel(config)
    state = {**model.state_dict(), **case.state_dict()}
    state["spk_embed.weight"] = torch.from_numpy(fill("spk_embed.weight", (24, 12)))
    model.load_state_dict(state)
    units, f0, volume, _ = inputs(case)
    out = model.embed(units, f0, volume, torch.from_numpy(signal("diff.spk_emb", (2, 12))))
    torch.testing.assert_close(out, channels_first(case, "cond_speaker_encoder"), **EXACT)


@pytest.mark.parametrize("name", ["diffusion_1spk", "diffusion_3spk", "diffusion_dsvc"])
def test_parity_names_and_shapes_at_the_published_size(name):
    manifest = load_case(name).manifest
    values = load_case("diffusion_1spk").manifest["default_config"]
    values = values | {"n_spk": 3 if "spk_embed.weight" in manifest["default_state_dict"] else 1}
    with torch.device("meta"):
        model = Unit2Mel(config_of(values))
    found = {name: [list(value.shape), "float32"] for name, value in model.state_dict().items()}
    assert found == manifest["default_state_dict"]
    assert list(found) == list(manifest["default_state_dict"])
