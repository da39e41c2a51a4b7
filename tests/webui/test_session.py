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
from webui.convert.picture import draw_conversion
from webui.convert.results import advice_sentence, recent_results
from webui.convert.tab import plan_conversions, watch_conversion
from webui.convert.voice_model import watch_loading
from webui.jobs.queue import CONVERTING, Cancelled, JobQueue
from webui.jobs.status import job_html
from webui.language import in_language
from webui.session import ConversionTask, Session, devices

OPTIONS = ConvertOptions(
    model_path=MODEL, config_path="trained/anna/config.json", spk_list=("anna",), wav_format="wav"
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(make_project(tmp_path))
    return tmp_path


say = in_language(None)


def test_jobs_run_in_order_and_can_be_cancelled():
    queue, order, gate = JobQueue(), [], threading.Event()

    def work(name):
        def run(job):
            gate.wait(10)
            order.append(name)

        return run

    jobs = [queue.submit(work(name)) for name in "abcd"]
    assert [queue.before(job) for job in jobs] == [0, 1, 2, 3]
    assert "waiting for 2 other job(s)" in job_html(jobs[2], queue, say)
    jobs[1].cancel()
    with pytest.raises(Cancelled):
        jobs[1].result()
    gate.set()
    for job in (jobs[0], jobs[2], jobs[3]):
        job.result()
    assert order == ["a", "c", "d"]


def test_a_job_estimates_the_time_left():
    def work(job):
        job.enter(CONVERTING, "a <song>")
        time.sleep(0.1)
        job.report(0.25)
        return job.seconds_left, job_html(job, queue, say)

    queue = JobQueue()
    left, text = queue.submit(work).result()
    assert 0.25 < left < 5  # three times 0.1 s, on a busy machine
    assert "converting a &lt;song&gt;" in text and "25%" in text and "left" in text


def test_songs_are_converted_and_measured(project):
    soundfile.write("raw/low.wav", tone(3.0, 110.0), RATE)
    session = Session()
    tasks = plan_conversions([project / "raw" / "歌 one.wav", project / "raw" / "low.wav"], OPTIONS)
    names = [task.result.name for task in tasks]
    assert names == ["歌 one_0key_anna_glow_pm.wav", "low_0key_anna_glow_pm.wav"]
    converted = session.convert(OPTIONS, tasks).result()
    for entry in converted:
        assert entry.task.result.is_file() and entry.seconds == pytest.approx(3.0)
        assert len(entry.source_f0) == len(entry.result_f0) == round(3 * RATE) // 512
        assert entry.slices[0][0] == 0 and entry.slices[-1][1] == pytest.approx(3.0)
    # the pitch of the tones, within the vibrato of half a semitone
    voiced = converted[1].source_f0[converted[1].source_f0 > 0]
    assert np.median(voiced) == pytest.approx(110.0, rel=0.04)
    advice = converted[1].advice
    assert advice.semitones == 24 and advice.song_range[0] == pytest.approx(110, rel=0.06)
    assert "a key of +24 semitones would fit better" in advice_sentence(converted[1], say)
    again = plan_conversions([project / "raw" / "low.wav"], replace(OPTIONS, trans=(24.0,)))
    assert session.convert(OPTIONS, again).result()[0].advice is None
    assert draw_conversion(converted[0]).startswith(b"\x89PNG")
    assert recent_results(project / "results")[0] == "low_24key_anna_glow_pm.wav"


def test_no_result_replaces_another(project):
    """Two pages upload a song.wav each, one of them twice with another -ns; one name is very long."""
    session, jobs = Session(), []
    for number, hz in enumerate((220.0, 330.0, 330.0)):
        (project / str(number)).mkdir()
        soundfile.write(project / str(number) / "song.wav", tone(1.0, hz), RATE)
        options = replace(OPTIONS, noise_scale=0.4 if number < 2 else 0.9)
        jobs.append(session.convert(options, plan_conversions([project / str(number) / "song.wav"], options)))
    results = [job.result()[0].task.result for job in jobs]
    assert {path.name for path in results} == {
        "song_0key_anna_glow_pm.wav",
        "song_0key_anna_glow_pm (2).wav",
        "song_0key_anna_glow_pm (3).wav",
    }
    assert len({path.read_bytes() for path in results}) == 3
    taken = project / ("歌" * 78 + "_pm.wav")
    taken.write_bytes(b"")
    task = ConversionTask(project / "0/song.wav", taken, "anna", 0)
    name = session.convert(OPTIONS, [task]).result()[0].task.result.name
    assert name.endswith(" (2).wav") and len(name.encode()) <= 240


def test_a_bad_song_does_not_stop_the_others(project, monkeypatch):
    (project / "raw" / "text.wav").write_text("no sound")
    soundfile.write("raw/second.wav", tone(1.0), RATE)
    session = Session()
    session.load(OPTIONS).result()
    synthesize, passages = session._converter.synthesize, []

    def fail_first(passage, report):
        passages.append(passage)
        if len(passages) == 1:
            raise RuntimeError("CUDA out of memory.\nTried to allocate")
        return synthesize(passage, report)

    monkeypatch.setattr(session._converter, "synthesize", fail_first)
    songs = [project / "raw" / name for name in ("text.wav", "歌 one.wav", "second.wav")]
    unreadable, too_large, good = session.convert(OPTIONS, plan_conversions(songs, OPTIONS)).result()
    assert isinstance(unreadable, AudioError) and str(unreadable).startswith("text.wav cannot be read")
    assert str(too_large).startswith("歌 one.wav: cpu is out of memory. Try ")
    assert good.task.result.is_file()


def test_a_failure_removes_the_bar_and_updates_the_status(project):
    broken = replace(OPTIONS, model_path="trained/anna/broken.pth")
    (project / "trained" / "anna" / "broken.pth").write_bytes(b"PK\x03\x04 and no more")
    (project / "raw" / "text.wav").write_text("no sound")
    session = Session()
    session.load(OPTIONS).result()
    for options, status in ((OPTIONS, "G_8.pth is loaded"), (broken, "No voice model is loaded")):
        job = session.convert(options, plan_conversions([project / "raw" / "text.wav"], options))
        shown = []
        with pytest.raises(GlowSVCError):
            for values in watch_conversion(job, session, say):
                shown.append(values)
        assert shown[-1][0] == "" and status in shown[-1][3]
    session.load(OPTIONS).result()
    shown = []
    with pytest.raises(CheckpointError, match=r"broken\.pth"):
        for values in watch_loading(session.load(broken), session, say):
            shown.append(values)
    assert "progress" not in shown[-1][0] and "No voice model is loaded" in shown[-1][0]


def test_cancelling_stops_within_a_slice_and_leaves_no_file(project):
    soundfile.write("raw/long.wav", np.tile(tone(5.0), 60), RATE)
    session = Session()
    job = session.convert(OPTIONS, plan_conversions([project / "raw" / "long.wav"], OPTIONS))
    while job.share == 0:
        time.sleep(0.005)
    with pytest.raises(ConfigError, match="in use"):
        session.unload()
    job.cancel()
    with pytest.raises(Cancelled):
        job.result()
    assert 0 < job.share < 1 and not list((project / "results").iterdir())
    session.unload()


def test_a_model_is_loaded_again_only_if_it_changed(project, monkeypatch):
    session = Session()
    song = [project / "raw" / "歌 one.wav"]

    def loaded(**changes):
        options = replace(OPTIONS, **changes)
        session.convert(options, plan_conversions(song, options)).result()
        return session._converter

    first = loaded()
    assert loaded(noise_scale=0.1, trans=(3.0,), f0_predictor="dio") is first
    assert session.options == OPTIONS  # programs get the options that the model was loaded with
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
    assert session.device == devices()[-1] == "cpu"
    network = weakref.ref(session._converter.model)
    converter: weakref.ref[SongConverter] = weakref.ref(session._converter)
    session.unload()
    gc.collect()
    assert network() is None and converter() is None
    assert session.options is None and session.config is None and session.device == ""
