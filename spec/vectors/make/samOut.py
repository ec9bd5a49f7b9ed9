"""An oracle for the whole SamOut model, made by PyTorch: logits, loss, gradients, and the parameters after 20 Adam steps.

The model is written here from its definition (docs/samOut.md), with the parameter names of the seed's state_dict.
Writes ../samOut.safetensors: `model.*` the checkpoint, `ids`, `targets`, `logits`, `loss`, `grad.*`, `tokens`
[steps, batch, length + 1] and `after.*`, the parameters after training on them. Everything f32, computed in f32 as torch does.
"""
import pathlib
import torch
from torch import nn
from torch.nn import functional as F
from safetensors.torch import save_file

VOCABULARY, WIDTH, HEADS, LAYERS, PADDING, IGNORED = 300, 16, 4, 2, 259, 3


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.combined = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        for i in range(1, 6):
            setattr(self, f"alpha{i}", nn.Parameter(torch.tensor(0.5)))

    def forward(self, x):
        a, b, c = self.combined(x).split(WIDTH, dim=-1)
        m = c.cummax(dim=1).values
        mixed = self.alpha1 * b + self.alpha2 * m + self.alpha3 * a + self.alpha4 * c
        return mixed + a * m + b * m + c * m + self.alpha5 * m


class FeedForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.ffn1, self.ffn2, self.gate = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, x):
        return self.ffn2(self.ffn1(x) * F.relu(self.gate(x)))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attention, self.ffn, self.layer_norm = Attention(), FeedForward(), nn.LayerNorm(WIDTH)
        self.alpha = nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        return self.layer_norm(self.alpha * self.ffn(self.self_attention(x)) + (1 - self.alpha) * x)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.em = nn.Embedding(VOCABULARY, WIDTH, padding_idx=PADDING)
        self.decoder_layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, ids):
        x = self.em(ids)
        for layer in self.decoder_layers:
            x = layer(x) + x
        return self.head(x)


def loss_of(model, tokens):
    logits = model(tokens[:, :-1])
    return logits, F.cross_entropy(logits.reshape(-1, VOCABULARY), tokens[:, 1:].reshape(-1), ignore_index=IGNORED)


def main():
    torch.manual_seed(7)
    torch.set_num_threads(1)
    model = Model()
    with torch.no_grad():  # scalars away from their start values, so that each one matters
        for name, p in model.named_parameters():
            if p.dim() == 0:
                p.copy_(torch.rand(()) * 1.2 - 0.1)
    out = {f"model.{k}": v.detach().clone() for k, v in model.state_dict().items()}
    tokens = torch.randint(0, VOCABULARY, (20, 3, 14))
    tokens[:, :, ::5] = IGNORED
    tokens[0, 1, :3] = PADDING
    logits, loss = loss_of(model, tokens[0])
    loss.backward()
    out.update(ids=tokens[0][:, :-1].int(), targets=tokens[0][:, 1:].int(), tokens=tokens.int())
    out.update(logits=logits.detach(), loss=loss.detach())
    out.update({f"grad.{k}": p.grad.clone() for k, p in model.named_parameters()})
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    losses = []
    for batch in tokens:
        _, loss = loss_of(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    out["losses"] = torch.stack(losses)
    out.update({f"after.{k}": v.detach().clone() for k, v in model.state_dict().items()})
    path = pathlib.Path(__file__).parent.parent / "samOut.safetensors"
    meta = {"source": f"torch {torch.__version__}, CPU, one thread", "heads": str(HEADS), "paddingIndex": str(PADDING), "ignoreIndex": str(IGNORED), "lr": "0.001"}
    save_file({k: v.contiguous() for k, v in out.items()}, str(path), metadata=meta)
    print(path.name, path.stat().st_size, "bytes; losses", [round(float(x), 4) for x in losses[:3]], float(losses[-1]))


main()
