"""The notebook runs from top to bottom, with what needs no download."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parent.parent / "Glow-SVC4_for_colab.ipynb"


@pytest.mark.slow
def test_every_cell_runs(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="needs nbclient and ipykernel: requirements-dev.txt")
    client = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel: requirements-dev.txt")
    monkeypatch.setenv("GLOW_SVC_CODE", str(NOTEBOOK.parent))
    monkeypatch.setenv("GLOW_SVC_MINUTES", "0.15")
    monkeypatch.setenv("GLOW_SVC_SECONDS", "30")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    # every cell may be run again; those that train would only go on
    notebook.cells = [cell for cell in notebook.cells for _ in range(2 - ("max_minutes" in cell.source))]
    for place in ("raw", "dataset_raw"):  # what notebooks leave
        (tmp_path / "work" / place / ".ipynb_checkpoints").mkdir(parents=True)
        (tmp_path / "work" / place / "notes.txt").write_text("la la la")
    client.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    results = sorted(path.name for path in (tmp_path / "work/results").iterdir())
    assert results == ["song_0key_sofia_glow_swift-f0.wav", "song_0key_sofia_glowdiff_swift-f0.wav"]


def test_it_is_kept_without_results():
    """Outputs and counters of somebody's run have no place in the repository."""
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert '"output_type"' not in text and '"execution_count": 1' not in text
