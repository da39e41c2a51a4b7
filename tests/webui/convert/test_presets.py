"""The page's presets are those of the command line."""

from dataclasses import replace

import pytest

from inference.options import ConvertOptions
from inference.options.preset import write_preset
from modules.common.errors import ConfigError
from webui.context import Context
from webui.convert.presets import page_values
from webui.texts import TEXTS

NAMES = ["spk_list", "trans", "auto_key", "autotune", "k_step", "enhance", "preview", "model_path"]


def test_a_preset_fills_the_fields(tmp_path):
    context = Context(tmp_path, lambda key: TEXTS[key][0])
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "G_1.pth").write_bytes(b"x")
    options = ConvertOptions(
        model_path="logs/G_1.pth", spk_list=("anna",), trans=(5.0,), autotune=0.5, k_step=40, enhance=True
    )
    write_preset("anna", options, tmp_path)
    values = dict(zip(NAMES, page_values(context, "anna", NAMES), strict=True))
    assert values["preview"] != 0 and isinstance(values.pop("preview"), dict)  # it stays as it is
    assert values == {
        "spk_list": ["anna"],
        "trans": 5.0,
        "auto_key": False,
        "autotune": 0.5,
        "k_step": 40,
        "enhance": True,
        "model_path": "logs/G_1.pth",
    }
    write_preset("auto", replace(options, trans=("auto",)), tmp_path)
    values = dict(zip(NAMES, page_values(context, "auto", NAMES), strict=True))
    assert values["auto_key"] is True and isinstance(values["trans"], dict)
    write_preset("thief", replace(options, model_path="/etc/passwd"), tmp_path)
    with pytest.raises(ConfigError):
        page_values(context, "thief", NAMES)
