"""All texts of the page by key: English, Chinese."""

from webui.texts import common, convert, dataset, lab, training, weights

PARTS = (common.TEXTS, convert.TEXTS, dataset.TEXTS, lab.TEXTS, training.TEXTS, weights.TEXTS)
TEXTS: dict[str, tuple[str, str]] = {key: text for part in PARTS for key, text in part.items()}
