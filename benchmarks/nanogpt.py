"""nanoGPT's model and training step (Karpathy, 2022, MIT), as published, for its CPU example.

github.com/karpathy/nanoGPT, README, "I only have a macbook": 4 layers, 4 heads, 128 dimensions,
block 64, batch 12, no dropout, no biases, not compiled. Written again from what model.py and
train.py do; nothing is made faster or slower.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

LAYERS, HEADS, WIDTH, BLOCK, BATCH = 4, 4, 128, 64, 12
STEPS, PEAK, LEAST, WARMUP = 2000, 1e-3, 1e-4, 100


class LayerNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return functional.layer_norm(x, self.weight.shape, self.weight, None, 1e-5)


class CausalSelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_attn = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.c_proj = nn.Linear(WIDTH, WIDTH, bias=False)
        self.resid_dropout = nn.Dropout(0.0)

    def forward(self, x):
        rows, length, width = x.size()
        q, k, v = self.c_attn(x).split(WIDTH, dim=2)
        k = k.view(rows, length, HEADS, width // HEADS).transpose(1, 2)
        q = q.view(rows, length, HEADS, width // HEADS).transpose(1, 2)
        v = v.view(rows, length, HEADS, width // HEADS).transpose(1, 2)
        y = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=None, dropout_p=0, is_causal=True
        )
        y = y.transpose(1, 2).contiguous().view(rows, length, width)
        return self.resid_dropout(self.c_proj(y))


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_fc = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.gelu = nn.GELU()
        self.c_proj = nn.Linear(4 * WIDTH, WIDTH, bias=False)
        self.dropout = nn.Dropout(0.0)

    def forward(self, x):
        return self.dropout(self.c_proj(self.gelu(self.c_fc(x))))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.attn = LayerNorm(WIDTH), CausalSelfAttention()
        self.ln_2, self.mlp = LayerNorm(WIDTH), MLP()

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self, words):
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(words, WIDTH),
                "wpe": nn.Embedding(BLOCK, WIDTH),
                "drop": nn.Dropout(0.0),
                "h": nn.ModuleList([Block() for _ in range(LAYERS)]),
                "ln_f": LayerNorm(WIDTH),
            }
        )
        self.lm_head = nn.Linear(WIDTH, words, bias=False)
        self.transformer.wte.weight = self.lm_head.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                deep = name.endswith("c_proj.weight")
                nn.init.normal_(parameter, 0.0, 0.02 / math.sqrt(2 * LAYERS) if deep else 0.02)

    def forward(self, ids, targets):
        at = torch.arange(0, ids.size(1), dtype=torch.long)
        x = self.transformer.drop(self.transformer.wte(ids) + self.transformer.wpe(at))
        for block in self.transformer.h:
            x = block(x)
        logits = self.lm_head(self.transformer.ln_f(x))
        return functional.cross_entropy(
            logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1
        )

    def optimizer(self):
        parameters = list(self.parameters())
        groups = [
            {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": 0.1},
            {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
        ]
        # train.py asks for the fused one on CUDA only.
        return torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.99))


class Loop:
    """train.py's loop for one process on a CPU, without its logging to files."""

    def __init__(self, data, seed):
        torch.manual_seed(seed)
        self.data, self.at = data, 0
        self.model = GPT(int(data.max()) + 1)
        self.optimizer = self.model.optimizer()
        self.batch = self.draw()

    def draw(self):
        starts = torch.randint(len(self.data) - BLOCK, (BATCH,))
        x = torch.stack(
            [torch.from_numpy(self.data[i : i + BLOCK].astype(np.int64)) for i in starts]
        )
        y = torch.stack(
            [torch.from_numpy(self.data[i + 1 : i + 1 + BLOCK].astype(np.int64)) for i in starts]
        )
        return x, y

    def step(self):
        for group in self.optimizer.param_groups:
            group["lr"] = nanogpt_rate(self.at)
        loss = self.model(*self.batch)
        self.batch = self.draw()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.at += 1
        return loss.item()


def nanogpt_rate(at):
    """get_lr of train.py."""
    if at < WARMUP:
        return PEAK * (at + 1) / (WARMUP + 1)
    if at > STEPS:
        return LEAST
    ratio = (at - WARMUP) / (STEPS - WARMUP)
    return LEAST + 0.5 * (1.0 + math.cos(math.pi * ratio)) * (PEAK - LEAST)
