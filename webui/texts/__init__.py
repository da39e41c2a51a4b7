"""All texts of the page by key: English, Chinese."""

from webui.texts import app, convert, dataset, jobs, lab, pictures, training

PARTS = (app.TEXTS, convert.TEXTS, dataset.TEXTS, jobs.TEXTS, lab.TEXTS, pictures.TEXTS, training.TEXTS)
TEXTS: dict[str, tuple[str, str]] = {key: text for part in PARTS for key, text in part.items()}
