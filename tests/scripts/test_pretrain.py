"""python -m pretrain, as a user runs it."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from modules.common.errors import ConfigError, MissingWeightsError
from modules.pretrained.weights import WEIGHTS
from pretrain.__main__ import as_markdown, main, resolve
from tests.support.file_server import Fault
from tests.support.processes import start_interruptible, wait_until

ROOT = Path(__file__).parents[2]
BODY = np.random.default_rng(0).bytes(400_000)


def start(*args, **how):
    return start_interruptible(
        [sys.executable, "-m", "pretrain", *map(str, args)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


def outcome(process):
    """Return the exit code, all that stderr got, and its last line."""
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    return process.returncode, err, err.replace("\r", "\n").strip().splitlines()[-1]


def test_the_names_of_parts_and_of_files_are_understood():
    assert resolve(["vec768l12", "vec256l9", "nsf-hifigan-log10", "rmvpe", "contentvec"]) == (
        ["contentvec", "nsf-hifigan", "rmvpe"],
        [],
    )
    assert resolve(["mfcc", "world", "fcpe", "pm"]) == ([], ["mfcc", "world", "fcpe", "pm"])
    with pytest.raises(ConfigError, match="there is no 'vec768'; choose from: vec768l12, .*contentvec"):
        resolve(["rmvpe", "vec768"])


def test_the_list_says_what_is_here_and_its_table_is_in_the_document(tmp_path, capsys):
    assert main(["--list", "--markdown"]) == 0
    table = capsys.readouterr().out
    assert table == "\n".join(as_markdown()) + "\n"
    document = (ROOT / "docs/weights.md").read_text(encoding="utf-8")
    assert document.endswith(f"prints this.\n\n{table}"), "write it again: see the document's last section"
    (tmp_path / "rmvpe.pt").write_bytes(BODY)
    assert main(["--list", "--folder", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    states = {words[0]: words[1] for words in map(str.split, out.splitlines()) if len(words) > 1}
    assert states["rmvpe"] == "there" and states["hubertsoft"] == "missing"
    assert all(str(tmp_path / entry.file) in out and entry.purpose in out for entry in WEIGHTS.values())
    assert "mfcc" in out.splitlines()[-1] and "need no download" in out
    assert main(["mfcc", "fcpe"]) == 0
    assert capsys.readouterr().out == "mfcc needs no download\nfcpe needs no download\n"


def test_mistakes_are_one_line(tmp_path, capsys):
    address = ["--url", "https://a.example/b"]
    for args, words in [
        ([], "name what to download"),
        (["no-such"], "there is no 'no-such'"),
        (address, "name what to download"),
        (["rmvpe", "hubertsoft", *address], "--url goes with the name of one file"),
        (["nsf-snake-hifigan"], "the part named dec. of a so-vits-svc G_*.pth"),
    ]:
        assert main([*args, "--folder", str(tmp_path / "none")]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_all_takes_everything_that_has_a_source_and_goes_on_after_a_failure(tmp_path, monkeypatch, capsys):
    asked = []

    def install(key, *args):
        asked.append(key)
        if key in ("hubertsoft", "rmvpe"):
            raise MissingWeightsError(f"{key} is not to be had")

    monkeypatch.setattr("modules.pretrained.install.install", install)
    assert main(["--all", "--folder", str(tmp_path)]) == 2
    assert asked == [key for key in WEIGHTS if key != "nsf-snake-hifigan"]
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2 and "hubertsoft is not" in errors[0] and "rmvpe is not" in errors[1]


def test_check_names_what_has_changed(server, tmp_path, capsys):
    url = server.put("a.pt", BODY)
    assert main(["hubertsoft", "--url", url, "--folder", str(tmp_path)]) == 0
    assert "GLOW_SVC_PRETRAIN" in capsys.readouterr().out
    assert main(["--check", "--folder", str(tmp_path)]) == 0
    assert "as recorded" in capsys.readouterr().out
    (tmp_path / "hubert-soft-0d54a1f4.pt").write_bytes(BODY[::-1])
    assert main(["--check", "--folder", str(tmp_path)]) == 2
    assert "hubert-soft-0d54a1f4.pt has changed" in capsys.readouterr().err
    assert main(["--check", "rmvpe", "--folder", str(tmp_path)]) == 2
    assert "rmvpe.pt is missing" in capsys.readouterr().err


def test_two_processes_at_once_download_once(server, tmp_path):
    url = server.put("a.pt", BODY, drip=0.01)
    both = [start("rmvpe", "--url", url, "--folder", tmp_path) for _ in range(2)]
    outcomes = [outcome(process) for process in both]
    assert [code for code, _, _ in outcomes] == [0, 0]
    assert sum("another download of rmvpe is running" in lines for _, lines, _ in outcomes) == 1
    assert len(server.requests) == 1 and (tmp_path / "rmvpe.pt").read_bytes() == BODY
    assert not list(tmp_path.glob("*.part*"))


def test_ctrl_c_keeps_what_came_and_the_next_run_continues(server, tmp_path):
    url, model = server.put("a.pt", BODY, drip=0.02), tmp_path / "rmvpe.pt"
    process = start("rmvpe", "--url", url, "--folder", tmp_path)
    wait_until(lambda: any(part.stat().st_size for part in tmp_path.glob("*.part")), process)
    process.send_signal(signal.SIGINT)
    code, _, error = outcome(process)
    assert code == 130 and "run the same command for the rest" in error and not model.exists()
    server.files["a.pt"].drip = 0
    assert outcome(start("rmvpe", "--url", url, "--folder", tmp_path))[0] == 0
    assert model.read_bytes() == BODY and server.ranges()[-1].startswith("bytes=")


def test_a_mirror_that_fails_and_a_disk_that_takes_no_more_are_one_line(server, tmp_path):
    url, model = server.put("a.pt", BODY, faults=[Fault(status=404)]), tmp_path / "rmvpe.pt"
    command = ("rmvpe", "--url", url, "--folder", tmp_path)
    code, lines, error = outcome(start(*command))
    assert code == 2 and f"warning: {url}: answers 404 Not Found" in lines
    assert f"{model} could not be downloaded" in error and "huggingface.co" in error

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    code, _, error = outcome(start(*command, preexec_fn=limit))
    assert code == 2 and ".part: File too large" in error and not model.exists()
    assert outcome(start(*command))[0] == 0  # the part is continued
    assert model.read_bytes() == BODY and server.ranges()[-1] == "bytes=200000-"


def test_a_folder_that_may_not_be_written_is_named(server, capsys):
    import modules.pretrained.install  # noqa: F401 - cannot be read any more once the rights are gone

    url = server.put("a.pt", BODY)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        root = os.geteuid() == 0  # to whom nothing is forbidden
        try:
            if root:
                os.seteuid(65534)
            code = main(["rmvpe", "--url", url, "--folder", folder])
        finally:
            if root:
                os.seteuid(0)
        error = capsys.readouterr().err
        assert code == 2 and folder in error and "Permission denied" in error and error.count("\n") == 1
        assert os.listdir(folder) == [] and server.requests == []
