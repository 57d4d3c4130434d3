"""What users of the connectors write: ``launches.py CONNECTOR``, in a directory of its own.

Prints the id of the run as the last line.  The solvers are those of ``solvers/``, except where
the first argument says that OpenFOAM itself is there.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

SOLVERS = Path(__file__).with_name("solvers")


def program(name: str, solver: str) -> Path:
    """Make a program *name* of one of our solvers, on the PATH."""
    folder = Path("bin").absolute()
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SOLVERS / solver}" "$@"\n')
    path.chmod(0o755)
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
    return path


# ---- OpenFOAM ----------------------------------------------------------------------------


def dictionary(kind: str, name: str, content: str) -> str:
    return f"FoamFile {{ version 2.0; format ascii; class {kind}; object {name}; }}\n{content}\n"


CAVITY = {
    "system/blockMeshDict": (
        "dictionary",
        """scale 1;
vertices ((0 0 0) (1 0 0) (1 1 0) (0 1 0) (0 0 0.1) (1 0 0.1) (1 1 0.1) (0 1 0.1));
blocks (hex (0 1 2 3 4 5 6 7) (12 12 1) simpleGrading (1 1 1));
boundary
(
    lid { type wall; faces ((3 7 6 2)); }
    walls { type wall; faces ((0 4 7 3) (2 6 5 1) (1 5 4 0)); }
    sides { type empty; faces ((0 3 2 1) (4 5 6 7)); }
);""",
    ),
    "system/controlDict": (
        "dictionary",
        "application icoFoam; startFrom startTime; startTime 0; stopAt endTime; endTime 0.2;\n"
        "deltaT 0.01; writeControl timeStep; writeInterval 10;",
    ),
    "system/fvSchemes": (
        "dictionary",
        """ddtSchemes { default Euler; }
gradSchemes { default Gauss linear; }
divSchemes { default Gauss linear; }
laplacianSchemes { default Gauss linear orthogonal; }
interpolationSchemes { default linear; }
snGradSchemes { default orthogonal; }""",
    ),
    "system/fvSolution": (
        "dictionary",
        """solvers
{
    p { solver PCG; preconditioner DIC; tolerance 1e-06; relTol 0.05; }
    pFinal { $p; relTol 0; }
    U { solver smoothSolver; smoother symGaussSeidel; tolerance 1e-05; relTol 0; }
}
PISO { nCorrectors 2; nNonOrthogonalCorrectors 0; pRefCell 0; pRefValue 0; }""",
    ),
    "constant/transportProperties": ("dictionary", "nu [0 2 -1 0 0 0 0] 0.01;"),
    "0/U": (
        "volVectorField",
        """dimensions [0 1 -1 0 0 0 0];
internalField uniform (0 0 0);
boundaryField
{
    lid { type fixedValue; value uniform (1 0 0); }
    walls { type noSlip; }
    sides { type empty; }
}""",
    ),
    "0/p": (
        "volScalarField",
        """dimensions [0 2 -2 0 0 0 0];
internalField uniform 0;
boundaryField { "(lid|walls)" { type zeroGradient; } sides { type empty; } }""",
    ),
}
"""A lid that slides over a box of fluid, 12 by 12 cells, 20 steps."""


def openfoam(real: bool) -> str | None:
    from simvue_openfoam.connector import OpenfoamRun

    case = Path("cavity").absolute()
    for path, (kind, content) in CAVITY.items():
        file = case / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dictionary(kind, file.name, content))
    if not real:
        program("icoFoam", "icofoam.py")
        program("blockMesh", "icofoam.py").write_text("#!/bin/sh\n")
    (case / "Allrun").write_text(
        'cd "$(dirname "$0")"\n'
        # Debian's has no script that sets its environment.
        "export WM_PROJECT_DIR=/usr/share/openfoam\n"
        "blockMesh > log.blockMesh && icoFoam > log.icoFoam\n"
    )
    with OpenfoamRun() as run:
        run.init("cavity", folder="/connectors", tags=["openfoam"])
        run.launch(openfoam_case_dir=case)
    return run.id


# ---- FDS ---------------------------------------------------------------------------------

ROOM = """&HEAD CHID='room', TITLE='A room' /
&MESH IJK=10,10,10, XB=0,3,0,3,0,3 /
&TIME T_END=60. /
&SURF ID='FIRE', HRRPUA=1000. /
&DEVC ID='ceiling', QUANTITY='TEMPERATURE', XYZ=1.5,1.5,2.9 /
&DEVC ID='plume', QUANTITY='TEMPERATURE', XB=1.5,1.5,1.5,1.5,0.0,3.0, POINTS=4, Z_ID='plume-z' /
&TAIL /
"""


def fds() -> str | None:
    from simvue_fds.connector import FDSRun

    program("fds", "fds.py")
    Path("room.fds").write_text(ROOM)
    with FDSRun() as run:
        run.init("fire", folder="/connectors")
        run.launch("room.fds", ulimit=0, upload_input_metadata=True)
    return run.id


def fds_afterwards() -> str | None:
    """Load what FDS left behind, as if it had been followed."""
    from simvue_fds.connector import FDSRun

    with FDSRun() as run:
        run.init("fire: afterwards", folder="/connectors")
        run.load(".")
    return run.id


# ---- MOOSE -------------------------------------------------------------------------------

BAR = """[Mesh]
  type = GeneratedMesh
  dim = 1
[]
[Executioner]
  type = Transient
  dt = 1
  end_time = 6
[]
[Outputs]
  file_base = results/bar
  csv = true
[]
"""


def moose() -> str | None:
    from simvue_moose.connector import MooseRun

    Path("bar.i").write_text(BAR)
    with MooseRun() as run:
        run.init("bar", folder="/connectors")
        run.launch(program("heat-opt", "moose.py"), "bar.i", track_vector_postprocessors=True)
    return run.id


# ---- A connector of one's own -------------------------------------------------------------


def pendulum(steps: int) -> str | None:
    import multiparser.parsing.tail as tail
    from simvue_connector.connector import WrappedRun

    class PendulumRun(WrappedRun):
        def _pre_simulation(self) -> None:
            super()._pre_simulation()
            self.add_process(
                "pendulum",
                steps,
                executable=sys.executable,
                script=str(SOLVERS / "pendulum.py"),
                completion_trigger=self._trigger,
            )

        def _during_simulation(self) -> None:
            self.file_monitor.tail(
                path_glob_exprs=f"{self.name}_pendulum.out",
                parser_func=tail.log_parser(self._read),
                callback=lambda *_, **__: None,
            )

        def _read(self, file_content: str, **_: object) -> tuple[dict, dict]:
            for seconds, angle in re.findall(r"^(\S+) (\S+)$", file_content, re.MULTILINE):
                self.log_metrics({"angle": angle}, time=seconds)
            return {}, {}

    with PendulumRun() as run:
        run.init("pendulum", folder="/connectors")
        # Whoever watches learns which run it is before it is over.
        print(run.id, flush=True)
        run.launch()
    return run.id


# ---- TensorFlow --------------------------------------------------------------------------


def tensorflow() -> str | None:
    """Train with the plug-in, alone and within a framework that has opened the run for it."""
    sys.path.insert(0, str(SOLVERS))
    from simvue_tensorflow.plugin import TensorVue
    from tensorflow.keras import Model

    import simvue

    limits = {"metric": "loss", "window": 1, "frequency": 1, "threshold": 10.0}
    settings = {
        "alert_definitions": {"lost": {"source": "metrics", "rule": "is above", **limits}},
        "simulation_alerts": ["lost"],
        "script_filepath": __file__,
        "model_final_filepath": str(Path("final.keras").absolute()),
    }
    alone = TensorVue(run_name="net", run_folder="/connectors/net", run_tags=["small"], **settings)
    Model().fit(2, 10, alone)
    Model().evaluate(10, alone)
    with simvue.Run() as run:
        run.init("search_7", folder="/connectors/search", tags=["found"])
        within = TensorVue(optimisation_framework=True, simulation_run=run, **settings)
        Model().fit(1, 10, within)
    return run.id


LAUNCHES = {
    "openfoam": lambda: openfoam(real=True),
    "openfoam-stand-in": lambda: openfoam(real=False),
    "fds": fds,
    "fds-afterwards": fds_afterwards,
    "moose": moose,
    "pendulum": lambda: pendulum(10),
    "tensorflow": tensorflow,
    "endless-pendulum": lambda: pendulum(10_000),
}

if __name__ == "__main__":
    print(LAUNCHES[sys.argv[1]]())
