"""A linear-chain conditional random field whose annotation may be partial.

Lafferty et al. (2001); partial labels after Tsuboi et al. (2008): the likelihood of all sequences that the
annotation leaves open.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.recognition.tags import TAGS, transitions

_NEVER = -1e4
_LEAST = 1e-30


class LinearChain(nn.Module):
    """Scores of tag sequences: emissions plus learnt transitions; sequences that are no mentions have none.

    A sequence may begin and end anywhere in a mention, since windows do.
    """

    forbidden: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(TAGS, TAGS))
        self.register_buffer("forbidden", ~torch.from_numpy(transitions()), persistent=False)

    def loss(self, emissions: Tensor, mask: Tensor, allowed: Tensor) -> Tensor:
        """Negative log likelihood of each row, (batch,).

        `emissions` (batch, words, TAGS), `mask` (batch, words) true where a word is, `allowed` as emissions,
        true for the tags that the annotation leaves open (at least one a word).
        """
        open_only = emissions.masked_fill(~allowed, _NEVER)
        both = self._log_sum(torch.cat([emissions, open_only]), torch.cat([mask, mask]))
        everything, possible = both.chunk(2)
        return everything - possible

    def decode(self, emissions: Tensor, mask: Tensor) -> list[list[int]]:
        """The best sequence of each row (Viterbi)."""
        scores = self._scores()
        best = emissions[:, 0]
        back: list[Tensor] = []
        for place in range(1, emissions.shape[1]):
            value, source = (best.unsqueeze(2) + scores).max(dim=1)
            present = mask[:, place].unsqueeze(1)
            best = torch.where(present, value + emissions[:, place], best)
            back.append(torch.where(present, source, torch.arange(TAGS, device=source.device)))
        last = best.argmax(dim=1)
        path = [last]
        for source in reversed(back):
            last = source.gather(1, last.unsqueeze(1)).squeeze(1)
            path.append(last)
        tags = torch.stack(path[::-1], dim=1).tolist()
        return [row[:length] for row, length in zip(tags, mask.sum(1).tolist(), strict=True)]

    def _scores(self) -> Tensor:
        return self.weights.masked_fill(self.forbidden, _NEVER)

    def _log_sum(self, emissions: Tensor, mask: Tensor) -> Tensor:
        ways = self._scores().exp()
        alpha = emissions[:, 0]
        for place in range(1, emissions.shape[1]):
            top = alpha.amax(dim=1, keepdim=True).detach()
            stepped = ((alpha - top).exp() @ ways).clamp_min(_LEAST).log() + top + emissions[:, place]
            alpha = torch.where(mask[:, place].unsqueeze(1), stepped, alpha)
        return torch.logsumexp(alpha, dim=1)
