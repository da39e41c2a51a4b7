"""Ranking, the report and its JSON and picture, on invented scores."""

import io
import json
import math
import re
from html.parser import HTMLParser

import matplotlib.image
import numpy as np

from evaluation.conversions import EvalScore
from evaluation.picture import draw_comparison
from evaluation.ranking import best_of, rank_models
from evaluation.report import PAGES, summary, write_report
from evaluation.results import EvalResult, Evaluation, SoundFiles
from modules.common.metrics import EVALUATION_METRICS, GROUPS

NAN = math.nan


def test_groups_have_equal_weight_equal_printed_values_tie_and_missing_ones_do_not_count():
    ranking = rank_models(
        {
            "a": {"f0_accuracy": 0.9, "f0_cents": 10, "voicing": 0.9, "similarity_target": 0.5},
            "b": {"f0_accuracy": 0.8, "f0_cents": 20, "voicing": 0.8, "similarity_target": 0.9},
        }
    )
    assert [entry.rank for entry in ranking] == [1.5, 1.5]
    assert [entry.model for entry in ranking] == ["a", "b"]  # ties keep their order
    assert ranking[0].groups == {"melody": 1.0, "voice": 2.0}
    ranking = rank_models(
        {
            "a": {"dnsmos_ovrl": 2.991, "mcd": 1.0},
            "b": {"dnsmos_ovrl": 2.994, "mcd": NAN},
            "c": {"dnsmos_ovrl": 3.10},
        }
    )
    assert [(entry.model, entry.rank) for entry in ranking] == [("c", 1.0), ("a", 2.5), ("b", 2.5)]
    assert best_of("dnsmos_ovrl", {"a": 3.001, "b": 3.002, "c": 2.0}) == {"a", "b"}
    assert best_of("mcd", {"a": 5.0, "b": 4.0, "c": NAN}) == {"b"}
    assert best_of("mcd", {"a": 5.0}) == best_of("mcd", {"a": 1.0, "b": 1.0}) == set()
    assert best_of("loudness", {"a": -20.0, "b": -10.0}) == set()
    assert rank_models({"a": {}, "b": {}})[0].rank == 1.0


def test_the_table_of_metrics_is_complete_and_documented():
    text = (PAGES.parent.parent / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for metric in EVALUATION_METRICS.values():
        assert metric.group in GROUPS and bool(metric.better) == bool(metric.group)
        assert metric.meaning.endswith(".") and metric.show(NAN) == "–"
        assert metric.label in text


PNG = b"\x89PNG not really"


def evaluation(songs=("<b>歌 1</b>.wav", "two #2.wav")) -> Evaluation:
    results = []
    for model, accuracy in (("G_8", 0.5), ("最好", 0.75)):
        for index, song in enumerate(songs):
            scores = {"f0_accuracy": EvalScore(accuracy, 0.9), "loudness": EvalScore(NAN)}
            sounds = SoundFiles(
                f"audio/{model}/{song}.flac", f"audio/source/{song}.flac", f"audio/{song}_w.flac"
            )
            results.append(EvalResult(model, song, False, 7.0, 9.5, index, scores, sounds, PNG))
        clip = SoundFiles(f"audio/{model}/held_out/c.flac", "audio/source/held_out/c.flac")
        results.append(EvalResult(model, "c.wav", True, 0.0, 3.0, 0, {"mcd": EvalScore(5.0, 2.5)}, clip))
    models = {"G_8": "logs/44k/G_8.pth", "最好": "logs/最好.pth"}
    missing = {"word_error": "give <words>"}
    return Evaluation(models, tuple(results), missing, {"voice": "花子"})


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_and_its_json_are_complete_need_no_network_and_rank_several_models(tmp_path):
    html, data_path = write_report(evaluation(), tmp_path, "ab.html")
    text = html.read_text(encoding="utf-8")
    page = Page(text)
    assert not page.open and "http" not in text and "@import" not in text
    assert "<b>" not in text and "&lt;b&gt;歌 1&lt;/b&gt;.wav" in text and "give &lt;words&gt;" in text
    assert "audio/G_8/two%20%232.wav.flac" in page.addresses and "ab.html" in page.addresses
    pictures = [address for address in page.addresses if address.startswith("data:image/png;base64,")]
    assert len(pictures) == 4 and len(page.addresses) == 4 + 2 * (2 + 2) + 3 + 2  # pages: ab, json
    ranking = text[text.index("<h2>Ranking") : text.index("<h2>Numbers")]
    assert ranking.index("最好") < ranking.index("G_8")
    assert re.search(r'class="best">0\.750</td>\s*<td>0\.500</td>\s*<td class="reference">0\.900', text)
    assert "nothing in these songs to measure it on" in text  # phones, say
    assert text.count('<meta name="viewport"') == 1
    data = json.loads(data_path.read_text(encoding="utf-8"))
    assert [model["name"] for model in data["models"]] == ["最好", "G_8"]
    means = data["models"][0]["means"]
    assert means["f0_accuracy"] == {"value": 0.75, "reference": 0.9}
    assert means["dnsmos_ovrl"] == {"value": None, "reference": None}
    assert means["mcd"] == {"value": 5.0, "reference": 2.5}
    assert data["metrics"]["word_error"]["missing"] == "give <words>"
    assert len(data["takes"]) == 6 and data["takes"][0]["scores"]["loudness"]["value"] is None
    one = evaluation(("a.wav",))
    alone = Evaluation({"G_8": "G_8.pth"}, tuple(r for r in one.results if r.model == "G_8"), {}, {})
    text = write_report(alone, tmp_path)[0].read_text(encoding="utf-8")
    assert "<h2>Ranking" not in text and "ab.html" not in text and 'class="best"' not in text


def test_the_summary_is_the_table_of_the_report_and_pairs_are_its_songs(tmp_path):
    lines = summary(evaluation())
    assert lines[0].split() == ["最好", "G_8", "reference"]
    assert next(line for line in lines if "F0 within" in line).split()[-3:] == ["0.750*", "0.500", "0.900"]
    assert any(line.endswith("give <words>") for line in lines)
    pairs = evaluation().pairs("最好", "G_8", tmp_path)
    assert list(pairs) == ["<b>歌 1</b>.wav", "two #2.wav"]
    assert pairs["two #2.wav"][1] == tmp_path / "audio/G_8/two #2.wav.flac"


def test_panels_lie_one_above_the_other_with_f0_where_it_is_voiced():
    for seconds in (0.02, 1.0):
        audio = np.sin(np.arange(int(44100 * seconds)) / 20).astype(np.float32)
        f0 = np.full(max(2, len(audio) // 512), 350.0)
        png = draw_comparison({"source": (audio, f0), "result": (audio, f0 * 0)}, 44100)
        picture = matplotlib.image.imread(io.BytesIO(png))
        assert picture.shape[:2] == (680, 1200)
        cyan = (picture[..., 0] < 0.2) & (picture[..., 1] > 0.8) & (picture[..., 2] > 0.8)
        upper, lower = cyan[:340].sum(), cyan[340:].sum()
        assert (upper > 500) == (seconds == 1.0) and not lower
