"""Mix files of strangers: what a reader of Python would take seconds and hundreds of megabytes for."""

import sys

import pytest

from inference.speaker_mix.file import read_mix_file
from modules.common.errors import ConfigError
from tests.support.fuzzing import ROOM, in_children

COSTLY = {
    "text in text": "{0: f'" + "{1}" * 150_000 + "'}",
    "lines of text": "f'{1}'\n" * 60_000,
    "lists": "spk_mix_map = {0: [" + "[0,0,0,0]," * 90_000 + "]}",
    "names": "a = " * 150_000 + "{}",
    "sums": "{0: 1" + "+1" * 49_000 + "}",
    "just as large as is parsed": "spk_mix_map = {0: [" + "[0,0,0,0]," * 9_900 + "]}",
}


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # it only forks
def test_memory_stays_near_what_the_file_has(tmp_path):
    path = tmp_path / "mix.py"

    def read(text):
        path.write_text(text)
        try:
            read_mix_file(path)
        except ConfigError as error:
            return [str(error)]
        return []

    *others, largest = in_children(read, list(COSTLY.values()))
    for name, text, result in zip(COSTLY, COSTLY.values(), [*others, largest], strict=True):
        assert result["ended"] == "well" and result["grown"] < 2 * len(text) + ROOM, name
    assert all(len(result["refused"]) == 1 and len(result["refused"][0]) < 500 for result in others)
    assert largest["refused"] == []
    path.write_text('{"0": [' + "[0,0,0,0]," * 20_000 + "[0,0,0,0]]}")
    assert len(read_mix_file(path)[0][1]) == 20_001  # JSON is cheaper
