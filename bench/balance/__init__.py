"""How the tasks' losses become one step: equal weights, weighted losses (scalarizers) or combined gradients (aggregators).

Adapter: one convention for all, scaled so that orthogonal gradients of one length give their mean (CAGrad: 1 + c times
it, as in its paper), so that step size, clipping and weight decay mean the same under each. Gradients are those of all parameters
before the heads, gates among them, from one forward pass; under an aggregator and GradNorm a head keeps the gradient of its own
task as equal weights would give it. A task without a known label in the batch takes no part. With one task all of them are plain
training.

Where a paper looks elsewhere than at all shared parameters, so does the balance, and one backward pass of the weighted losses gives
the step: GradNorm at the last shared layer, here the sharing block; MGDA (Sener & Koltun, NeurIPS 2018, MGDA-UB), IMTL-G and, on
request, Aligned-MTL (its UB variant) at the shared features, here the encoder's vectors. Networks that learn nothing there are
compared on all shared parameters. Nash-MTL's authors found features much worse.

Departures: the maths is TorchJD's, but for fixed weights, GradNorm and Nash-MTL: TorchJD's constant weights cannot leave a task
out of a batch, it has no GradNorm, and its Nash-MTL keeps the weights of the step before, at first all ones, where its solver
fails. Of TorchJD are left out: what stands here under another name (mean, sum, constant), what is made against faulty workers
(Krum, trimmed mean), PCD, which ranks the tasks, and what wants several batches a step (MoDo, SDMGrad) or another weighting
inside (CR-MOGM).

A solver that is not installed is an error at start.
"""

from bench.balance.steps import Balance, Equal, plus

__all__ = ["Balance", "check", "make", "plus"]


def make(text: str, tasks: int) -> Balance:
    """`equal`, `fixed+1+2+1` (a weight a task) or a name with options, `cagrad+c=0.5`. BenchError in words for anything else."""
    if text == "equal":
        return Equal()
    from bench.balance import catalog  # TorchJD and its solvers take a third of a second to load

    return catalog.make(text, tasks)


def check(text: str) -> None:
    """BenchError unless `text` can be made: known, with known options in range, its solver installed."""
    if text != "equal":
        from bench.balance import catalog

        catalog.check(text)
