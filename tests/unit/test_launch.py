"""Which rank of which job a process is, told from the variables that launchers really set."""

import os
import sys
import time

import pytest

from simvue.launch import Launch, this_launch

SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_CLUSTER_NAME": "alps",
    "SLURM_RESTART_COUNT": "1",
    "SLURM_JOB_START_TIME": "1772160331",
    # What a batch script sees although it is one process.
    "SLURM_PROCID": "0",
    "SLURM_NTASKS": "8",
    "SLURM_LOCALID": "0",
}
SRUN = {
    **SLURM,
    "SLURM_STEP_ID": "3",
    "SLURM_STEP_NUM_TASKS": "6",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
}
OPENMPI = {
    "OMPI_COMM_WORLD_RANK": "2",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_MCA_orte_precondition_transports": "89dd0339b86458f3-64177aeca376720c",
    "PMIX_NAMESPACE": "780206081",
    "PMIX_RANK": "2",
}
HYDRA = {
    "PMI_RANK": "2",
    "PMI_SIZE": "4",
    "MPI_LOCALRANKID": "0",
    "MPI_LOCALNRANKS": "2",
}
PALS = {
    "PBS_JOBID": "991.aurora",
    "PALS_APID": "6b7c6a2e-c2b5",
    "PALS_RANKID": "2",
    "PALS_LOCAL_RANKID": "0",
    "PALS_LOCAL_SIZE": "2",
    "PMI_SIZE": "4",
    "PMI_RANK": "2",
}
FLUX = {
    "FLUX_JOB_ID": "f2Cmqbe3",
    "FLUX_TASK_RANK": "2",
    "FLUX_JOB_SIZE": "4",
    "FLUX_TASK_LOCAL_ID": "0",
    # Flux speaks PMI as well.
    "PMI_RANK": "2",
    "PMI_SIZE": "4",
}
JSM = {
    "LSB_JOBID": "55",
    "LSB_JOBINDEX": "0",
    "LSB_SUB_HOST": "summit-login",
    "JSM_NAMESPACE_RANK": "2",
    "JSM_NAMESPACE_SIZE": "4",
    "JSM_NAMESPACE_LOCAL_RANK": "0",
    "PMIX_NAMESPACE": "11",
}
MVAPICH = {
    "MV2_COMM_WORLD_RANK": "2",
    "MV2_COMM_WORLD_SIZE": "4",
    "MV2_COMM_WORLD_LOCAL_RANK": "0",
}
TORCH = {
    "RANK": "2",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "0",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "node1",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "none",
}
CRAY = {"PMI_RANK": "2", "PMI_SIZE": "4", "PMI_LOCAL_RANK": "0"}


@pytest.mark.parametrize(
    ("launcher", "environ"),
    [
        ("openmpi", OPENMPI),
        ("hydra", HYDRA),
        ("pals", PALS),
        ("flux", FLUX),
        ("jsm", JSM),
        ("mvapich2", MVAPICH),
        ("torchrun", TORCH),
        ("pmi", CRAY),
        # The innermost launcher knows which rank this is; SLURM's numbers are its daemon's.
        ("openmpi", {**SRUN, **OPENMPI}),
        ("hydra", {**SRUN, **HYDRA}),
        ("torchrun", {**SRUN, **TORCH}),
        ("pmi", {**SLURM, **CRAY}),
        ("hydra", {**FLUX, **HYDRA}),
    ],
)
def test_every_launcher_is_known_by_its_variables(launcher, environ):
    launch = this_launch(environ)
    assert (launch.launcher, launch.rank, launch.size) == (launcher, 2, 4)
    assert launch.local_rank == 0


def test_srun_tells_rank_job_step_and_restarts():
    launch = this_launch(SRUN)
    assert launch.attributes() == {
        "launcher": "srun",
        "rank": 5,
        # The step's own, which may be smaller than the job.
        "size": 6,
        "local_rank": 1,
        "scheduler": "slurm",
        "cluster": "alps",
        "job": "4711",
        "step": "3",
        "restarts": 1,
        "group": "slurm-alps-4711-3",
    }


@pytest.mark.parametrize("step", [{}, {"SLURM_STEP_ID": "4294967291"}])
def test_a_batch_script_is_no_rank_though_slurm_numbers_it_0(step):
    launch = this_launch({**SLURM, **step})
    assert (launch.launcher, launch.rank, launch.size, launch.step) == (None, None, None, None)
    assert launch.job == "4711"
    assert launch.group == "slurm-alps-4711"


@pytest.mark.parametrize(
    ("scheduler", "job", "environ"),
    [
        ("pbs", "991[3].aurora", {"PBS_JOBID": "991[3].aurora"}),
        ("lsf", "55[3]", {"LSB_JOBID": "55", "LSB_JOBINDEX": "3"}),
        ("lsf", "55", {"LSB_JOBID": "55", "LSB_JOBINDEX": "0"}),
        ("sge", "7[2]", {"JOB_ID": "7", "SGE_ROOT": "/sge", "SGE_TASK_ID": "2"}),
        ("sge", "7", {"JOB_ID": "7", "SGE_ROOT": "/sge", "SGE_TASK_ID": "undefined"}),
        ("flux", "f2Cmqbe3", FLUX),
        # Flux inside a job of another: that job is what the accounting knows.
        ("slurm", "4711", {**SRUN, **FLUX}),
    ],
)
def test_every_scheduler_tells_its_job_and_the_element_of_an_array(scheduler, job, environ):
    launch = this_launch(environ)
    assert (launch.scheduler, launch.job) == (scheduler, job)
    assert launch.group.startswith(f"{scheduler}-")


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"HOME": "/root", "PATH": "/bin"},
        # Anybody's names, and half of what a launcher sets.
        {"RANK": "3"},
        {"JOB_ID": "12"},
        {"PMI_RANK": "1"},
        {"OMPI_COMM_WORLD_RANK": "", "OMPI_COMM_WORLD_SIZE": "4"},
        {"OMPI_COMM_WORLD_RANK": "first"},
    ],
)
def test_a_process_that_was_just_started_records_nothing(environ):
    assert this_launch(environ) == Launch()
    assert this_launch(environ).attributes() == {}


def test_variables_that_are_no_numbers_are_left_out():
    launch = this_launch({**OPENMPI, "OMPI_COMM_WORLD_SIZE": "all", "SLURM_JOB_ID": "1"})
    assert (launch.rank, launch.size) == (2, None)


# ---- Groups ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environ",
    [OPENMPI, PALS, FLUX, JSM, {**SRUN, **OPENMPI}, {**SRUN, **TORCH}, {**SLURM, **CRAY}, SRUN],
)
def test_all_ranks_of_a_launch_share_a_group(environ):
    own = ("RANK", "LOCAL_RANK", "RANKID", "LOCALID", "PROCID", "TASK_LOCAL_ID", "NODEID")
    other = {key: "1" if key.endswith(own) else value for key, value in environ.items()}
    assert this_launch(other).rank == 1 != this_launch(environ).rank
    assert this_launch(other).group == this_launch(environ).group is not None


@pytest.mark.parametrize(
    ("environ", "change"),
    [
        (OPENMPI, {"OMPI_MCA_orte_precondition_transports": f"{'1' * 16}-{'2' * 16}"}),
        ({**SRUN, **OPENMPI}, {"PMIX_NAMESPACE": "780206082"}),
        (SRUN, {"SLURM_STEP_ID": "4"}),
        (SRUN, {"SLURM_JOB_ID": "4712"}),
        (SRUN, {"SLURM_CLUSTER_NAME": "daint"}),
        (PALS, {"PALS_APID": "6b7c6a2e-c2b6"}),
        (FLUX, {"FLUX_JOB_ID": "f2Cmqbe4"}),
        ({**SRUN, **TORCH}, {"MASTER_PORT": "29501"}),
    ],
)
def test_another_launch_is_another_group(environ, change):
    assert this_launch({**environ, **change}).group != this_launch(environ).group


@pytest.mark.parametrize(
    "environ",
    [
        HYDRA,
        MVAPICH,
        CRAY,
        TORCH,
        # Counted up by a daemon: another machine's has the same.
        {"PMIX_RANK": "0", "PMIX_NAMESPACE": "prterun-node1-4242@1"},
        # Started by srun, the key consists of the job's number; here without its job.
        {**OPENMPI, "OMPI_MCA_orte_precondition_transports": "017569a900000000-017569a900000000"},
    ],
)
def test_ranks_that_no_unique_text_connects_have_no_group(environ):
    assert this_launch(environ).rank is not None
    assert this_launch(environ).group is None


def test_torchruns_own_random_id_is_a_group():
    environ = {**TORCH, "TORCHELASTIC_RUN_ID": "3f1c0c2e-94ab-4a8e-9f42-6a4f2b7a1d11"}
    assert this_launch(environ).group.startswith("torchrun-")


def test_a_restart_is_the_same_group_and_another_attempt():
    again = {**SRUN, "SLURM_RESTART_COUNT": "2", "SLURM_JOB_START_TIME": "1772170331"}
    assert this_launch(again).group == this_launch(SRUN).group
    assert this_launch(again).attempt != this_launch(SRUN).attempt
    assert (this_launch(SRUN).restarts, this_launch(again).restarts) == (1, 2)
    elastic = {**SRUN, **TORCH, "TORCHELASTIC_RESTART_COUNT": "1"}
    assert this_launch(elastic).restarts == 2
    assert this_launch(elastic).attempt != this_launch(again).attempt


def test_it_costs_little_and_loads_no_mpi(monkeypatch):
    for key, value in OPENMPI.items():
        monkeypatch.setenv(key, value)
    this_launch()
    begun = time.perf_counter()
    launch = this_launch()
    # A few small files of /proc; an init takes about 20 ms.
    assert time.perf_counter() - begun < 0.01
    assert launch.rank == 2
    assert "mpi4py" not in sys.modules
    assert os.environ["PMIX_RANK"] == "2"
