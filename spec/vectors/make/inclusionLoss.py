"""Vectors for inclusionLoss, made by PyTorch and its autograd in f64: sorting, then the formulas."""
import math
import torch
from lib import case, named, write

torch.manual_seed(11)
notes = {"Nll": "probability to be selected, given the noise of the others", "Soft": "a relaxed inclusion", "Hinge": "a margin above the k-th score", "Forced": "no loss, a report", "Perturbed": "selection and threshold by perturbed scores, gradient to both",
         "Constant": "no gradient through the threshold", "All": "fewer than k others: loss 0", "Skipped": "ignored rows and targets with score -Infinity", "Far": "targets far above and below the threshold"}
cases = []

def add(name, flags, scores, targets, k, form="nll", perturbed=None, margin=1.0, stop=False):
    ts = scores.double().requires_grad_(True)
    tp = None if perturbed is None else perturbed.double().requires_grad_(True)
    by = ts if tp is None else tp
    losses, included, threshold, rival = [], [], [], []
    for r, y in enumerate(targets.tolist()):
        if y == -1 or scores[r, y] == -math.inf:
            included.append(-1); threshold.append(-math.inf); rival.append(-1)
            continue
        order = sorted(range(scores.shape[1]), key=lambda i: (-by[r, i].item(), i))
        inside = y in order[:k]
        included.append(int(inside))
        others = order if form == "hinge" else [i for i in order if i != y]
        at = others[k - 1] if len(others) >= k and form in ("nll", "hinge") and by[r, others[k - 1]] > -math.inf else -1
        rival.append(at)
        threshold.append(by[r, at].item() if at >= 0 else -math.inf)
        kappa = None if at < 0 else by[r, at].detach() if stop else by[r, at]
        zero = ts[r, y] * 0
        if form == "soft": losses.append(-torch.log(ts[r, y]))
        elif form == "forced" or at < 0: losses.append(zero)
        elif form == "hinge": losses.append(torch.relu(margin + kappa - ts[r, y]))
        else: losses.append(-torch.log(-torch.expm1(-torch.exp(ts[r, y] - kappa))))
    loss = torch.stack(losses).mean() if losses else torch.zeros(()).double()
    opts = {"k": k, "form": form, "margin": margin, "stopThreshold": stop}
    given = {"scores": scores, "targets": named(targets.int(), "i32")}
    if perturbed is not None: given["perturbed"] = perturbed
    out = {"count": named(torch.tensor(len(losses)), "i32"), "threshold": torch.tensor(threshold), "rival": named(torch.tensor(rival), "i32")}
    cases.append(case("inclusionLoss", name, flags, given, {"loss": loss.detach().float(), "included": named(torch.tensor(included), "i32"), **out}, opts))
    if not losses: return
    grads = torch.autograd.grad(loss * 0.75, [ts] + ([tp] if tp is not None else []), allow_unused=True)
    g = [torch.zeros_like(scores) if v is None else v.float() for v in grads]
    cases.append(case("inclusionLossBackward", name + ", gradient", flags, {"dLoss": torch.tensor(0.75), **given, **out}, {"dScores": g[0], **({"dPerturbed": g[1]} if tp is not None else {})}, opts))

r = torch.randn
y = torch.tensor([0, 4, 2])
add("nll of the scores", ["Nll"], r(3, 6), y, 2)
add("nll of perturbed scores", ["Nll", "Perturbed"], r(3, 6), y, 2, perturbed=r(3, 6) * 2)
add("nll, a constant threshold", ["Nll", "Constant"], r(3, 6), y, 2, stop=True)
add("nll, far targets", ["Nll", "Far"], torch.tensor([[20.0, 0, 1], [-30.0, 0, 1], [2.0, 0, 1]]), torch.zeros(3, dtype=torch.long), 1)
add("hinge", ["Hinge"], r(3, 6), y, 2, "hinge")
add("hinge, a wide margin", ["Hinge"], r(3, 6), y, 4, "hinge", margin=3.0)
add("soft", ["Soft", "Perturbed"], torch.rand(3, 6) * 0.9 + 0.05, y, 2, "soft", perturbed=r(3, 6))
add("forced", ["Forced", "Perturbed"], r(3, 6), y, 2, "forced", perturbed=r(3, 6))
add("all are selected", ["All", "Nll"], r(2, 3), torch.tensor([0, 2]), 3)
masked = r(3, 5)
masked[1, 3] = -math.inf
add("skipped rows", ["Skipped", "Nll"], masked, torch.tensor([-1, 3, 0]), 2)
add("every row skipped", ["Skipped"], r(2, 3), torch.tensor([-1, -1]), 1)
few = torch.full((1, 4), -math.inf)
few[0, 1:3] = torch.tensor([0.5, 1.0])
add("fewer that take part than k", ["All", "Nll"], few, torch.tensor([1]), 2)
write("inclusionLoss", notes, cases)
