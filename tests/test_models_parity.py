"""Golden numbers of the published Glow model."""

import copy

import numpy as np
import pytest
import torch

from models import GlowSVC
from modules.checkpoint import load_model
from modules.config import ModelConfig
from modules.dsp.f0 import F0_MAX, F0_MIN
from modules.nn.quarters import from_quarters
from tests.support.golden_cases import load_case, signal

VARIANTS = ["glow_train", "glow_plain", "glow_share", "glow_depthwise", "glow_crn"]


@pytest.fixture
def published(tmp_path):
    """Load a case's model from a file in the published layout."""

    def load(name):
        case = load_case(name)
        path = tmp_path / "G_1000.pth"
        content = {"model": case.state_dict(), "iteration": 3, "optimizer": {}, "learning_rate": 0.7}
        torch.save(content, path)
        model = GlowSVC(ModelConfig.parse(case.manifest["config"])).eval()
        load_model(model, path)
        return model, case

    return load


def golden_inputs(name="glow_train"):
    case = load_case(name)
    inputs = {
        key: torch.from_numpy(case[key]) for key in ("c", "f0", "uv", "mel", "vol") if key in case.arrays
    }
    return inputs | {"sid": torch.from_numpy(case["sid"][:, 0]).long()}


def assert_golden(found, want):
    # the manifests' tolerance; the published float32 is up to 1e-4 off its own float64
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=5e-4)


def dropping_the_last_frame(model, x, f0, speaker):
    """Convert without noise as published; returns mean, log deviation, and the shorter mel."""
    mask = torch.ones(1, 1, 37)
    g, shift = model.embed_speaker(speaker)
    m_p, logs_p = model.enc_p(model.embed(x["c"], x["uv"], shift, x["vol"]), f0, mask)
    return m_p, logs_p, model.flow.inverse(m_p[..., :36], mask[..., :36], g[..., :36])


@pytest.mark.parametrize("name", VARIANTS)
def test_names_order_and_sizes_are_the_published_ones(name):
    manifest = load_case(name).manifest
    model = GlowSVC(ModelConfig.parse(manifest["config"]))
    assert list(model.state_dict()) == list(manifest["state_dict"])
    # the optimizer's state goes by the position of a parameter
    assert [n for n, _ in model.named_parameters()] == manifest["grad_names"]

    values = load_case("glow_train").manifest["default_config"] | {
        "use_automatic_f0_prediction": name != "glow_plain",
        "flow_share_parameter": name == "glow_share",
        "use_depthwise_conv": name == "glow_depthwise",
        "use_crn_pre ": name == "glow_crn",
    }
    with torch.device("meta"):
        model = GlowSVC(ModelConfig.parse(values))
    found = {key: [list(value.shape), "float32"] for key, value in model.state_dict().items()}
    assert found == manifest["default_state_dict"]
    assert sum(p.numel() for p in model.parameters()) == manifest["default_parameters"]


@pytest.mark.parametrize("name", VARIANTS)
def test_golden_training_pass_and_gradients(published, name):
    model, case = published(name)
    x = golden_inputs()
    pre = model.pre(x["c"].mT).mT
    # as published: lengths are rounded down after `pre` has seen the frames in full
    hook = model.pre.register_forward_hook(lambda *_: pre[..., :36].mT)
    even = {key: value[..., :36] for key, value in x.items() if key != "sid"}
    lengths = torch.tensor([36, 28])
    output = model(even["c"], even["f0"], even["uv"], even["mel"], lengths, x["sid"], even["vol"])
    hook.remove()
    outputs = {"pre_out": pre, "x_mask": output.mask, "z_p": output.z, "m_p": output.m_p}
    outputs["logs_p"] = output.logs_p
    if name != "glow_plain":
        outputs |= {"pred_lf0": output.pred_lf0, "norm_lf0": output.norm_lf0, "lf0": output.lf0}
    for key, value in outputs.items():
        assert_golden(value.detach(), case[key])
    np.testing.assert_allclose(output.logdet.detach(), case["logdet"], rtol=1e-5, atol=2e-5)
    mle = GlowSVC.losses(output)["mle"]
    np.testing.assert_allclose(mle.detach(), case["loss_mle"][0], rtol=1e-5)

    mle.backward()
    parameters = dict(model.named_parameters())
    for key, want in zip(case.manifest["grad_names"], case["grad_norm"], strict=True):
        gradient = parameters[key].grad
        if np.isnan(want):  # the published likelihood does not reach the F0 decoder
            assert gradient is None, key
        else:
            # atol: a bias of the keys moves all scores of a query alike, its gradient is rounding
            np.testing.assert_allclose(gradient.norm(), want, rtol=1e-3, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", VARIANTS)
def test_golden_flow_step_by_step_and_back(published, name):
    model, case = published(name)
    flow, x = model.flow, golden_inputs()
    mask = torch.from_numpy(case["x_mask"])
    g, _ = model.embed_speaker(x["sid"])
    steps = []
    hooks = [step.register_forward_hook(lambda *args: steps.append(args[2][0])) for step in flow.flows[:3]]
    with torch.no_grad():
        mel = x["mel"][..., :36] * mask
        back = flow.inverse(flow(mel, mask, g)[0], mask, g)
    for hook in hooks:
        hook.remove()
    for key, value in zip(("flow0_actnorm", "flow1_invconv", "flow2_coupling"), steps, strict=True):
        assert_golden(from_quarters(value, 1) * mask[..., 1::2], case[key])
    # the published bound, plus what float32 may differ by
    assert (back - mel).abs().max() < max(2 * case["roundtrip_max_abs"][0], 2e-5)


@pytest.mark.parametrize("name", ["glow_infer", *VARIANTS[1:]])
def test_golden_conversion(published, name):
    model, case = published(name)
    x, speaker = golden_inputs("glow_infer"), torch.tensor([1])
    even = {key: value[..., :36] for key, value in x.items()}
    for kind in ("f0", "autof0") if model.f0_decoder is not None else ("f0",):
        options = {"noise_scale": 0, "predict_f0": kind == "autof0"}
        for frames, tracks in ((36, even), (37, x)):
            mel, f0 = model.infer(tracks["c"], tracks["f0"], tracks["uv"], speaker, tracks["vol"], **options)
            want = case[f"infer_T{frames}_{kind}_f0"]
            want = want.clip(F0_MIN, F0_MAX) if kind == "autof0" else want
            np.testing.assert_allclose(f0, want, rtol=1e-4, atol=1e-2)
            assert mel.shape == (1, 16, frames)
            # the published flow drops frame 37, which reaches frames from 13 on
            same = slice(36 if frames == 36 else 12)
            assert_golden(mel[..., same], case[f"infer_T{frames}_{kind}_mel"][..., same])
        with torch.no_grad():
            found = dropping_the_last_frame(model, x, f0, speaker)
        for key, value in zip(("m_p", "logs_p", "mel"), found, strict=True):
            assert_golden(value, case[f"infer_T37_{kind}_{key}"])

    noise = torch.from_numpy(signal("glow.noise", (1, 16, 37)))
    mel, _ = model.infer(x["c"], x["f0"], x["uv"], speaker, x["vol"], noise_scale=0.35, noise=noise)
    assert_golden(mel[..., :12], case["infer_T37_noise035_mel"][..., :12])


def test_golden_mix(published):
    model, case = published("glow_infer")
    x, want = golden_inputs("glow_infer"), case["mix_intended_mel"]
    shares = torch.tensor([[0.2, 0.3, 0.5]])
    for speaker in (shares, shares.expand(1, 37, 3)):
        mel, _ = model.infer(x["c"], x["f0"], x["uv"], speaker, x["vol"], noise_scale=0)
        assert_golden(mel[..., :12], want[..., :12])
        with torch.no_grad():
            assert_golden(dropping_the_last_frame(model, x, x["f0"], speaker)[2], want)


def test_shared_wavenet_stays_shared(published):
    model, case = published("glow_share")
    assert all(model.flow.flows[i].enc is model.flow.wn for i in (2, 5, 8))
    state = model.state_dict()
    for name in state:
        if name.startswith("flow.wn."):
            copies = [state[name.replace("wn", f"flows.{i}.enc", 1)] for i in (2, 5, 8)]
            assert all(torch.equal(each, case.state_dict()[name]) for each in copies)
    clone = copy.deepcopy(model)
    assert clone.flow.flows[2].enc is clone.flow.wn
