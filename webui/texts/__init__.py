"""All texts of the page by key: English, Chinese."""

from webui.texts import common, convert, cover, dataset, editor, lab, live, training, weights

PARTS = (
    common.TEXTS,
    convert.TEXTS,
    editor.TEXTS,
    live.TEXTS,
    cover.TEXTS,
    dataset.TEXTS,
    training.TEXTS,
    lab.TEXTS,
    weights.TEXTS,
)
TEXTS: dict[str, tuple[str, str]] = {key: text for part in PARTS for key, text in part.items()}
