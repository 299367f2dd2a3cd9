"""Adam with a learning rate for each row."""

import torch


class RowAdam:
    """Adam (Kingma & Ba 2015, algorithm 1) on a matrix whose rows are problems of their own.

    torch.optim.Adam has one learning rate for a tensor. Here each row has its own, and rows can be taken out.

    Args:
        x: `[N, F]`, changed in place.
    """

    def __init__(self, x, betas=(0.9, 0.999), epsilon=1e-8):
        self.betas, self.epsilon, self.steps = betas, epsilon, 0
        self.first, self.second = torch.zeros_like(x), torch.zeros_like(x)

    def step(self, x, gradient, rates):
        """Move `x` against `gradient` `[N, F]`, each row at its rate: list of N numbers."""
        beta1, beta2 = self.betas
        self.steps += 1
        self.first.lerp_(gradient, 1 - beta1)
        self.second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        size = (self.second / (1 - beta2**self.steps)).sqrt_().add_(self.epsilon)
        rates = torch.tensor([-rate / (1 - beta1**self.steps) for rate in rates], dtype=x.dtype, device=x.device)
        x.addcdiv_(self.first * rates[:, None], size)

    def keep(self, rows):
        """Forget all rows but `rows`, a tensor of row numbers."""
        self.first, self.second = self.first[rows], self.second[rows]

    def state_dict(self):
        return {"steps": self.steps, "first": self.first.clone(), "second": self.second.clone()}

    def load_state_dict(self, state):
        self.steps = state["steps"]
        self.first, self.second = (state[name].to(self.first.device).clone() for name in ("first", "second"))
