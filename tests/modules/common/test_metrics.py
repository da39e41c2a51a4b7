"""Everyone who computes, shows or chooses by a metric agrees with the one table."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.evaluators import EVALUATORS
from evaluation.validation import build_scorer
from modules.common.errors import ConfigError
from modules.common.metrics import BEST_BY, EVALUATION_METRICS, METRICS, SCORED, computed_in
from modules.config import TrainConfig
from training.early_stopping import BestTracker
from webui.language import in_language
from webui.texts import TEXTS
from webui.training.tab import metrics_table

ROOT = Path(__file__).parents[3]


def test_evaluators_and_the_scorer_of_validations_fill_what_the_table_says(tmp_path):
    assert {metric.evaluator for metric in EVALUATION_METRICS.values()} == EVALUATORS.keys()
    score_audio, missing = build_scorer()
    scores = score_audio(np.zeros(16000, np.float32), 16000, tmp_path / "no recording.wav")
    assert {*scores, *missing} == set(SCORED)


@pytest.mark.parametrize("name", BEST_BY)
def test_what_best_by_may_name_is_judged_shown_and_documented(tmp_path, name):
    metric = METRICS[name]
    assert TrainConfig(best_by=name, score_every=int(name in SCORED)).best_by == name
    tracker = BestTracker(tmp_path / "metrics.csv", name, 0)
    better, worse = (0.75, 0.25) if metric.better == "higher" else (0.25, 0.75)
    values = enumerate((worse, better, better, worse), 1)
    assert [tracker.update(step, {name: value}) for step, value in values] == [True, True, False, False]
    for language, label in enumerate((metric.label, metric.label_zh)):
        say = {key: both[language] for key, both in TEXTS.items()}.__getitem__
        html = metrics_table([{"step": "1", name: str(worse)}, {"step": "2", name: str(better)}], say)
        assert label in html and f"{better} (2)" in html
    assert f"`{name}`" in (ROOT / "docs/training.md").read_text(encoding="utf-8")


def test_other_metrics_do_not_choose_a_model():
    for name in METRICS.keys() - set(BEST_BY):
        with pytest.raises(ConfigError, match=f"train.best_by '{name}' is unknown; use val_loss, "):
            TrainConfig(best_by=name)


def test_the_page_shows_each_metric_once():
    row = {"step": "1", **dict.fromkeys(METRICS, "0.5")}
    html = metrics_table([row], in_language(None))
    shown = computed_in("training", "validation", "scored_validation")
    assert all((html.count(f">{m.label}<") == 1) == bool(m.better) for m in shown.values())
