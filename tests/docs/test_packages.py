"""The picture of the packages is that of the code, and shows all of them."""

from __future__ import annotations

from docs.packages import PAGE, ROOT, drawn, layers


def test_the_picture_is_up_to_date() -> None:
    assert drawn() in PAGE.read_text("utf-8"), "python -m docs.packages draws it anew"


def test_every_package_has_its_place() -> None:
    packages = {f"conformance.{path.parent.name}" for path in (ROOT / "conformance").glob("*/__init__.py")}
    assert packages | {"refimpl"} == set(layers())


def test_the_root_holds_packages_and_the_public_face_alone() -> None:
    files = {path.name for path in (ROOT / "conformance").iterdir() if path.is_file()}
    assert files == {"__init__.py", "__main__.py", "py.typed", "testing.py"}
