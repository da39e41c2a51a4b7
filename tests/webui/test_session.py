import gc
import threading
import time
import weakref

import numpy as np
import pytest
import soundfile

from inference.options import ConvertOptions
from inference.song import SongConverter
from modules.errors import AudioError, ConfigError
from tests.webui.server import MODEL, RATE, make_project, tone
from webui.convert import plan_takes
from webui.jobs import CONVERTING, Cancelled, Job, Line
from webui.picture import draw
from webui.results import advice_sentence, earlier
from webui.session import Session, devices
from webui.status import as_html
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
    from dataclasses import replace

    return replace(OPTIONS, trans=(float(key),))


def test_one_bad_song_does_not_spoil_the_others(project):
    (project / "raw" / "text.wav").write_text("no sound")
    songs = [project / "raw" / "text.wav", project / "raw" / "歌 one.wav"]
    bad, good = Session().convert(OPTIONS, plan_takes(songs, OPTIONS)).result()
    assert isinstance(bad, AudioError) and str(bad).startswith("text.wav cannot be read")
    assert good.take.result.is_file()


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
        from dataclasses import replace

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
    from dataclasses import replace

    session = Session()
    session.load(OPTIONS).result()
    (project / "trained" / "anna" / "broken.pth").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(Exception, match="broken.pth"):
        session.load(replace(OPTIONS, model_path="trained/anna/broken.pth")).result()
    assert session.config is None and len(session.line) == 0
    session.load(OPTIONS).result()


def test_the_processor_is_a_device():
    assert devices()[-1] == "cpu"
