"""What people read while it runs: few lines, times that can be believed."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from pipeline.artifacts import ShardRecord
from pipeline.commit import PROGRESS
from pipeline.progress import BarReporter, Reporter, Track, duration
from pipeline.stats import Stats
from pipeline.work import Failure


def inside(folder, shard, done, total, **figures):
    (folder / PROGRESS).mkdir(exist_ok=True)
    text = json.dumps({"done": done, "total": total, "figures": figures})
    (folder / PROGRESS / f"{shard}.json").write_text(text)


def track(folder, total):
    return Track("regions/train", total, "images", folder, began=0.0, told=0.0)


def record(name, rows):
    stats = Stats(n_in=rows, n_ok=rows).to_json()
    return ShardRecord(name=name, key="k", because={}, digest="d", files=(), stats=stats)


def test_time_left_follows_the_shards(tmp_path):
    one = track(tmp_path, 10)
    one.look(5.0)
    assert one.left(5.0) is None, "nothing is known yet"
    one.done, one.rows = 2, 500
    one.look(20.0)
    assert one.left(20.0) == pytest.approx(80.0)
    assert one.describe(20.0) == "25 images/s, 1 min 20 s left"


def test_a_resumed_shard_is_not_almost_done_at_once(tmp_path):
    """It begins at 300 of 400 steps; its speed is that of the steps since."""
    one = track(tmp_path, 1)
    inside(tmp_path, "model", 300, 400, loss=2.3456789)
    one.look(10.0)
    inside(tmp_path, "model", 310, 400, loss=2.3456789)
    one.look(20.0)
    assert one.left(20.0) == pytest.approx(90.0)
    assert one.describe(20.0) == "1 min 30 s left, 310/400, loss 2.346"


def test_what_is_finished_or_unreadable_is_not_inside(tmp_path):
    one = track(tmp_path, 2)
    inside(tmp_path, "00000", 5, 5)
    (tmp_path / PROGRESS / "00001.json").write_text("{")
    one.look(1.0)
    assert one.inside == {}


def test_a_log_gets_a_line_every_ten_seconds_and_few_failures(tmp_path):
    text = io.StringIO()
    reporter = Reporter(Console(file=text, width=200))
    reporter.started("regions/train", 2000, 0, "images", tmp_path)
    one = reporter._tracks["regions/train"]
    one.began = one.told = 0.0
    for second in range(1, 61):
        reporter.shard("regions/train", record(f"{second:05d}", 250))
        reporter.failed("regions/train", Failure(shard="00000", what="broken"))
        one.look(second)
        reporter.tell(one, second)
    lines = text.getvalue().splitlines()
    assert sum("2000 shards" in line and "images/s" in line for line in lines) == 6
    assert sum("broken" in line for line in lines) == 5
    assert "10/2000 shards, 250 images/s, 16 min 30 s left" in text.getvalue()


def test_bars_show_every_artifact_in_the_making(tmp_path):
    text = io.StringIO()
    console = Console(file=text, width=120, force_terminal=True, highlight=False, _environ={"TERM": "xterm"})
    with BarReporter(console) as reporter:
        reporter.started("regions/train", 4, 1, "images", tmp_path)
        reporter.shard("regions/train", record("00000", 250))
        one = reporter._tracks["regions/train"]
        one.look(one.began + 10)
        reporter.tell(one, one.began + 10)
        reporter._bars.refresh()
        reporter.finished("regions/train", "4 shards made")
    assert "25 images/s, 30 s left" in text.getvalue()
    assert "regions/train: 4 shards made" in text.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
