"""The lists of faults for mutation testing still fit the sources. `make mutants` tries them."""

import faults


def test_each_fault_applies_at_one_place():
    listed = faults.all_faults()
    assert len(listed) >= 120
    texts = faults.sources()
    found = {fault.name: [path.name for path, _, _ in faults.places(fault, texts)] for fault in listed}
    assert {name: files for name, files in found.items() if len(files) != 1} == {}


def test_each_fault_changes_something():
    for fault in faults.all_faults():
        assert fault.find.split() != fault.replace.split(), fault.name
