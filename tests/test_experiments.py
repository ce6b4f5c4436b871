"""The experiments: resuming, equal results for equal seeds, sentences that follow the data, and the page."""

import base64
import csv
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
sys.path.append(str(EXPERIMENTS))  # scripts, not a package

import batch_size_claims as claims
import batch_size_costs as costs
import batch_size_findings as findings
import batch_size_measurements as measurements
import report
import rivals
import section
from batch_size_tables import write_tables
from campaign import Campaign
from curves import Curves
from digits import STAND_IN_NOTICE, Digits
from fastmlp import DataFileError, Trainer, datasets
from results import Job, Results
from worker import Worker

SIZES = (128, 1024, 60000)
ROWS = 60000


def no_mnist(*args, **settings):
    raise DataFileError("no MNIST in this test")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The folder of a smoke report without MNIST."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load_mnist", no_mnist)
        patch.setattr(rivals, "installed", lambda: ["fastmlp", "NumPy"])
        path = report.main(["--preset", "smoke", "--output", str(folder)])
    assert path == folder / "index.html"
    return folder


# Results


def jobs_that_count(calls, names):
    def measure(name):
        calls.append(name)
        return {"value": len(name)}, {"seconds": 0.1}

    return [Job(name, {"name": name}, lambda name=name: measure(name)) for name in names]


def test_a_finished_configuration_is_not_measured_again(tmp_path):
    calls = []
    first = Results(tmp_path).complete(jobs_that_count(calls, ["one", "two", "one"]), print)
    assert calls == ["one", "two"] and first[0] == first[2]
    again = Results(tmp_path)
    assert again.complete(jobs_that_count(calls, ["three", "two"]), print)[1] == first[1]
    assert calls == ["one", "two", "three"] and again.computed == 1
    Results(tmp_path, fresh=True).complete(jobs_that_count(calls, ["two", "two"]), print)
    assert calls[3:] == ["two"]
    assert len(Results(tmp_path).path.read_text().splitlines()) == 3  # --fresh replaces, and keeps the others


def test_an_interruption_keeps_what_was_finished(tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    calls = []
    with pytest.raises(KeyboardInterrupt):
        Results(tmp_path).complete([*jobs_that_count(calls, ["one"]), Job("", {"name": "bad"}, interrupted)], print)
    Results(tmp_path).complete(jobs_that_count(calls, ["one", "bad"]), print)
    assert calls == ["one", "bad"]


def test_a_second_report_trains_nothing_and_writes_the_same_figures(smoke, monkeypatch):
    def refuse(*args, **settings):
        raise AssertionError("trained again")

    before = {path: path.read_bytes() for path in smoke.rglob("*") if path.suffix in (".jsonl", ".csv", ".svg")}
    monkeypatch.setattr(datasets, "load_mnist", no_mnist)
    monkeypatch.setattr(rivals, "installed", lambda: ["fastmlp", "NumPy"])
    monkeypatch.setattr(Trainer, "fit", refuse)
    monkeypatch.setattr(Worker, "ask", refuse)
    report.main(["--preset", "smoke", "--output", str(smoke)])
    assert len([path for path in before if path.parent.name == "batch_size"]) == 12
    assert {path: path.read_bytes() for path in before} == before


def test_equal_seeds_give_equal_results(smoke, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "load_mnist", no_mnist)
    results = Campaign("smoke", tmp_path).results("batch_size")
    measured = measurements.measure(Campaign("smoke", tmp_path), results)
    tables = write_tables(measured, results)
    earlier = smoke / "results" / "batch_size"

    def outcomes(path):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        return [{name: value for name, value in record.items() if name != "measured"} for record in records]

    def untimed(path):
        rows = csv.DictReader(path.read_text().splitlines())
        return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]

    assert outcomes(results.path) == outcomes(earlier / results.path.name)
    assert untimed(tables["curves"]) == untimed(earlier / "curves.csv")
    assert tables["rates"].read_bytes() == (earlier / "learning_rates.csv").read_bytes()
    record = outcomes(results.path)[0]
    assert record["configuration"]["data"] == "make_digits" and record["configuration"]["seed"] == 0
    assert {"fastmlp", "numpy", "processor", "threads", "instruction_set"} <= set(record["environment"])


# Sentences and verdicts


def falling(rate, updates, epochs=200, seeds=3, floor=0.1):
    """Curves that fall to a floor; the seeds differ by a hundredth."""
    epoch = np.arange(1, epochs + 1)
    loss = floor + 2.2 * np.exp(-rate * epoch) + 0.001 * np.arange(seeds)[:, None]
    accuracy = 1 - loss / 2.5
    return Curves(loss, accuracy, loss, accuracy, np.broadcast_to(0.1 * epoch, loss.shape), updates)


def fabricated(one_update=None, mini_batch=None, seconds=(0.1, 0.1, 0.1), peaks=None, is_mnist=True):
    images = np.zeros((1, 784), np.uint8)
    one_update = one_update or {size: falling(0.1, 1) for size in SIZES}
    mini_batch = mini_batch or {size: falling(rate, -(-ROWS // size)) for size, rate in zip(SIZES, (2.0, 0.5, 0.1))}
    return measurements.Measurements(
        measurements.PLANS["full"],
        Digits("MNIST" if is_mnist else "make_digits", "", images, images, images, images),
        one_update,
        mini_batch,
        [],
        {1: {size: value * np.array([0.99, 1, 1.01]) for size, value in zip(SIZES, seconds)}},
        peaks or {"fastmlp": {128: 10**6, 60000: 2 * 10**6}, "numpy": {128: 2 * 10**6, 60000: 3 * 10**8}},
    )


def verdicts(measured):
    return [claim.verdict for claim in claims.claims(measured)]


def test_the_expected_findings_get_the_expected_verdicts():
    measured = fabricated()
    assert verdicts(measured) == [
        section.EXPLAINED,
        section.REPRODUCED,
        section.IN_PART,
        section.EXPLAINED,
        section.REPRODUCED,
        section.EXPLAINED,
    ]
    assert "changes nothing" in claims.summary(measured)
    assert "They are one curve" in findings.one_update(measured.one_update)[0]
    assert "The smaller the batch, the faster" in findings.mini_batch(measured.mini_batch)[0]


def test_differences_of_curves_are_bounded_from_above():
    close = {size: falling(0.1, 1, floor=0.1 + 0.00121 * i) for i, size in enumerate(SIZES)}
    assert "differ by at most 0.0025 in any" in findings.one_update(close)[0]
    assert "differ by at most 0.0025 in loss" in claims._convergence(fabricated(one_update=close)).finding
    spread = falling(0.1, 1)  # of 0, 0.001 and 0.002
    spread.val_loss[1] += 0.00112
    assert "from seed to seed they differ by up to 0.0022" in findings.one_update({128: spread, 1024: spread})[0]


def test_the_verdict_on_convergence_follows_the_curves():
    different = {size: falling(rate, 1) for size, rate in zip(SIZES, (0.1, 0.2, 0.3))}
    alike = {size: falling(0.1, -(-ROWS // size)) for size in SIZES}
    assert verdicts(fabricated(one_update=different))[0] == section.CONTRADICTED
    assert verdicts(fabricated(mini_batch=alike))[0] == section.REPRODUCED
    assert "more than rounding" in findings.one_update(different)[0]
    assert "not in the order of their size" in findings.mini_batch(alike)[0]
    assert "changes the curves" in claims.summary(fabricated(one_update=different))


def test_the_verdicts_on_shape_and_level_follow_the_curves():
    def straight(last):
        loss = np.linspace(2.3, last, 200)[None]
        return {size: Curves(loss, 1 - loss / 3.25, loss, loss, loss, 1) for size in SIZES}

    assert verdicts(fabricated(one_update=straight(0.33)))[1:3] == [section.CONTRADICTED, section.REPRODUCED]
    assert verdicts(fabricated(one_update=straight(1.0)))[2] == section.CONTRADICTED
    short = {size: falling(0.1, 1, epochs=30, floor=0.5) for size in SIZES}
    assert verdicts(fabricated(one_update=short))[1] == section.UNTESTED
    assert verdicts(fabricated(is_mnist=False))[2] == section.UNTESTED


def test_the_verdicts_on_time_and_memory_follow_the_measurements():
    assert verdicts(fabricated(seconds=(0.3, 0.2, 0.1)))[4] == section.CONTRADICTED
    assert verdicts(fabricated(seconds=(0.1, 0.2, 0.3)))[3] == section.REPRODUCED  # a small batch's rows are cheaper
    noisy = fabricated(seconds=(0.3, 0.2, 0.1))
    noisy.epoch_seconds[1][60000] = np.array([0.1, 0.1, 0.5])
    assert verdicts(noisy)[4] == section.UNTESTED
    assert "differ" in costs.epoch_times(noisy)[0]
    growing = {"fastmlp": {128: 10**6, 60000: 4 * 10**8}, "numpy": {128: 10**6, 60000: 4 * 10**8}}
    assert verdicts(fabricated(peaks=growing))[5] == section.REPRODUCED
    assert costs.memory(growing)[0].count("it depends on the batch size") == 1
    unknown = {"fastmlp": {128: None}, "numpy": {128: None}}
    assert verdicts(fabricated(peaks=unknown))[5] == section.UNTESTED


def test_updates_explain_only_curves_that_meet():
    def power_law(updates_per_epoch, factor=1.0):
        updates = updates_per_epoch * np.arange(1, 41)
        loss = factor * 3.0 * updates[None] ** -0.3
        return Curves(loss, loss, loss, loss, loss, updates_per_epoch)

    assert "updates explains the difference" in findings.updates({128: power_law(469), 1024: power_law(59)})[0]
    assert "alone does not explain" in findings.updates({128: power_law(469), 1024: power_law(59, 1.5)})[0]
    assert "no number of updates in common" in findings.updates({1024: power_law(59), 60000: power_law(1)})[0]


def test_the_limit_of_scaling_is_found_where_it_is():
    sizes = (32, 64, 128, 256, 512)

    def line(*losses, scaled=True):
        return measurements.RateLine(0.1, scaled, sizes, np.array(losses)[:, None])

    assert findings.limits_of_scaling(line(0.2, 0.1, 0.1, 0.11, 9.0)) == (64, 256, 512)
    assert findings.limits_of_scaling(line(0.1, 0.1, 0.1, 0.1, 0.1)) == (32, 512, None)
    assert findings.limits_of_scaling(line(0.1, 0.1, 0.1, np.inf, 0.1)) == (32, 128, 256)
    assert "does not break down" in findings.learning_rates([line(0.1, 0.1, 0.1, 0.1, 0.1)], 5)[0]
    broken = findings.learning_rates([line(0.1, 0.1, 0.1, np.inf, np.inf)] * 2, 5)
    assert "no longer finite" in broken[0] and "same learning rate, 0.2" in broken[2]


# The page


class Links(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.images, self.addresses, self.ids, self.tags = [], [], set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.add(tag)
        self.ids.add(found.get("id"))
        if tag == "img":
            self.images.append(found)
        if tag == "a":
            self.addresses.append(found["href"])


def test_the_page_stands_alone(smoke):
    text = (smoke / "index.html").read_text(encoding="utf-8")
    links = Links(text)
    assert len(links.images) >= 7
    assert not links.tags & {"script", "link", "iframe", "object", "embed"}
    assert not re.search(r"@import|url\(", text)
    for image in links.images:
        assert len(image["alt"]) > 40
        kind, _, content = image["src"].partition(",")
        assert kind in ("data:image/svg+xml;base64", "data:image/png;base64")
        if "png" in kind:
            continue
        references = re.findall(rb'href="([^"]*)"|url\(([^)]*)\)', base64.b64decode(content))
        assert all((one or other).startswith(b"#") for one, other in references)
    for address in links.addresses:
        if address.startswith("#"):
            assert address[1:] in links.ids
        else:
            assert (smoke / address).is_file(), address


def test_the_page_says_that_the_data_are_a_stand_in(smoke):
    text = (smoke / "index.html").read_text(encoding="utf-8")
    assert STAND_IN_NOTICE.partition(",")[0] in text
    assert "make_digits, 2000 training and 500 test images" in text
    assert str(smoke) not in text


def test_pictures_are_small(smoke):
    pictures = [path for path in (smoke / "results").rglob("*") if path.suffix in (".svg", ".png")]
    assert len(pictures) > 10
    for path in pictures:
        assert path.stat().st_size < 200_000, path


@pytest.mark.parametrize("script", ["report.py", "batch_size.py", "speed_vs_rivals.py", "multicore.py"])
def test_scripts_run_from_any_directory(script, tmp_path):
    shown = subprocess.run(
        [sys.executable, EXPERIMENTS / script, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert "--preset {smoke,quick,full}" in shown and "--fresh" in shown
