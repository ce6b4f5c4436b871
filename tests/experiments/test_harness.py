"""What all experiments share: the cache, tables, texts, claims, progress, and the page."""

import base64
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import report
from fastmlp import Trainer, studies
from harness import page
from harness.digits import STAND_IN_NOTICE
from harness.jobs import Cache, Job
from harness.nets import train
from harness.progress import Progress
from harness.run import Run, Sizes
from harness.section import CONTRADICTED, IN_PART, REPRODUCED, TOO_SHORT, Claim, Comparison, all_or_some, claims
from harness.tables import Table, committed_tables
from harness.text import ShownTable, block, fill
from learning import batch_size
from speed.process import Process

# Jobs


def jobs_that_count(calls, names):
    def measure(name):
        calls.append(name)
        return {"value": len(name), "unknown": float("nan"), "third": 1 / 3}

    return [Job({"name": name}, lambda name=name: measure(name), lambda result: {}) for name in names]


def test_a_finished_configuration_is_not_measured_again(tmp_path):
    calls, shares = [], []
    first = Cache(tmp_path).complete(jobs_that_count(calls, ["one", "two", "one"]), shares.append)
    assert calls == ["one", "two"] and first[0] == first[2] and shares == [1 / 3, 2 / 3, 1]
    assert first[0]["result"] == {"value": 3, "unknown": None, "third": 0.3333333}
    assert Cache(tmp_path).complete(jobs_that_count(calls, ["three", "two"]))[1] == first[1]
    assert calls == ["one", "two", "three"]
    Cache(tmp_path, fresh=True).complete(jobs_that_count(calls, ["two", "two"]))
    assert calls[3:] == ["two"]
    assert len(Cache(tmp_path).path.read_text().splitlines()) == 3  # --fresh replaces, and keeps the others


def test_an_interruption_keeps_what_was_finished(tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    calls = []
    with pytest.raises(KeyboardInterrupt):
        Cache(tmp_path).complete([*jobs_that_count(calls, ["one"]), Job({"name": "bad"}, interrupted, dict)])
    Cache(tmp_path).complete(jobs_that_count(calls, ["one", "bad"]))
    assert calls == ["one", "bad"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [lines[0], lines[1][:-20]],
        lambda lines: [lines[0], b"", b"{}", b"[1]", b"\0\xff", lines[1].replace(b"two", b"owt")],
        lambda lines: [lines[0], lines[1].replace(b'"result"', b'"results"')],
    ],
)
@pytest.mark.parametrize("fresh", [False, True])
def test_damaged_results_are_measured_again(tmp_path, damage, fresh):
    calls = []
    before = Cache(tmp_path).complete(jobs_that_count(calls, ["one", "two"]))
    path = Cache(tmp_path).path
    path.write_bytes(b"\n".join(damage(path.read_bytes().splitlines())))
    assert Cache(tmp_path, fresh).complete(jobs_that_count(calls, ["one", "two"])) == before
    assert calls[2:] == (["one", "two"] if fresh else ["two"])
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


def test_a_second_report_trains_nothing_and_writes_the_same_figures(smoke, monkeypatch, without_mnist):
    def refuse(*args, **settings):
        raise AssertionError("trained again")

    folder, _ = smoke
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.suffix in (".jsonl", ".csv", ".svg")}
    for owner, name in ((Trainer, "fit"), (studies, "compare"), (Process, "call")):
        monkeypatch.setattr(owner, name, refuse)
    with np.errstate(all="warn"):
        report.main(["--preset", "smoke", "--output", str(folder)])
    assert len([path for path in before if path.parent.name == "batch_size"]) == 1 + 4 + 8
    assert {path: path.read_bytes() for path in before} == before


def test_equal_seeds_give_equal_results(smoke, tmp_path, without_mnist):
    made = Run("smoke", tmp_path).tables(batch_size)
    earlier = smoke[0] / "results" / "batch_size"
    for name in ("curves", "learning_rates"):
        columns = set(made[name].columns) - {"seconds"}
        before = Table.read(earlier / f"{name}.csv")
        assert len(made[name]) and set(before.columns) - {"seconds"} == columns
        for column in columns:
            np.testing.assert_array_equal(made[name][column], before[column])
    record = json.loads((earlier / "results.jsonl").read_text().splitlines()[0])
    assert record["configuration"]["data"] == "make_digits" and record["configuration"]["seed"] == 0
    assert {"fastmlp", "numpy", "processor", "threads", "instruction_set"} <= set(record["environment"])


def test_nets_fill_their_tables():
    rng = np.random.default_rng(0)
    pair = (rng.integers(0, 256, (60, 4), np.uint8), rng.integers(0, 2, 60))
    split = SimpleNamespace(name="", X=pair[0], y=pair[1], evaluation_sets={"val": pair})
    digits = SimpleNamespace(name="", x_train=pair[0], x_test=pair[0])
    settings = {"layer_sizes": (4, 8, 8, 2), "batch_size": 25}
    nets = [({"rate": rate}, {**settings, "learning_rate": rate}) for rate in (0.1, 1e38)]
    final, curves = ("ends", "parameters", "train_accuracy", "val_loss"), ("curves", "updates", "val_accuracy")
    job = train(digits, split, nets, 12, 3, final=final, curves=curves, thin_after=3)
    with np.errstate(all="ignore"):
        rows = job.rows(job.measure())
    ends = Table.of(rows["ends"])
    assert ends["parameters"][0] == 130 and ends["seed"].tolist() == [3, 3]
    assert 0 < ends["train_accuracy"][0] <= 1 and np.isnan(ends["val_loss"][1]), "the second net diverges"
    curve = Table.of(rows["curves"]).where(rate=0.1)
    assert curve["epoch"].tolist() == [1, 2, 3, 5, 10, 12] and curve["updates"].tolist() == [3, 6, 9, 15, 30, 36]


# Tables and texts


def test_tables_are_read_as_they_were_written(tmp_path):
    rows = [{"hidden": "128", "n": 1, "x": 0.5, "y": None}, {"hidden": "254-190", "n": 2, "x": np.nan, "y": 2}]
    Table.of(rows).write(tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "hidden,n,x,y\n128,1,0.5,\n254-190,2,,2.0\n"
    table = Table.read(tmp_path / "t.csv")
    assert [column.dtype.kind for column in table.columns.values()] == ["U", "i", "f", "f"]
    assert Table.of(rows[:1])["hidden"].tolist() == ["128"], "the name of a net, not a number"
    assert table.where(hidden=128)["n"].tolist() == [1] and table.distinct("hidden", "n") == [
        ("128", 1),
        ("254-190", 2),
    ]
    assert table.row(n=2)["hidden"] == "254-190" and list(table.groups("n")) == [1, 2]
    with pytest.raises(ValueError, match="must have one row with {'n': 3}, got 0"):
        table.row(n=3)


def test_a_text_is_filled():
    values = np.array([0.5, 0.25])
    assert (
        fill("{x:mean .1%} of {x:first} and {n[3]:duration}: 5%", {"x": values, "n": {3: 0.002}})
        == "37.5 % of 0.5 and 2.0 ms: 5 %"
    )
    table = Table.of([{"net": net, "seed": s, "x": x} for net, s, x in (("a", 0, 0.1), ("a", 1, 0.3), ("b", 0, 0.5))])
    lines = "| net | x |\n|---|---|\n| {net} | {x:mean .0%} |"
    shown = block(f"[t by net] Of {{n}}\n{lines}", {"n": 2}, {"t": table})
    assert shown == ShownTable("Of 2", ["net", "x"], [["a", "20 %"], ["b", "50 %"]])
    assert block(f"[t by net; net=b] \n{lines}", {}, {"t": table}).rows == [["b", "50 %"]]


def test_sizes_have_a_value_for_every_preset():
    sizes = Sizes(seconds=(1, 2, 3), epochs=(4, 5, 6))
    assert [sizes[preset].epochs for preset in ("smoke", "quick", "full")] == [4, 5, 6] and sizes["quick"].seconds == 2


# Claims


def test_a_smaller_run_cannot_contradict_the_full_one():
    def shown(full, here, conclusive):
        return Comparison(Claim("", full, ""), Claim("", here, ""), conclusive).here_verdict

    assert shown(True, True, False) == shown(True, True, True) == REPRODUCED
    assert shown(True, False, False) == shown(True, None, False) == shown(True, None, True) == TOO_SHORT
    assert shown(True, False, True) == CONTRADICTED
    assert [all_or_some(parts) for parts in ([True, True], [True, False], [False])] == [True, IN_PART, False]


@pytest.mark.parametrize("name", report.EXPERIMENTS)
def test_the_full_run_decides_every_claim(name):
    experiment = report.experiments()[name.rpartition(".")[2]]
    full = committed_tables(experiment)
    found = claims(experiment, full)
    assert all(claim.verdict != TOO_SHORT and claim.finding for claim in found)
    assert len(found) == (len(experiment.holds(full)) if found else 0), "each has a statement in the text"


def test_no_row_of_a_smoke_page_contradicts_the_full_run(smoke):
    compared = [each for made in smoke[1].values() for each in made.comparisons]
    assert len(compared) > 45
    assert all(each.here_verdict in (each.full.verdict, TOO_SHORT) for each in compared)


# Progress


def test_progress_on_a_terminal_is_one_line():
    stream = io.StringIO()
    stream.isatty = lambda: True
    progress = Progress({"first": 1, "second": 3}, stream)
    for name in ("first", "second"):
        progress.begin(name)
        progress.update(0.5)
        progress.end()
    text = stream.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n") and text.count("\r") == 6
    shares = [int(share) for share in re.findall(r"(\d+)%", text)]
    assert shares == [0, 12, 25, 25, 62, 100]
    assert progress.line(0.25, 30.0) == f"[{'#' * 8}{'.' * 22}]  25%  second, 1 min 30 s left"


def test_progress_elsewhere_is_one_line_per_section():
    stream = io.StringIO()
    progress = Progress({"first": 1, "second": 3}, stream)
    for name in ("first", "second"):
        progress.begin(name)
        progress.update(0.5)
        progress.end()
    assert stream.getvalue() == "first: 0 s\nsecond: 0 s\n"


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
    folder, _ = smoke
    text = (folder / "index.html").read_text(encoding="utf-8")
    links = Links(text)
    assert len(links.images) >= 20
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
            assert (folder / address).is_file(), address


def test_the_page_begins_with_five_findings_and_two_figures(smoke):
    text = (smoke[0] / "index.html").read_text(encoding="utf-8")
    header = text[text.index("<header>") : text.index("</header>")]
    assert header.count("<li>") == 5 and header.count("<img") == 2 and "93.8&nbsp;%" in header
    assert text.index("</nav>") < text.index("<header>") < text.index('id="claims"') < text.index('id="batch_size"')
    assert text.count("Environment of the results") == text.count("Configuration, preset smoke") == 1
    assert text.index('id="machines"') < text.index("Environment of the results")


def test_the_page_says_that_the_data_are_a_stand_in(smoke):
    text = (smoke[0] / "index.html").read_text(encoding="utf-8")
    assert STAND_IN_NOTICE.partition(",")[0] in text
    assert "2000 training and 500 test images" in text and "test images of make_digits" in text
    assert str(smoke[0]) not in text


def test_every_figure_of_a_text_is_drawn_and_every_drawing_is_shown(smoke):
    for made in smoke[1].values():
        shown = [each.name for part in made.parts for each in part.blocks if hasattr(each, "alt")]
        assert sorted(shown) == sorted(made.images) and all(path.exists() for path in made.images.values())
        assert made.answer and made.configuration and made.parts or made.notices


def test_pictures_are_small(smoke):
    pictures = [path for path in (smoke[0] / "results").rglob("*") if path.suffix in (".svg", ".png")]
    assert len(pictures) > 30
    for path in pictures:
        assert path.stat().st_size < 200_000, path


def test_the_width_of_a_figure_is_read_from_its_file(smoke):
    image = smoke[1]["batch_size"].images["two_rules"]
    assert page._points(image.read_bytes()) == pytest.approx(
        page._points(image.with_suffix(".png").read_bytes()), rel=0.01
    )


def test_the_report_runs_from_any_directory(tmp_path):
    def run(*arguments):
        command = [sys.executable, report.__file__, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    shown = run("--help").stdout
    assert "--preset {smoke,quick,full}" in shown and "--fresh" in shown and "larger_than_memory" in shown
    assert "unknown experiment 'regresion'; the experiments are batch_size" in run("regresion").stderr
    assert run("--preset", "smoke", "regression", "regression").stdout == "report/regression.html\n"
    page = (tmp_path / "report" / "regression.html").read_text("utf-8")
    assert "The report" in page and 'id="batch_size"' not in page
