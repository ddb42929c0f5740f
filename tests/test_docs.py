"""What the documents show is what the program prints."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from command_line import process, run

import costmodel
from costmodel import hardware, zoo

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def arguments(command):
    return shlex.split(command, comments=True)[1:]


@pytest.mark.parametrize("shown", re.findall(r"```text\n\$ (.*?)```", README, re.DOTALL), ids=lambda text: text[:40])
def test_output_in_the_readme_is_real(shown):
    command, _, output = shown.partition("\n")
    printed = process(*arguments(command), env={"COLUMNS": "110"}).stdout
    position = 0
    for part in re.split(r"^\.\.\.\n", output, flags=re.MULTILINE):
        found = printed.find(part, position)
        assert found >= 0, f"not in the output, or not there in this order:\n{part}"
        position = found + len(part)


def test_readme_commands_work(tmp_path, monkeypatch):
    """The first line of each command in a process of its own, which has nothing but what that command imports."""
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    commands = [arguments(line) for line in shell.splitlines() if line.startswith("costmodel ")]
    assert len(commands) >= 12
    machine, network = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "my-machine.yaml").write_text(machine, encoding="utf-8")
    (tmp_path / "tiny.yaml").write_text(network, encoding="utf-8")
    pytest.importorskip("numba")
    from costmodel.execute import calibrate

    monkeypatch.setattr(calibrate, "caches", lambda: {2: 1 << 16})  # memory is measured on blocks that no cache holds
    monkeypatch.setattr(zoo, "names", lambda: ["hairnet", "lenet5"])  # all; tests/test_place.py places every network
    known = {"calibrate"}
    for words in commands:
        done = (run if words[0] in known else process)(*words, cwd=tmp_path)
        known.add(words[0])
        assert done.returncode == 0, (words, done.stderr)


def test_readme_machine_loads_and_runs(tmp_path):
    text, _ = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    file = tmp_path / "my-machine.yaml"
    file.write_text(text, encoding="utf-8")
    machine = costmodel.machine(str(file))
    assert costmodel.cost("hairnet", machine).overfull == ()


def test_readme_network_has_the_counts_of_its_lines(tmp_path):
    _, text = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    file = tmp_path / "tiny.yaml"
    file.write_text(text, encoding="utf-8")
    graph = costmodel.network(str(file))
    convolutions = 9 * 3 * 16 + 3 * 2 * 9 * 16 * 16
    assert graph.parameters == convolutions + 7 * 2 * 16 + 16 * 10 + 10
    assert graph.macs == 32 * 32 * convolutions + 16 * 10


def test_readme_python_runs():
    first, second = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    result = subprocess.run([sys.executable, "-c", first], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "0.12152" in result.stdout
    assert "stem.conv2D" in result.stdout
    result = subprocess.run([sys.executable, "-c", second], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert str(16 * 56 * 56 * 9 + 16 * 56 * 56 * 16) in result.stdout  # depthwise and pointwise MACs


def test_files_that_the_documents_name_exist():
    folders = r"reports|docs|costmodel|tests|hardware|architectures|benchmarks|\.ci"
    for document in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        for name in re.findall(rf"`((?:{folders})/[\w./-]*)`", text):
            assert (ROOT / name).exists(), f"{document} names {name}"


def test_reference_follows_from_the_declarations():
    result = subprocess.run(
        [sys.executable, "-c", "import generate, sys; sys.stdout.buffer.write(generate.page().encode())"],
        capture_output=True,
        cwd=ROOT / "docs",
        check=True,
    )
    assert result.stdout.decode() == (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def test_packages_hold_every_module_and_data_file():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {
        str(folder.relative_to(ROOT)).replace(os.sep, ".")
        for top in ("costmodel", "architectures", "hardware")
        for folder in [ROOT / top, *(ROOT / top).rglob("*")]
        if folder.is_dir() and any(folder.glob("*.py"))
    }
    mapped = {"architectures": "costmodel.architectures", "hardware": "costmodel.hardware_profiles"}
    assert {mapped.get(folder, folder) for folder in folders} == set(project["packages"])


def test_shipped_machines_are_named_in_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for name in hardware.profiles():
        assert f"`{name}`" in changelog
