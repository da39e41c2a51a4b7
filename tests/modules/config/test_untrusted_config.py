"""Configurations of strangers: one short line each, whatever they claim or unfold to."""

import json
import sys

import pytest

from diffusion.config import load_diffusion_config
from models import GlowSVC
from modules.checkpoint import build_module, write_checkpoint
from modules.common.errors import CheckpointError, ConfigError
from modules.config import ModelConfig, load_config
from tests.support.fuzzing import ROOM, in_children

TAGS = ("!!bool abc", "!!timestamp abc", '!!int ""', '!!float ""', "!!int -", "2001-99-99", '!!int "0x"')
NINE = ", ".join(["*a{0}"] * 9)


def doubling(value: str, first: str) -> str:
    """YAML of a few hundred bytes whose aliases unfold to millions of entries."""
    lines = (f"a{n}: &a{n} {value.format(NINE.format(n - 1))}" for n in range(1, 8))
    return "\n".join([f"a0: &a0 {first}", *lines, "data: {units_forced_mode: left, encoder: *a7}"])


YAMLS = {
    "lists of lists": doubling("[{}]", "[x, y]"),
    "merged tables": doubling("{{<<: [{}]}}", "{x: 1}"),
    "a list of itself": "train: &a [*a]",
    "lists in lists": "train: " + "[" * 200 + "]" * 200,
    "many lists in lists": "train: " + "[" * 5000,
    "two hundred thousand bytes": "#" * 200_000,
    "a letter that is none": "train: \x01",
    "a word of 90 000 letters": f"model: {{type: {'x' * 90_000}}}",
    "a key of 90 000 letters": f"spk: {{? {'x' * 90_000} : -1}}",
    **{f"train: {tag}": f"train: {tag}" for tag in TAGS},
}
JSONS = {
    "lists in lists": '{"train": ' + "[" * 500 + "]" * 500 + "}",
    "tables in tables": '{"a":' * 100_000,
    "a word of 100 000 letters": json.dumps({"train": {"half_type": "x" * 100_000}}),
    "a name of 100 000 letters": json.dumps({"spk": {"x" * 100_000: -1}}),
    "a name with a line's end": json.dumps({"spk": {"a\nb\x1b[2J": -1}}),
    "a billion speakers": json.dumps({"model": {"n_speakers": 10**9}}),
    "F0 without a range": json.dumps({"f0_range": None}),
    "F0 that is not a number": json.dumps({"f0_range": {"a": [float("nan")] * 3}}),
    "a hop of one sample": json.dumps({"data": {"hop_length": 1}}),
    "a window of a million samples": json.dumps({"data": {"filter_length": 2**20}}),
    "a million layers": json.dumps({"model": {"n_flow_block_layer": 1024, "n_flow_layer": 1024}}),
    "three million bytes": "[" + " " * 3_000_000 + "]",
}


@pytest.mark.parametrize(
    ("load", "text"),
    [(load_diffusion_config, text) for text in YAMLS.values()]
    + [(load_config, text) for text in JSONS.values()],
    ids=[f"yaml: {name}" for name in YAMLS] + [f"json: {name}" for name in JSONS],
)
def test_each_is_refused_in_one_short_line_that_names_the_file(tmp_path, load, text):
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConfigError) as refusal:
        load(path)
    message = str(refusal.value).removeprefix(str(path))
    assert message != str(refusal.value) and len(message) < 600 and message.isprintable()


def test_what_aliases_are_for_is_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: &a {n_layers: 3}\nmodel: {<<: *a, n_chans: 64}\ndata: {extensions: &b [wav]}\nc: *b")
    config = load_diffusion_config(path)
    assert (config.model.n_layers, config.model.n_chans) == (3, 64)
    path.write_text("")
    with pytest.raises(ConfigError, match="must be a table"):
        load_diffusion_config(path)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # it only forks
def test_sizes_are_compared_with_the_file_before_a_module_takes_memory(tmp_path):
    path = tmp_path / "G_0.pth"
    tiny = {"hidden_channels": 8, "filter_channels": 8, "n_layers": 1, "n_flow_block_layer": 1}
    model = GlowSVC(ModelConfig(**tiny, gin_channels=4, n_speakers=2))
    write_checkpoint(path, {"model": model.state_dict()})

    def load(sizes):
        try:
            build_module(lambda: GlowSVC(ModelConfig(**{**tiny, **sizes})), model.state_dict(), path)
        except CheckpointError as error:
            return [str(error)]
        return []

    claims = [
        {"gin_channels": 65536, "n_speakers": 4096},
        {"gin_channels": 65536, "n_speakers": 65536},
        {"n_layers": 64, "n_flow_block_layer": 64, "n_flow_layer": 64},
        {"gin_channels": 4, "n_speakers": 2},
    ]
    *refused, loaded = in_children(load, claims)
    assert loaded["ended"] == "well" and not loaded["refused"]
    for result in refused:
        assert "does not fit its configuration, which describes a larger model" in result["refused"][0]
        assert result["grown"] < ROOM
