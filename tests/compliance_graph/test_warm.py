"""Nobody waits for a compiler: after the warm-up every compiled loop of a screening is there.

Compiled code is shared within a process, so that the question is asked in a process of its own.
"""

import subprocess
import sys
from pathlib import Path

from numba.core.dispatcher import Dispatcher

import compliance_graph
from compliance_graph.addressbook import AddressBook
from compliance_graph.exposure import Exposures
from compliance_graph.graph import GrowingGraph, Transfers
from compliance_graph.judge import ShippedModel
from compliance_graph.kernels import code_version, thinned
from compliance_graph.labels import Labels
from compliance_graph.policy import load_policy
from compliance_graph.rules import View, evaluate
from compliance_graph.warm import made_up, warm_rules
from tests.compliance_graph.made import random_graph


def test_the_first_screening_and_the_first_explanation_compile_nothing():
    """Else an event loop stands still for half a minute on the first day of an installation."""
    done = subprocess.run([sys.executable, "-m", __name__], capture_output=True, text=True)
    assert (done.stdout.split(), done.returncode) == (["asked", "nothing"], 0), done.stderr


def test_no_compiled_code_outlives_a_change_of_what_was_compiled_into_it(tmp_path: Path):
    """Wherever in the package that is: each state of the package has a folder of its own."""
    inner, outer = tmp_path / "inner.py", tmp_path / "rules" / "outer.py"
    outer.parent.mkdir()
    outer.write_text("from inner import f")
    versions = set()
    for text in ("f = 1", "f = 2", ""):
        inner.write_text(text)
        versions.add(code_version(tmp_path))
    inner.rename(outer.parent / "inner.py")
    assert len(versions | {code_version(tmp_path)}) == 4
    here = code_version(Path(compliance_graph.__file__).parent)
    assert f"compiled-{here}" in thinned.stats.cache_path


def compiled() -> set[tuple[str, str]]:
    """The functions that are compiled by now, one by one for each kind of arguments."""
    found = set()
    for name, module in list(sys.modules.items()):
        if name.startswith("compliance_graph"):
            for function in vars(module).values():
                if isinstance(function, Dispatcher):
                    found |= {(function.__qualname__, str(s)) for s in function.signatures}
    return found


def ask_many() -> None:
    """Accounts of all kinds, with and without what came after the snapshot."""
    policy, model = load_policy(), ShippedModel()
    graph = GrowingGraph(random_graph(30, 900))
    book = AddressBook.of([f"0x{node:040x}" for node in range(30)])
    labels = Labels({book.name(node): node for node in range(1, 6)}, {})
    for worth in (3.0, 5000.0):
        exposures = Exposures(graph, book, labels, policy.hops, len(policy.categories))
        judge = model.over(graph)
        for node in range(30):
            evaluate(View(graph, exposures, book, policy), node)
            judge.answer(node)
            judge.explained(node)
        graph.append(Transfers.of([(0, 30, worth, 1, 1_600_000_000)]))
        book.extend([f"0x{30:040x}"] if len(book) == 30 else [])


if __name__ == "__main__":
    warm_rules(load_policy())
    ShippedModel().over(made_up())
    before = compiled()
    ask_many()
    print("asked", *(sorted(compiled() - before) or ["nothing"]))
