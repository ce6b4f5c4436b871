"""Tables of README.md and docs/ that put libraries side by side, from made-up results."""

import pytest
from harness import tables, text_numbers, text_tables

SPEED = "net,batch,rows,optimizer,data,library,ms_per_epoch,times_fastmlp"
FOOTPRINT = (
    "library,version,disk_mb,import_seconds,memory_mb",
    "fastmlp,0.1.0,62,0.22,21",
    "scikit-learn,1.9,206,1.6,135",
    "PyTorch,2.13.0,741,1.77,209",
    "JAX,0.10.2,544,0.73,156",
)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Five libraries that take 1, 2, 3, 4 and 5 times as long as fastmlp."""

    def write(name, *rows):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("".join(f"{row}\n" for row in rows), "utf-8")

    names = ("fastmlp", "scikit-learn", "PyTorch", "JAX", "NumPy")
    epochs = [
        f"{net},{batch},60000,sgd,random,{name},{ms * times},{times if batch == 128 else 7 * times}"
        for net, ms in (("784-128-10", 70), ("784-512-384-10", 400))
        for batch in (128, 1)
        for times, name in enumerate(names, 1)
    ]
    write("speed_vs_rivals/speed.csv", SPEED, *epochs)
    reached = ("fastmlp,0,0.5,0.981", "PyTorch,0,2.5,0.985")
    write("speed_vs_rivals/time_to_accuracy.csv", "library,seed,seconds,test_accuracy", *reached)
    write("footprint/footprint.csv", *FOOTPRINT)
    fits = [f'"MNIST, {net}, {dtype}",3,2.4,0.6,4' for net in ("128", "512-384") for dtype in ("float32", "float64")]
    header = "data,epochs_fastmlp,seconds_scikit_learn,seconds_fastmlp,ratio"
    write("drop_in/drop_in.csv", header, *fits, "iris,200,1,0.5,1.5")
    predictions = [f"{net},float64,{rows},0.03,0.15,5" for net in ("20-100-1", "4-4-1") for rows in (1, 100, 20000)]
    write("predict/predict.csv", "net,dtype,rows,fastmlp_ms,scikit_learn_ms,ratio", *predictions)
    sampled = ("0,scikit-learn,80,60,10,-11.6,100", "0,fastmlp,40,15,5,-11.6,100")
    sampled += ("1,scikit-learn,90,50,13,-11.6,100", "1,fastmlp,30,10,10,-11.6,101")
    header = "seed,library,total_seconds,training_seconds,predictions_seconds,log_evidence,sample_size"
    write("nautilus/nautilus.csv", header, *sampled)
    peaks = ("fastmlp,8,790528", "fastmlp,60000,2609152", "numpy,8,749568", "numpy,60000,331554816")
    write("batch_size/memory.csv", "trainer,batch_size,peak_bytes_beyond_data", *peaks)
    monkeypatch.setattr(tables, "RESULTS", tmp_path)


def cells(text):
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert all(len(row) == len(header) for row in rows)
    return header, {row[0]: row[1:] for row in rows}


def test_each_library_has_a_column(results):
    header, rows = cells(text_tables.rivals())
    assert header == ["", "fastmlp", "scikit-learn", "PyTorch", "JAX", "NumPy"]
    epoch = rows["an epoch of 60000 images, 784-128-10, batches of 128"]
    assert epoch == ["70 ms", "140 ms", "210 ms", "280 ms", "350 ms"]
    over_ours = rows["time of an epoch over that of fastmlp, all cases"]
    assert over_ours == ["1", "2.0 to 14", "3.0 to 21", "4.0 to 28", "5.0 to 35"]
    reached = rows["784-128-10 to 98 % accuracy on the MNIST test images"]
    assert reached == ["0.50 s", "", "2.5 s", "", ""]
    assert rows["time of `fit` over that of fastmlp's estimators"] == ["1", "1.5 to 4.0", "", "", ""]
    assert rows["`predict` of one row, 20-100-1, float64"] == ["30 µs", "150 µs", "", "", ""]
    assert rows["on disk"] == ["62 MB", "206 MB", "741 MB", "544 MB", ""]
    assert rows["import"] == ["220 ms", "1.6 s", "1.8 s", "730 ms", ""]


def test_the_pages_say_what_a_change_costs(results):
    header, rows = cells(text_tables.costs_pytorch())
    assert header == ["", "PyTorch", "fastmlp"] and rows["memory after the import"] == ["209 MB", "21 MB"]
    assert rows["an epoch of 60000 images, 784-512-384-10, batches of 128"] == ["1.2 s", "400 ms"]
    theirs, ours = map(int, rows["lines of the program"])
    assert theirs > ours > 5
    header, rows = cells(text_tables.costs_keras())
    assert rows["on disk"] == ["more than 741 MB", "more than 544 MB", "62 MB"]
    header, rows = cells(text_tables.costs_sklearn())
    assert header == ["", "scikit-learn", "fastmlp"]
    assert rows["3 epochs of MNIST, 784-512-384-10, float64"] == ["2.4 s", "600 ms"]
    assert rows["`predict` of one row, 20-100-1, float64"] == ["150 µs", "30 µs"]


def test_lines_are_those_of_the_first_two_programs(tmp_path, monkeypatch):
    page = tmp_path / "docs" / "guides" / "page.md"
    page.parent.mkdir(parents=True)
    page.write_text(
        "```python\na = 1\n\nb = 2\n```\n\n```output\n3\n```\n\n```python\nc\n```\n\n```python\nd\ne\n```\n"
    )
    monkeypatch.setattr(text_tables, "ROOT", tmp_path)
    assert text_tables.lines_of_programs("page.md") == ["2", "1"]


def test_predictions_and_memory_have_a_row_for_each_case(results):
    header, rows = cells(text_tables.predictions())
    assert rows["20-100-1"] == ["float64", "30 µs", "5.0", "5.0", "5.0 (20000 rows)"] and len(rows) == 2
    header, rows = cells(text_tables.training_memory())
    assert rows == {"8": ["791 KB", "750 KB"], "60000": ["2.6 MB", "332 MB"]}


def test_what_the_sampler_gains(results):
    names = ("total", "training", "predictions", "share", "equal")
    values = [text_numbers.VALUES[f"sampler_{name}"]() for name in names]
    assert values == ["2.0 to 3.0", "4.0 to 5.0", "1.3 to 2.0", "70 to 88 %", "1 of 2 runs"]
