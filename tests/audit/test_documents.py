"""Files as people have them: solvers, templates, old formats, broken text; read in linear time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conformance.audit.audit import audit
from conformance.audit.document import read_document
from conformance.contract.errors import UsageError
from refimpl.prototxt import read_net
from refimpl.textformat import read_text
from tests.audit.nets import LOGITS, LOSS, PLAIN

STAGED = LOGITS + LOSS % 'include { stage: "late" }'


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("field", ["net", "train_net"])
@pytest.mark.parametrize("named", ["net.prototxt", "models/net.prototxt"])
def test_a_solver_leads_to_its_net(field: str, named: str, tmp_path: Path) -> None:
    written(tmp_path, "models/net.prototxt", PLAIN)
    solver = written(
        tmp_path, "models/solver.prototxt", f'{field}: "{named}"\niter_size: 4\nbase_lr: 0.1\nnew_field: 3\n'
    )
    found = audit(solver)
    assert (found.equation, found.document.iter_size, found.document.solver) == ("L = 1·Σ l", 4, str(solver))


@pytest.mark.parametrize("field", ["net_param", "train_net_param"])
def test_a_solver_may_hold_its_net(field: str, tmp_path: Path) -> None:
    found = audit(written(tmp_path, "solver.prototxt", f"{field} {{ {PLAIN} }}\nbase_lr: 0.1\n"))
    assert found.equation == "L = 1·Σ l"
    assert found.document.line("loss") == 5


def test_a_solvers_state_holds(tmp_path: Path) -> None:
    written(tmp_path, "net.prototxt", STAGED)
    solver = 'net: "net.prototxt"\nbase_lr: 1\n'
    assert audit(written(tmp_path, "plain.prototxt", solver)).equation == "L = 0"
    assert audit(written(tmp_path, "late.prototxt", f'{solver}train_state {{ stage: "late" }}')).equation == "L = 1·Σ l"
    assert audit(tmp_path / "net.prototxt", stages=["late"]).equation == "L = 1·Σ l"


def test_a_solvers_state_is_merged_into_the_nets(tmp_path: Path) -> None:
    rule = 'include { stage: "early" stage: "late" min_level: 2 }'
    inside = f'net_param {{ state {{ stage: "early" level: 1 }} {LOGITS + LOSS % rule} }} base_lr: 1\n'
    for state, equation in (("", "L = 0"), ('train_state { stage: "late" level: 2 }', "L = 1·Σ l")):
        assert audit(written(tmp_path, "solver.prototxt", inside + state)).equation == equation
    with_all = tmp_path / "solver.prototxt"
    assert audit(with_all, level=0).equation == "L = 0"


def test_in_phase_test_a_solver_leads_to_its_first_test_net(tmp_path: Path) -> None:
    written(tmp_path, "train.prototxt", PLAIN)
    written(tmp_path, "test.prototxt", LOGITS + LOSS % 'loss_weight: 7 include { stage: "late" }')
    named = 'test_net: "test.prototxt" train_state { stage: "no" } test_state { stage: "late" } iter_size: 4\n'
    solver = written(tmp_path, "solver.prototxt", 'train_net: "train.prototxt"\n' + named)
    assert [audit(solver, phase).equation for phase in ("TRAIN", "TEST")] == ["L = 1·Σ l", "L = 7·Σ l"]
    assert [audit(solver, phase).document.iter_size for phase in ("TRAIN", "TEST")] == [4, 1]


def test_comments_may_be_in_any_encoding(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes("# 数据层\n".encode("gbk") + PLAIN.encode())
    assert audit(path).equation == "L = 1·Σ l"


def test_a_name_stays_on_its_line(tmp_path: Path) -> None:
    assert audit(written(tmp_path, "net.prototxt", PLAIN.replace('"l"', '"a\\nb\\377"'))).equation == "L = 1·Σ a b "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("base_lr: 1\n", "is a solver that names no net"),
        ('net: "net.prototxt"\n', "which is a solver"),
        ('net: "a.prototxt" train_net: "b.prototxt"\n', "gives train_net and net: Caffe takes one"),
        ("\0\0layer", "not a text file"),
        ('net: "gone.prototxt"\n', "trains gone.prototxt, which is neither"),
        ('layer { name: "a" type: "ReLU" inner_product_param { num_output: $N } }', "line 1: a template"),
        ("{% for i in x %}\nlayer { }\n", "line 1: a template"),
        ("layers { layer { name: 'a' type: 'relu' } }", "V0 format"),
        ('layer { name: "a" type: }', "parse, line 1"),
    ],
)
def test_what_is_no_net_is_refused_in_one_line_that_says_why(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        read_document(written(tmp_path, "net.prototxt", text))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_reading_takes_work_in_proportion_to_the_fields() -> None:
    """Twice the fields are twice the calls, whatever the clock says."""
    small, large = (_calls(f'layer {{ name: "a" type: "New" {"new_param { k: 1 } " * n} }}') for n in (300, 600))
    assert large < 2.3 * small


def _calls(text: str) -> int:
    tree, count = read_text(text), 0

    def called(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(called)
    try:
        read_net(tree)
    finally:
        sys.setprofile(None)
    return count
