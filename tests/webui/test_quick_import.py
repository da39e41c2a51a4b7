import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_gradio_is_whole_and_inspect_as_it_was():
    code = (
        "import inspect; known = inspect.getfile\n"
        "from webui.quick_import import import_gradio; import_gradio()\n"
        "import gradio, gradio.component_meta as meta\n"
        "assert inspect.getfile is known\n"
        "assert inspect.getfile(gradio.Dropdown).endswith('dropdown.py')\n"
        "assert gradio.Dropdown.EVENTS and callable(gradio.Dropdown().change)\n"
        "print('create_or_modify_pyi' in vars(meta))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # if this fails Gradio writes no stubs any more, and webui/quick_import.py can go
    assert done.stdout.strip() == "True"
