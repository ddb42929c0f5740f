"""Run from the root of a source tree, where ``costmodel`` is imported from the folder and not as installed."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_folder_alone_can_run_the_main_job(tmp_path):
    for name in ("costmodel", "architectures", "hardware"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    # Without this package installed: the libraries of this interpreter, reached by path and not by an import hook.
    bare = tmp_path / "bare"
    venv.create(bare, with_pip=False)
    python = bare / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    code = f"import sys; sys.path += {libraries!r}; from costmodel.cli import main; main()"
    job = ["profile", "hairnet", "--hw", "paper-2012", "--top", "1"]
    done = subprocess.run([python, "-c", code, *job], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert "stem.bn+relu" in done.stdout
    listed = subprocess.run(
        [python, "-c", code, "list"], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8"
    )
    assert "hairnet" in listed.stdout
    assert "paper-2012-appendix" in listed.stdout
