import pytest

from tests.export.voices import ExportedVoice, export_once, fused, rich


@pytest.fixture(scope="session")
def rich_voice(tmp_path_factory) -> ExportedVoice:
    return export_once(tmp_path_factory, rich)


@pytest.fixture(scope="session")
def fused_voice(tmp_path_factory) -> ExportedVoice:
    return export_once(tmp_path_factory, fused)
