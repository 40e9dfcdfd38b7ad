"""Many files: shares, resuming, failures, and files that arrive. The work itself is a stand-in but for one test."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from designs import radial_design
from exported import export

from seqopt.errors import SeqoptError
from seqopt.workflows.recon_batch import DONE, folders_of, place_among, reconstruct_many, watch
from seqopt.workflows.simulate import simulate


@dataclass
class Made:
    agrees: bool = True
    files: tuple[Path, ...] = ()


class Work:
    """Writes the scan's size; fails for files that say so."""

    def __init__(self):
        self.calls: list[str] = []

    def __call__(self, scan: Path, out: Path, **options) -> Made:
        self.calls.append(scan.name)
        text = scan.read_text()
        if text == "bad":
            raise SeqoptError(f"{scan} is damaged")
        if text == "bug":
            raise ZeroDivisionError("division by zero")
        out.mkdir(parents=True, exist_ok=True)
        (out / "image").write_text(text)
        return Made(agrees=text != "apart", files=(out / "image",))


def files(folder: Path, **texts: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.mrd").write_text(text)
    return [folder / f"{name}.mrd" for name in texts]


def test_one_failing_file_does_not_stop_the_rest(tmp_path):
    scans = [*files(tmp_path, a="1", b="bad", c="bug", d="apart", e="5"), tmp_path / "gone.mrd"]
    results = list(reconstruct_many(scans, tmp_path / "out", options={}, work=Work()))
    assert [result.failed for result in results] == [False, True, True, True, False, True]
    assert "is damaged" in results[1].error
    assert "ZeroDivisionError: division by zero" in results[2].error
    assert "no MRD file at" in results[5].error
    assert (tmp_path / "out" / "e" / "image").read_text() == "5"
    assert [(tmp_path / "out" / name / DONE).exists() for name in "abcde"] == [True, False, False, False, True]


def test_what_was_done_is_passed_over_until_file_options_or_design_change(tmp_path):
    scans, work, out = files(tmp_path, a="1", b="2"), Work(), tmp_path / "out"
    design = tmp_path / "design"
    design.mkdir()
    (design / "design.h5").write_text("first")
    options = {"design_path": design, "method": "adjoint"}

    def run(**changes):
        work.calls.clear()
        list(reconstruct_many(scans, out, options=options | changes, work=work))
        return list(work.calls)

    assert run() == ["a.mrd", "b.mrd"]
    assert run() == []
    assert run(method="cg-sense") == ["a.mrd", "b.mrd"]
    assert run(method="cg-sense") == []
    scans[1].write_text("three")
    assert run(method="cg-sense") == ["b.mrd"]
    (design / "design.h5").write_text("learned anew")
    assert run(method="cg-sense") == ["a.mrd", "b.mrd"]
    (out / "a" / DONE).write_text("{ cut off")
    assert run(method="cg-sense") == ["a.mrd"]


def test_a_file_is_done_again_where_what_it_was_made_with_or_what_was_made_is_another(tmp_path):
    """Field map and response by options or by recon.toml, recon.toml beside a design.h5, and images that are gone."""
    scans, work, out = files(tmp_path, a="1"), Work(), tmp_path / "out"
    design = tmp_path / "design"
    design.mkdir()
    (design / "design.h5").write_text("a design")
    (design / "map.nii").write_text("of the folder")
    (design / "recon.toml").write_text('field_map = "map.nii"')
    (tmp_path / "girf.csv").write_text("measured in May")

    def runs() -> bool:
        work.calls.clear()
        options = {"design_path": design / "design.h5", "girf": str(tmp_path / "girf.csv")}
        list(reconstruct_many(scans, out, options=options, work=work))
        return bool(work.calls)

    assert runs() and not runs()
    (tmp_path / "girf.csv").write_text("measured in June")
    assert runs() and not runs()
    (design / "map.nii").write_text("measured anew")
    assert runs() and not runs()
    (design / "played.seq").write_text("with other gradients, to which the response is applied")
    assert runs() and not runs()
    (design / "recon.toml").write_text('field_map = "map.nii"\niterations = 9')
    assert runs() and not runs()
    (out / "a" / "image").unlink()
    assert runs() and not runs()


def test_processes_share_the_files_without_gap_or_overlap(tmp_path):
    scans = files(tmp_path, **{f"s{index}": str(index) for index in range(7)})
    calls = []
    for rank in range(3):
        work = Work()
        list(reconstruct_many(scans, tmp_path / "out", options={}, rank=rank, world_size=3, work=work))
        calls.append(work.calls)
    assert [len(share) for share in calls] == [3, 2, 2]
    assert sorted(name for share in calls for name in share) == [scan.name for scan in scans]


def test_ranks_come_from_the_environment():
    assert place_among({}) == (0, 1)
    assert place_among({"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "2"}) == (2, 4)
    with pytest.raises(SeqoptError, match="start it with torchrun"):
        place_among({"RANK": "4", "WORLD_SIZE": "4", "LOCAL_RANK": "0"})


def test_options_that_suit_no_file_are_refused_before_any(tmp_path):
    work = Work()
    with pytest.raises(SeqoptError, match="unknown reconstruction 'magic'"):
        list(reconstruct_many(files(tmp_path, a="1"), tmp_path / "out", options={"method": "magic"}, work=work))
    assert work.calls == []


def test_files_of_one_name_get_folders_of_their_own():
    out = Path("out")
    assert list(folders_of([Path("a.mrd"), Path("b.mrd"), Path("a.mrd")], out).values()) == [out / "a", out / "b"]
    assert list(folders_of([Path("a.mrd"), Path("a.h5")], out).values()) == [out / "a.mrd", out / "a.h5"]
    both = folders_of([Path("/x/monday/a.mrd"), Path("/x/friday/a.mrd")], out).values()
    assert list(both) == [out / "monday_a.mrd", out / "friday_a.mrd"]
    deep = folders_of([Path("/x/m/a.mrd"), Path("/y/m/a.mrd")], out).values()
    assert list(deep) == [out / "x_m_a.mrd", out / "y_m_a.mrd"]


class Clock:
    """Time that passes only while the watcher pauses, and what happens meanwhile."""

    def __init__(self, monkeypatch, *events):
        self.now, self.events = 0.0, list(events)
        monkeypatch.setattr("seqopt.workflows.recon_batch.time.monotonic", lambda: self.now)

    def __call__(self, seconds: float) -> None:
        self.now += seconds
        if self.events:
            self.events.pop(0)()
        elif self.now > 60:
            raise KeyboardInterrupt


def watched(folder, out, clock, work):
    results = []
    with pytest.raises(KeyboardInterrupt):
        for result in watch(folder, out, options={}, quiet_s=3.0, work=work, pause=clock):
            if result is not None:
                results.append((result.scan.name, result.failed, result.before, clock.now))
    return results


def test_a_file_is_read_only_when_it_has_stopped_growing(tmp_path, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    growing = [lambda n=n: (folder / "a.mrd").write_text("x" * n) for n in range(1, 7)]
    work = Work()
    (result,) = watched(folder, tmp_path / "out", Clock(monkeypatch, *growing), work)
    assert result == ("a.mrd", False, False, pytest.approx(9.0))  # last grown at 6 s, quiet for 3
    assert (tmp_path / "out" / "a" / "image").read_text() == "xxxxxx"


def test_uploads_under_a_temporary_name_are_taken_when_they_are_renamed(tmp_path, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.mrd.part").write_text("half")
    (folder / ".b.mrd").write_text("hidden")
    (folder / "notes.txt").write_text("no data")
    rename = [lambda: None] * 20 + [lambda: (folder / "a.mrd.part").rename(folder / "a.mrd")]
    assert [one[:2] for one in watched(folder, tmp_path / "out", Clock(monkeypatch, *rename), Work())] == [
        ("a.mrd", False)
    ]


def test_a_file_that_failed_is_tried_again_only_when_it_changes(tmp_path, monkeypatch):
    folder = tmp_path / "in"
    files(folder, a="bad", b="2")
    repair = [lambda: None] * 15 + [lambda: (folder / "a.mrd").write_text("repaired")]
    results = watched(folder, tmp_path / "out", Clock(monkeypatch, *repair), Work())
    assert [result[:2] for result in results] == [("a.mrd", True), ("b.mrd", False), ("a.mrd", False)]


def test_a_watch_that_begins_anew_remembers_what_was_done(tmp_path, monkeypatch):
    folder, out, work = tmp_path / "in", tmp_path / "out", Work()
    files(folder, a="1")
    watched(folder, out, Clock(monkeypatch), work)
    results = watched(folder, out, Clock(monkeypatch), work)
    assert [result[2] for result in results] == [True]
    assert work.calls == ["a.mrd"]


def test_a_folder_keeps_its_name_when_a_file_of_the_same_stem_arrives_and_after_a_restart(tmp_path, monkeypatch):
    """The one that came first sorts last, so that the order of the listing cannot tell."""
    folder, out, work = tmp_path / "in", tmp_path / "out", Work()
    files(folder, a="first")

    def second():
        (folder / "a.h5").write_text("second")

    watched(folder, out, Clock(monkeypatch, *[lambda: None] * 10, second), work)
    texts = {name: (out / name / "image").read_text() for name in ("a", "a.h5")}
    assert texts == {"a": "first", "a.h5": "second"}
    results = watched(folder, out, Clock(monkeypatch), work)
    assert [(name, before) for name, _, before, _ in results] == [("a.h5", True), ("a.mrd", True)]
    assert sorted(path.name for path in out.iterdir()) == ["a", "a.h5"]
    (folder / "a.h5").write_text("changed")
    watched(folder, out, Clock(monkeypatch), work)
    assert (out / "a.h5" / "image").read_text() == "changed" and (out / "a" / "image").read_text() == "first"


def test_images_that_sigpy_did_not_confirm_keep_their_folder_too(tmp_path, monkeypatch):
    """They have no mark of being done, but a record of whose they are."""
    folder, out = tmp_path / "in", tmp_path / "out"
    files(folder, b="2")
    (out / "b").mkdir(parents=True)
    (out / "b" / "recon.json").write_text('{"scan": "b.h5"}')
    watched(folder, out, Clock(monkeypatch), Work())
    assert sorted(path.name for path in out.iterdir()) == ["b", "b.mrd"]


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SeqoptError, match="no folder at"):
        next(watch(tmp_path / "none", tmp_path / "out", options={}))


def test_real_scans_are_reconstructed_side_by_side(tmp_path):
    folder = export(radial_design(shots=16, samples=128, matrix=32), tmp_path / "design")
    for name in "ab":
        simulate(folder, tmp_path / f"{name}.mrd", coils=2, seed=ord(name))
    (tmp_path / "broken.mrd").write_bytes((tmp_path / "a.mrd").read_bytes()[:5000])
    scans = [tmp_path / f"{name}.mrd" for name in ("a", "broken", "b")]
    options = {"design_path": folder, "method": "adjoint", "quality": False}
    results = list(reconstruct_many(scans, tmp_path / "out", options=options))
    assert [result.failed for result in results] == [False, True, False]
    assert results[2].summary.images.shape == (1, 32, 32)
    marks = [json.loads((tmp_path / "out" / name / DONE).read_text()) for name in "ab"]
    assert [mark["bytes"] for mark in marks] == [scans[place].stat().st_size for place in (0, 2)]
