"""The samplers: from noise to a mel in few evaluations of the network.

A sampler is built as ``SAMPLERS.build(name, schedule, speedup)``, see base.py. A
new one is one file here and one line in the table; the tests in
tests/diffusion/test_samplers.py then hold for it too.

The schedulers of the diffusers library were tried (0.42) and not taken. They
evaluate at whole steps only: for 10 of 100 steps dpm-solver++ visits 99, 89, 79,
where the published one visits 99, 89.1, 79.2, so the golden numbers are out of
reach. Their pndm cannot start at a given step, and there is no RK4 for
velocities. And importing one loads some 3 000 modules, which takes longer than
converting a song. What is needed of them is under 300 lines.
"""

from __future__ import annotations

from dataclasses import dataclass

from modules.common.errors import ConfigError
from modules.common.registry import PartSpec, Registry


@dataclass(frozen=True)
class SamplerSpec(PartSpec):
    """One line of the table."""

    model_type: str  # model.type of its networks
    order: int  # the error of n steps falls like n**-order; below `order` steps the order is lowered
    cost: int = 1  # evaluations per step
    stochastic: bool = False  # draws noise at every step
    selectable: bool = True  # may be chosen as infer.method


SAMPLERS: Registry[SamplerSpec] = Registry(
    "sampling method",
    {
        # the first selectable one of a model type is its default
        "dpm-solver++": SamplerSpec("diffusion.samplers.dpm_solver:DpmSolverPlusPlus", "Diffusion", order=2),
        "dpm-solver": SamplerSpec("diffusion.samplers.dpm_solver:DpmSolver", "Diffusion", order=2),
        "unipc": SamplerSpec("diffusion.samplers.unipc:UniPc", "Diffusion", order=2),
        "pndm": SamplerSpec("diffusion.samplers.pndm:Pndm", "Diffusion", order=2),
        "ddim": SamplerSpec("diffusion.samplers.ddim:Ddim", "Diffusion", order=1),
        # runs when speedup is 1, and cannot be chosen: it visits every step
        "ancestral": SamplerSpec(
            "diffusion.samplers.ancestral:Ancestral", "Diffusion", order=1, stochastic=True, selectable=False
        ),
        "euler": SamplerSpec("diffusion.samplers.euler:Euler", "ReFlow", order=1),
        "rk4": SamplerSpec("diffusion.samplers.rk4:RungeKutta4", "ReFlow", order=4, cost=4),
    },
)


def methods(model_type: str) -> tuple[str, ...]:
    """Choices of infer.method for a model of this type; the first is the default."""
    return tuple(name for name, spec in SAMPLERS.items() if spec.selectable and spec.model_type == model_type)


def check_method(method: str, model_type: str) -> str:
    """``method``, or the default of ``model_type`` if it is empty.

    Raises:
        ConfigError: It is unknown, or made for the other type of model.
    """
    choices = methods(model_type)
    if not method or method in choices:
        return method or choices[0]
    hint = ""
    if method in SAMPLERS and SAMPLERS[method].selectable:
        hint = f" ({method} belongs to models of type {SAMPLERS[method].model_type})"
    elif method in SAMPLERS:
        hint = f" ({method} sampling is what speedup 1 does)"
    raise ConfigError(
        f"{method!r} is not a sampling method of {model_type} models; use {', '.join(choices)}{hint}"
    )
