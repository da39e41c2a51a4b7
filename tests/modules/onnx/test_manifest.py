import dataclasses
import json
from typing import Any

import pytest

from modules.common.errors import ConfigError
from modules.config import parse_config
from modules.onnx.manifest import DiffusionManifest, Manifest, manifest_path, read_manifest, write_manifest

CLOCK = {"centre": 200, "hop_length": 320, "sampling_rate": 16000}
DIFFUSION = DiffusionManifest(
    type="ReFlow", timesteps=1000, max_steps=100, n_speakers=2, speakers={"anna": 0, "花子": 1}
)
SIDECAR = Manifest(
    config=parse_config(
        {
            "data": {"hop_length": 256, "n_mel_channels": 80},
            "model": {
                "inter_channels": 80,
                "speech_encoder": "mfcc",
                "ssl_dim": 12,
                "n_speakers": 2,
                "vol_embedding": True,
                "use_automatic_f0_prediction": False,
            },
            "spk": {"anna": 0, "花子": 1},
            "f0_range": {"anna": [200.0, 300.0, 400.0]},
        }
    ),
    reach=7,
    diffusion=DIFFUSION,
)


def test_it_comes_back_as_it_was_written(tmp_path):
    replace = dataclasses.replace
    for sidecar in (
        SIDECAR,
        replace(SIDECAR, diffusion=None, fused=True, reach=0),
        replace(SIDECAR, diffusion=replace(DIFFUSION, betas=(0.1, 0.2), method="rk4")),
        replace(SIDECAR, diffusion=replace(DIFFUSION, unit_interpolate_mode="time")),
    ):
        write_manifest(tmp_path / "any name 1.2", sidecar, CLOCK)
        assert [path.name for path in tmp_path.iterdir()] == ["any name 1.2.json"]
        assert read_manifest(f"{tmp_path}/any name 1.2/") == sidecar
        values = json.loads((tmp_path / "any name 1.2.json").read_text(encoding="utf-8"))
        assert values["unit_clock"] == CLOCK


def test_units_of_an_older_export_are_aligned_as_all_were(tmp_path):
    write_manifest(tmp_path / "x", SIDECAR, CLOCK)
    path = manifest_path(tmp_path / "x")
    values = json.loads(path.read_text(encoding="utf-8"))
    del values["unit_clock"], values["diffusion"]["unit_interpolate_mode"]
    path.write_text(json.dumps(values), encoding="utf-8")
    assert read_manifest(tmp_path / "x") == SIDECAR


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"version": 2}, "version 2 is not 1"),
    ({"rate": "fast"}, "data.sampling_rate must be of type int"),
    ({"hop": 0}, "hop_length must be between 16 and 32768"),
    ({"encoder": 7}, "model.speech_encoder must be of type str"),
    ({"speakers": {"anna": 7}}, "spk.anna is 7"),
    ({"speakers": None}, "'spk'"),
    ({"speakers": {"a\x1b[2J": 0}}, "spk: rename the speaker"),
    ({"diffusion": {"type": "Diffusion", "speakers": {"\ud800": 0}}}, "rename the speaker"),
    ({"fused": "yes"}, "'fused' must be true or false"),
    ({"reach": -1}, "'reach'"),
    ({"data": []}, "'data' and 'f0_range' must be tables"),
    ({"f0_range": []}, "'data' and 'f0_range' must be tables"),
    ({"diffusion": []}, "'diffusion' must be a table"),
    ({"diffusion": {"type": "Diffusion"}}, "section 'diffusion.speakers' must give an id"),
    ({"diffusion": {"type": "Diffusion", "speakers": {}}}, r"diffusion\.timesteps must be of type int"),
    ({"diffusion": vars(DIFFUSION) | {"betas": ["x"]}}, r"diffusion\.betas must be of type float"),
]


def test_a_broken_one_says_what_is_wrong_and_a_missing_one_who_writes_it(tmp_path):
    write_manifest(tmp_path / "x", SIDECAR, CLOCK)
    path = manifest_path(tmp_path / "x")
    values = json.loads(path.read_text(encoding="utf-8"))
    for changes, message in BROKEN:
        path.write_text(json.dumps({**values, **changes}), encoding="utf-8")
        with pytest.raises(ConfigError, match=message) as caught:
            read_manifest(tmp_path / "x")
        assert "x.json" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"no_voice\.json does not exist.*onnx_export\.py -n no_voice"):
        read_manifest(tmp_path / "no_voice")
