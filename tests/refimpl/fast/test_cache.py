"""The disk cache of `refimpl.fast` is never stale, survives damage and unwritable folders, and serves all processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import refimpl.fast
from refimpl.fast import cache

PACKAGE = Path(refimpl.fast.__file__).parent

LOSS = """
import numpy as np
from refimpl.fast.cpu import multinomial_logistic_loss as module
print(module.multinomial_logistic_loss(np.full((1, 2), {value}), np.zeros(1)))
misses = sum(module._quick.stats.cache_misses.values())
print("compiled" if misses else "loaded")
"""


def run(root: Path, caches: Path | str, *, value: float = 0.5, home: Path | None = None) -> tuple[float, str]:
    """The loss that a process of its own computes from the sources under `root`, and whether it compiled."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "XDG_"))}
    env |= {"NUMBA_CACHE_DIR": str(caches), "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    env |= {"HOME": str(home)} if home is not None else {}
    command = [sys.executable, "-c", LOSS.format(value=value)]
    done = subprocess.run(command, env=env, cwd=root, capture_output=True, text=True, check=True)
    loss, how = done.stdout.split()
    return float(loss), how


@pytest.fixture()
def sources(tmp_path: Path) -> Path:
    """A copy of the package's sources, to edit."""
    (tmp_path / "refimpl").mkdir()
    (tmp_path / "refimpl" / "__init__.py").touch()
    shutil.copy(PACKAGE.parent / "dtypes.py", tmp_path / "refimpl")
    shutil.copytree(PACKAGE, tmp_path / "refimpl" / "fast", ignore=shutil.ignore_patterns("__pycache__", "cuda"))
    return tmp_path


def entries(caches: Path) -> list[Path]:
    return [path for path in caches.glob("*/*/*") if path.is_file()]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_a_second_process_loads_what_the_first_compiled(sources: Path) -> None:
    caches = sources / "caches"
    assert run(sources, caches) == (pytest.approx(0.6931471805599453), "compiled")
    assert run(sources, caches) == (pytest.approx(0.6931471805599453), "loaded")


def test_an_edit_of_the_kernel_itself_recompiles(sources: Path) -> None:
    caches = sources / "caches"
    run(sources, caches)
    edit(sources / "refimpl/fast/cpu/multinomial_logistic_loss.py", "loss -= log(value)", "loss -= 2 * log(value)")
    assert run(sources, caches) == (pytest.approx(2 * 0.6931471805599453), "compiled")


@pytest.mark.slow
def test_an_edit_of_a_callee_in_another_file_recompiles(sources: Path) -> None:
    """Numba's own cache would return the old result here."""
    caches = sources / "caches"
    run(sources, caches)
    edit(
        sources / "refimpl/fast/scalar.py",
        "return y if x <= LARGEST_64 else x",
        "return y + 1.0 if x <= LARGEST_64 else x",
    )
    assert run(sources, caches) == (pytest.approx(0.6931471805599453 - 1), "compiled")


@pytest.mark.slow
def test_undoing_an_edit_finds_the_old_entries(sources: Path) -> None:
    caches, path = sources / "caches", sources / "refimpl/fast/cpu/multinomial_logistic_loss.py"
    run(sources, caches)
    text = path.read_text()
    path.write_text(text.replace("loss -= log(value)", "loss -= 3 * log(value)"))
    assert run(sources, caches)[1] == "compiled"
    path.write_text(text)
    assert run(sources, caches) == (pytest.approx(0.6931471805599453), "loaded")


def test_the_key_covers_settings_and_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    key = cache.source_key()
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/elsewhere")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    assert cache.source_key() == key
    monkeypatch.setenv("NUMBA_OPT", "1")
    assert cache.source_key() != key
    monkeypatch.delenv("NUMBA_OPT")
    monkeypatch.setattr(cache.numba, "__version__", "0.0")
    assert cache.source_key() != key


@pytest.mark.parametrize(
    "damage",
    [b"no newline", *(pytest.param(each, marks=pytest.mark.slow) for each in (b"", b"digest\nbut not of this"))],
)
def test_a_damaged_entry_is_compiled_again(sources: Path, damage: bytes) -> None:
    caches = sources / "caches"
    run(sources, caches)
    for entry in entries(caches):
        entry.write_bytes(damage)
    assert run(sources, caches) == (pytest.approx(0.6931471805599453), "compiled")
    assert run(sources, caches)[1] == "loaded"


@pytest.mark.slow
def test_an_unwritable_folder_gives_way_to_the_next(sources: Path) -> None:
    """A file where the folder should be is unwritable for root as well."""
    blocked, home = sources / "blocked", sources / "home"
    blocked.touch()
    home.mkdir()
    assert run(sources, blocked, home=home)[1] == "compiled"
    assert run(sources, blocked, home=home)[1] == "loaded"
    assert entries(home / ".cache")


@pytest.mark.slow
def test_with_nowhere_to_write_it_still_works(sources: Path) -> None:
    blocked = sources / "blocked"
    blocked.touch()
    (sources / "refimpl/fast/__pycache__").touch()
    for _ in range(2):
        assert run(sources, blocked, home=blocked) == (pytest.approx(0.6931471805599453), "compiled")


@pytest.mark.slow
def test_processes_that_compile_at_once_do_not_harm_each_other(sources: Path) -> None:
    caches = sources / "caches"
    env = {**os.environ, "NUMBA_CACHE_DIR": str(caches), "PYTHONPATH": str(sources)}
    commands = [[sys.executable, "-c", LOSS.format(value=f"0.5, np.{kind}")] for kind in ("float32", "float64") * 2]
    running = [subprocess.Popen(c, env=env, cwd=sources, stdout=subprocess.PIPE, text=True) for c in commands]
    assert [float(p.communicate()[0].split()[0]) for p in running] == [pytest.approx(0.6931471805599453)] * 4
    for command in commands[:2]:
        out = subprocess.run(command, env=env, cwd=sources, capture_output=True, text=True, check=True).stdout
        assert out.split()[1] == "loaded"
    assert all(not entry.name.startswith(".") for entry in entries(caches))


def test_folders_of_long_gone_sources_are_dropped(tmp_path: Path) -> None:
    old, young = tmp_path / "old", tmp_path / "young"
    for folder in (old, young):
        folder.mkdir()
        (folder / "entry").touch()
    os.utime(old, (0, 0))
    cache._forget_old(tmp_path)
    assert not old.exists() and young.exists()


@pytest.mark.slow
def test_an_entry_is_forgotten_on_request(sources: Path) -> None:
    caches = sources / "caches"
    run(sources, caches)
    code = """
from refimpl.fast.cpu.multinomial_logistic_loss import _quick
_quick._cache.flush()
print(_quick._cache.cache_path)
"""
    env = {**os.environ, "NUMBA_CACHE_DIR": str(caches), "PYTHONPATH": str(sources)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=sources, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).parent.parent == caches
    assert run(sources, caches)[1] == "compiled"


LAZY = """
import sys
import {module}
assert "numba" not in sys.modules, "numba was imported"
"""


@pytest.mark.parametrize("module", ["refimpl", "refimpl.fast"])
def test_importing_the_package_does_not_import_numba(module: str) -> None:
    subprocess.run([sys.executable, "-c", LAZY.format(module=module)], check=True)


def test_a_process_whose_sources_were_edited_keeps_nothing(sources: Path) -> None:
    """Its code is the old sources', the cache folder's name would be the new ones'."""
    caches = sources / "caches"
    code = """
import pathlib
import numpy as np
from refimpl.fast.cpu import multinomial_logistic_loss as module
path = pathlib.Path(module.__file__)
path.write_text(path.read_text() + "\\n")
print(module.multinomial_logistic_loss(np.full((1, 2), 0.5), np.zeros(1)))
"""
    env = {**os.environ, "NUMBA_CACHE_DIR": str(caches), "PYTHONPATH": str(sources)}
    subprocess.run([sys.executable, "-c", code], env=env, cwd=sources, capture_output=True, check=True)
    assert not entries(caches)


def test_nothing_is_run_from_a_folder_that_others_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    root = tmp_path / "chosen" / "caffe-loss-conformance"
    root.mkdir(parents=True)
    root.chmod(0o777)
    assert cache.cache_root() == root
    assert root.stat().st_mode & 0o022 == 0  # the user's own is shut to others
    somebody = os.geteuid() + 1
    real = Path.stat

    def of_somebody(path: Path, **options: bool) -> os.stat_result:
        info = real(path, **options)
        mine = str(path).startswith(str(tmp_path / "chosen"))
        return os.stat_result([*info[:4], somebody, *info[5:]]) if mine else info

    monkeypatch.setattr(Path, "stat", of_somebody)
    assert cache.cache_root() == tmp_path / "home" / "caffe-loss-conformance"


@pytest.mark.parametrize("change", ["owner", "mode"])
def test_no_entry_is_run_that_somebody_else_may_have_written(sources: Path, change: str) -> None:
    caches = sources / "caches"
    run(sources, caches)
    for entry in entries(caches):
        if change == "mode":
            entry.chmod(0o666)
        elif os.geteuid() == 0:
            os.chown(entry, 12345, 12345)
        else:
            pytest.skip("only root gives files away")
    assert run(sources, caches)[1] == "compiled"
