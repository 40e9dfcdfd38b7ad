"""Several processes train to what one trains to; each test here starts real ones."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from together import trained

from seqopt.errors import SeqoptError
from seqopt.learn.launch import first_host, place_of
from seqopt.learn.parallel import World, alone, join

SCRIPT = Path(__file__).with_name("together.py")
KINDS = ("trajectory", "network")


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "TORCHELASTIC"))}
    return {**kept, "OMP_NUM_THREADS": "1", **more}


def torchrun(out: Path, *more: str) -> list[dict]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", SCRIPT, out]
    done = subprocess.run([*command, *more], env=environment(), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    return torchrun(tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_to_what_one_trains_to(two: list[dict], kind: str) -> None:
    one = trained(kind)
    # Adam divides by the gradient's own size: where that is hardly more than rounding, so is the step
    bounds = {"loss": 1e-5, "first gradient": 1e-5, "parameters": 1e-4}
    for each in two:
        for name, bound in bounds.items():
            assert torch.linalg.norm(each[kind][name] - one[name]) < bound * torch.linalg.norm(one[name])
    assert one["loss"].unique().numel() == len(one["loss"])  # steps differ, so equality says something


@pytest.mark.parametrize("kind", KINDS)
def test_the_processes_agree_to_the_last_bit(two: list[dict], kind: str) -> None:
    for name in ("loss", "parameters"):
        assert torch.equal(two[0][kind][name], two[1][kind][name])


def test_results_are_gathered_in_the_order_of_the_images(two: list[dict]) -> None:
    for each in two:
        gathered = each["gathered"]
        assert gathered["five"].shape == (5, 2, 3)
        assert gathered["five"][:, 1, 2].tolist() == [0.0, 10.0, 20.0, 30.0, 40.0]
        assert gathered["one"].shape == (1, 2, 3)  # the second process had no image at all
        assert gathered["scalars"].tolist() == [0.0, 10.0, 20.0, 30.0, 40.0]
        assert gathered["complex"][:, 0, 0].imag.tolist() == [0.0, 10.0, 20.0, 30.0, 40.0]


def test_a_flag_on_one_process_is_seen_by_all(two: list[dict]) -> None:
    assert [each["gathered"]["any"].tolist() for each in two] == [[True, False], [True, False]]


def test_no_thread_of_the_group_outlives_it(two: list[dict]) -> None:
    for each in two:
        assert not [name for name in each["threads left"] if "gloo" in name]


def test_a_process_that_ends_early_does_not_leave_the_others_waiting(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = time.monotonic()
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, tmp_path, "leave-at", "1"],
            env=environment(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), MASTER_PORT=port),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [1, 3]
    assert "error: process 0 of 2 waited in vain" in said[0]
    assert time.monotonic() - started < 120  # the time-out; a lost peer is seen at once


@pytest.mark.cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_train_to_what_one_trains_to(tmp_path: Path) -> None:
    for each in torchrun(tmp_path, "cuda"):
        one = trained("trajectory", device="cuda")
        assert torch.linalg.norm(each["trajectory"]["loss"] - one["loss"]) < 1e-4 * torch.linalg.norm(one["loss"])


def test_a_batch_that_the_processes_cannot_share_is_refused() -> None:
    with pytest.raises(SeqoptError, match="world size: got 3, expected a divisor of the batch 4; use 2 processes"):
        World(rank=1, size=3).part(4)


def test_the_parts_of_a_batch_cover_it_once() -> None:
    covered = [index for rank in range(3) for index in range(6)[World(rank=rank, size=3).part(6)]]
    assert covered == list(range(6))


def test_alone_nothing_is_communicated() -> None:
    values = [torch.ones(2), torch.zeros(())]
    alone.average(values)
    alone.align(values)
    alone.barrier()
    assert (alone.any(True), alone.any(False), alone.is_first) == (True, False, True)
    assert alone.gather(values, 2) == values
    assert alone.part(3) == slice(0, 3)


def test_results_that_are_not_the_share_are_refused() -> None:
    with pytest.raises(SeqoptError, match="got 1 results, expected 2 of 3"):
        World(rank=0, size=2).gather([torch.ones(1)], 3)


SLURM = {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1", "SLURM_NODELIST": "gpu[03-06]"}


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node[01-04,07]", "node01"),
        ("node[07,01-04]", "node07"),
        ("gpu-a3", "gpu-a3"),
        ("a1,b[2-3]", "a1"),
        ("rack2-n[003-010]-ib,other", "rack2-n003-ib"),
    ],
)
def test_the_first_host_of_a_slurm_list_is_found(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


def test_slurms_variables_give_a_place() -> None:
    place = place_of({**SLURM, "SLURM_JOB_ID": "41234", "SLURM_CPUS_PER_TASK": "6"}, asked=True)
    assert place is not None
    assert (place.rank, place.size, place.local_rank) == (5, 8, 1)
    assert (place.host, place.port, place.threads) == ("gpu03", 21234, 6)


def test_what_the_user_set_counts_more_than_slurms_guess() -> None:
    mine = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "4000", "OMP_NUM_THREADS": "2", "SLURM_CPUS_PER_TASK": "6"}
    place = place_of({**SLURM, **mine}, asked=True)
    assert place is not None
    assert (place.host, place.port, place.threads) == ("10.0.0.1", 4000, None)


def test_the_tasks_of_a_step_count_not_those_of_the_job() -> None:
    place = place_of({**SLURM, "SLURM_STEP_NUM_TASKS": "6", "SLURM_STEP_NODELIST": "gpu05"}, asked=True)
    assert place is not None
    assert (place.size, place.host) == (6, "gpu05")


def test_torchruns_variables_come_before_slurms() -> None:
    mine = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "here", "MASTER_PORT": "29400"}
    place = place_of({**SLURM, **mine}, asked=False)
    assert place is not None
    assert (place.rank, place.size, place.host, place.port) == (1, 2, "here", 29400)


def test_an_ordinary_run_inside_a_slurm_job_stays_alone() -> None:
    with join(torch.device("cpu"), asked=False, environment=SLURM) as world:
        assert world == alone


def test_a_distributed_run_that_nobody_launched_is_refused() -> None:
    with (
        pytest.raises(SeqoptError, match="--distributed: got neither torchrun's nor SLURM's environment"),
        join(torch.device("cpu"), environment={}),
    ):
        pass


@pytest.mark.parametrize(
    "wrong", [{"SLURM_PROCID": "x"}, {"SLURM_PROCID": "9"}, {"SLURM_NODELIST": "[01]"}, {"MASTER_PORT": "99999999"}]
)
def test_a_damaged_environment_is_one_line(wrong: dict[str, str]) -> None:
    with pytest.raises(SeqoptError) as caught:
        place_of({**SLURM, **wrong}, asked=True)
    assert "\n" not in str(caught.value)
