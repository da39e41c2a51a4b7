import gc
import threading
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from inference.options import ConvertOptions
from inference.pipeline import SongConverter
from modules.common.errors import AudioError, CheckpointError, ConfigError, GlowSVCError
from tests.webui.server import MODEL, RATE, make_project, tone
from webui.convert import voice_model as voice
from webui.convert.picture import draw
from webui.convert.results import advice_sentence, earlier
from webui.convert.tab import _watch, plan_takes
from webui.jobs.queue import CONVERTING, Cancelled, Job, Line
from webui.jobs.status import as_html
from webui.session import Session, _unused, devices
from webui.texts.convert import TEXTS

OPTIONS = ConvertOptions(
    model_path=MODEL, config_path="trained/anna/config.json", spk_list=("anna",), wav_format="wav"
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(make_project(tmp_path))
    return tmp_path


def say(key):
    return TEXTS[key][0]


def test_jobs_take_turns_in_order_and_can_leave():
    line, order, gate = Line(), [], threading.Event()

    def job(name):
        def work(own):
            with line.turn(own):
                gate.wait(10)
                order.append(name)

        return Job(work)

    jobs = [job(name) for name in "abcd"]
    for number, one in enumerate(jobs):
        one.start()
        while len(line) <= number:
            time.sleep(0.005)
    assert [line.before(one) for one in jobs] == [0, 1, 2, 3]
    jobs[1].cancel()
    with pytest.raises(Cancelled):
        jobs[1].result()
    gate.set()
    for one in (jobs[0], jobs[2], jobs[3]):
        one.result()
    assert order == ["a", "c", "d"] and len(line) == 0


def test_a_job_knows_how_long_it_will_take():
    def work(job):
        job.enter(CONVERTING, "a <song>")
        time.sleep(0.1)
        job.report(0.25)
        shown.append((job.seconds_left, as_html(job, session, say)))

    shown: list[tuple[float, str]] = []
    session = Session()
    Job(work).start().result()
    left, text = shown[0]
    assert 0.25 < left < 5  # three times 0.1 s, on a machine that does other things too
    assert "converting a &lt;song&gt;" in text and "25%" in text and "left" in text


def test_songs_are_converted_and_measured(project):
    soundfile.write("raw/low.wav", tone(3.0, 110.0), RATE)
    session = Session()
    takes = plan_takes([project / "raw" / "歌 one.wav", project / "raw" / "low.wav"], OPTIONS)
    names = [take.result.name for take in takes]
    assert names == ["歌 one_0key_anna_glow_pm.wav", "low_0key_anna_glow_pm.wav"]
    made = session.convert(OPTIONS, takes).result()
    for entry in made:
        assert entry.take.result.is_file() and entry.seconds == pytest.approx(3.0)
        assert len(entry.source_f0) == len(entry.result_f0) == round(3 * RATE) // 512
        assert entry.slices[0][0] == 0 and entry.slices[-1][1] == pytest.approx(3.0)
    # the tones' own pitch, as far as the vibrato of half a semitone lets it be
    voiced = made[1].source_f0[made[1].source_f0 > 0]
    assert np.median(voiced) == pytest.approx(110.0, rel=0.04)
    assert made[1].advice.key == 24 and made[1].advice.low == pytest.approx(110, rel=0.06)
    assert "a key of +24 semitones would fit better" in advice_sentence(made[1], say)
    # the key that was advised is no more advised against
    again = plan_takes([project / "raw" / "low.wav"], read_key(24))
    assert session.convert(OPTIONS, again).result()[0].advice is None
    assert draw(made[0]).startswith(b"\x89PNG")
    assert earlier(project / "results")[0] == "low_24key_anna_glow_pm.wav"


def read_key(key):
    return replace(OPTIONS, trans=(float(key),))


def test_one_bad_song_does_not_spoil_the_others(project):
    (project / "raw" / "text.wav").write_text("no sound")
    songs = [project / "raw" / "text.wav", project / "raw" / "歌 one.wav"]
    bad, good = Session().convert(OPTIONS, plan_takes(songs, OPTIONS)).result()
    assert isinstance(bad, AudioError) and str(bad).startswith("text.wav cannot be read")
    assert good.take.result.is_file()


def test_nobody_replaces_the_result_of_another(project):
    """Two pages upload each their song.wav, and one asks again with another -ns."""
    session, jobs = Session(), []
    for number, hz in enumerate((220.0, 330.0, 330.0)):
        (project / str(number)).mkdir()
        soundfile.write(project / str(number) / "song.wav", tone(1.0, hz), RATE)
        options = replace(OPTIONS, noise_scale=0.4 if number < 2 else 0.9)
        jobs.append(session.convert(options, plan_takes([project / str(number) / "song.wav"], options)))
    results = [job.result()[0].take.result for job in jobs]
    assert {path.name for path in results} == {
        "song_0key_anna_glow_pm.wav",
        "song_0key_anna_glow_pm (2).wav",
        "song_0key_anna_glow_pm (3).wav",
    }
    assert len({path.read_bytes() for path in results}) == 3


def test_a_number_has_room_in_a_long_name(project):
    name = "歌" * 78 + "_pm.wav"
    (project / name).write_bytes(b"")
    free = _unused(project / name)
    assert free.name.endswith(" (2).wav") and len(free.name.encode()) <= 240


def test_a_song_too_large_for_the_memory_does_not_spoil_the_others(project, monkeypatch):
    soundfile.write("raw/second.wav", tone(1.0), RATE)
    session = Session()
    session.load(OPTIONS).result()
    sing, sung = session._converter.synthesize, []

    def sing_second(segment, report):
        sung.append(segment)
        if len(sung) == 1:
            raise RuntimeError("CUDA out of memory.\nTried to allocate")
        return sing(segment, report)

    monkeypatch.setattr(session._converter, "synthesize", sing_second)
    songs = [project / "raw" / "歌 one.wav", project / "raw" / "second.wav"]
    bad, good = session.convert(OPTIONS, plan_takes(songs, OPTIONS)).result()
    assert str(bad).startswith("歌 one.wav: cpu is out of memory. Try ")
    assert good.take.result.is_file()


def test_after_a_failure_no_bar_stays_and_the_status_is_true(project):
    broken = replace(OPTIONS, model_path="trained/anna/broken.pth")
    (project / "trained" / "anna" / "broken.pth").write_bytes(b"PK\x03\x04 and no more")
    (project / "raw" / "text.wav").write_text("no sound")
    session = Session()
    session.load(OPTIONS).result()
    for options, status in ((OPTIONS, "G_8.pth is loaded"), (broken, "No voice is loaded")):
        job = session.convert(options, plan_takes([project / "raw" / "text.wav"], options))
        shown = []
        with pytest.raises(GlowSVCError):
            for values in _watch(job, session, say):
                shown.append(values)
        assert shown[-1][0] == "" and status in shown[-1][3]
    session.load(OPTIONS).result()
    shown = []
    with pytest.raises(CheckpointError, match=r"broken\.pth"):
        for values in voice._watch(session.load(broken), session, say):
            shown.append(values)
    assert "progress" not in shown[-1][0] and "No voice is loaded" in shown[-1][0]


def test_cancelling_stops_within_a_slice_and_leaves_nothing(project):
    soundfile.write("raw/long.wav", np.tile(tone(5.0), 60), RATE)
    session = Session()
    job = session.convert(OPTIONS, plan_takes([project / "raw" / "long.wav"], OPTIONS))
    while job.share == 0:
        time.sleep(0.005)
    with pytest.raises(ConfigError, match="at work"):
        session.unload()
    job.cancel()
    with pytest.raises(Cancelled):
        job.result()
    assert 0 < job.share < 1 and not list((project / "results").iterdir())
    session.unload()


def test_the_voice_is_loaded_once_and_again_when_it_must_be(project, monkeypatch):
    session = Session()
    song = [project / "raw" / "歌 one.wav"]

    def loaded(**changes):
        options = replace(OPTIONS, **changes)
        session.convert(options, plan_takes(song, options)).result()
        return session._converter

    first = loaded()
    assert loaded(noise_scale=0.1, trans=(3.0,), f0_predictor="dio") is first
    assert session.options == OPTIONS  # programs get what the voice was loaded with
    assert loaded(precision="bf16") is not first
    diffusion = {
        "shallow_diffusion": True,
        "diffusion_model_path": "logs/44k/diffusion/model_8.pt",
        "diffusion_config_path": "logs/44k/diffusion/config.yaml",
        "diffusion_speedup": 50,
    }
    second = loaded(**diffusion)
    assert second.refiner is not None and loaded(**diffusion) is second
    assert loaded(**diffusion, k_step=50) is not second


def test_unloading_frees_the_model(project):
    session = Session()
    session.load(OPTIONS).result()
    assert session.device == "cpu"
    network = weakref.ref(session._converter.model)
    converter: weakref.ref[SongConverter] = weakref.ref(session._converter)
    session.unload()
    gc.collect()
    assert network() is None and converter() is None
    assert session.options is None and session.config is None and session.device == ""


def test_what_cannot_be_loaded_leaves_no_voice(project):
    session = Session()
    session.load(OPTIONS).result()
    (project / "trained" / "anna" / "broken.pth").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(Exception, match="broken.pth"):
        session.load(replace(OPTIONS, model_path="trained/anna/broken.pth")).result()
    assert session.config is None and len(session.line) == 0
    session.load(OPTIONS).result()


def test_the_processor_is_a_device():
    assert devices()[-1] == "cpu"
