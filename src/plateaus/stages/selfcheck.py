"""selfcheck: before a stage uses a model, compare what the stages use of it with the model itself.

The stages rely on formulas: how a block combines its parts, closed-form Jacobians, a cached prefix. A model for which
one of them does not hold is refused, with one line that says what is wrong, before any table is written.

The check is not a rule of the workflow, because every stage depends on its result but none on its code: a rule would
compute everything again after an edit to a Jacobian's formula. The first job that needs a model checks it, the others
wait and then read the table. After an edit to the code or to how the model is loaded, the next job checks it again.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from filelock import FileLock

from plateaus.data import tables
from plateaus.data.canonical import digest
from plateaus.data.results import table_path
from plateaus.data.schemas import QUANTITIES
from plateaus.errors import InputError
from plateaus.mechanism import reference
from plateaus.mechanism import selfcheck as checks
from plateaus.mechanism.selfcheck import Error
from plateaus.model import branches, loading
from plateaus.model.transformer import Transformer
from plateaus.prompts.lengths import check_lengths
from plateaus.prompts.pairs import Pair, tokenise_with_file
from plateaus.run.code_inputs import code_digest
from plateaus.sources.quiet import go_offline, quiet_libraries
from plateaus.stages.job import Job

LAYER = 0
"""The interpolation layer of the path on which the model is checked."""


def ensure(job: Job) -> None:
    """Check the model of a job, unless it has been checked in this run with the same code, weights and reading.

    Raises:
        InputError: the model cannot be run in the way that the stages need, or a quantity is not what the model itself
            computes; the message names the model, its architecture, the layer, the quantity and the error.
    """
    path = table_path(job.root, job.model, tables.SELFCHECK, "all")
    read = {"centre": job.slice["centre"], "bos": job.slice["bos"], "pair": job.extra["check"]}
    made_from = {**job.metadata(), "parameters": digest(read), "code": code_digest("selfcheck")}
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(".lock")):
        if path.is_file() and tables.metadata_of(path).items() >= made_from.items():
            return
        go_offline()
        torch.set_num_threads(job.threads)
        found = _checked(job)
        columns = {column: [getattr(error, column) for error in found] for column in tables.SELFCHECK.columns}
        tables.write(path, tables.SELFCHECK, columns, made_from)


def _checked(job: Job) -> list[Error]:
    name = f"model {job.model} ({job.architecture()})"
    advice = "so its numbers could not be trusted and it is refused: please report it if it should work"
    try:
        found = measure(job)
    except InputError as error:
        raise InputError(f"{name}: {error}, {advice}") from error
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "memory" in str(error):
            raise
        raise InputError(f"{name}: its blocks cannot be run one by one after a prefix, {advice}") from error
    wrong = refusal(found)
    if wrong is not None:
        raise InputError(f"{name}: {wrong}, {advice}")
    worst = max(found, key=lambda one: one.error)
    job.progress(f"the largest error is {worst.error:.1g} ({QUANTITIES[worst.quantity]}, layer {worst.layer})")
    return found


def measure(job: Job) -> list[Error]:
    """Return all errors of the model, on the path between the two prompts of the pair that the run chose for this.

    The model is loaded twice, one after the other: as transformers has it, and as the stages use it.
    """
    pair = Pair(*job.extra["check"])
    (tokenised,) = tokenise_with_file([pair], job.model_folder / "tokenizer.json", job.model, job.slice["bos"])
    check_lengths([tokenised], job.model_folder, job.model)
    ids = ([*tokenised.prefix, tokenised.token_a], [*tokenised.prefix, tokenised.token_b])
    device = loading.pick_device(job.device)
    job.progress("checking the model: running it as it is")
    with quiet_libraries():
        plain = loading.plain_in_float32(job.model_folder, device)
    expected = reference.along_path(
        plain, ids, layer=LAYER, path="spherical", name=f"pair '{pair.id}', layer {LAYER}", seed=0
    )
    del plain
    job.progress("checking the model: comparing what the stages use")
    model = Transformer.load(job.model_folder, device=job.device, centre=job.slice["centre"])
    # Only a model with LayerNorm can be centred: one with RMSNorm is left as it is.
    centred = job.slice["centre"] and branches.norm_of(model.bridge.ln_final, model.d_model, expected.path).centred
    return list(checks.errors(model, expected, ids, centred=centred, memory_gb=job.memory_gb))


def refusal(errors: Iterable[Error]) -> str | None:
    """Return what is wrong with the model, or None if no error is above its tolerance.

    The first block that is wrong is named: its error is the cause, and those of later blocks may be consequences.
    """
    wrong = next((error for error in errors if error.fails), None)
    if wrong is None:
        return None
    return (
        f"in layer {wrong.layer}, {QUANTITIES[wrong.quantity]} is off by {wrong.error:.2g} from what the model itself "
        f"computes (at most {wrong.tolerance:g} is allowed)"
    )
