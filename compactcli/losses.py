"""What training minimises: pure functions of logits and targets."""

import torch
from torch import nn
from torch.nn import functional

from compactcli.mixing import Batch
from compactcli.recipe import OptimisationConfig


def pool_tags(event_logits: torch.Tensor) -> torch.Tensor:
    """Clip logits of events: the logarithm of the mean over time of ``exp(logit)``.

    Between mean and maximum: a short event counts, a long one counts more.

    Args:
        event_logits: Shape ``(batch, n_output_frames, n_events)``.

    Returns:
        Shape ``(batch, n_events)``.
    """
    n_frames = torch.tensor(float(event_logits.shape[1]), device=event_logits.device)
    return event_logits.logsumexp(dim=1) - n_frames.log()


def pool_presence(probabilities: torch.Tensor) -> torch.Tensor:
    """Clip probabilities of events: frame probabilities averaged with themselves as weights.

    Args:
        probabilities: Shape ``(batch, n_output_frames, n_events)``, in [0, 1].

    Source:
        Linear softmax pooling, Wang, Li, Metze, "A comparison of five multiple instance learning
        pooling functions for sound event detection", ICASSP 2019, eq. 5.
    """
    return probabilities.square().sum(dim=1) / (probabilities.sum(dim=1) + 1e-6)


def share_entropy(logits: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Cross-entropy against shares of classes; clips whose shares are all zero count for nothing."""
    per_clip = -(shares * functional.log_softmax(logits, dim=1)).sum(dim=1)
    return per_clip.sum() / shares.sum().clamp(min=1.0)


def masked_binary_entropy(logits: torch.Tensor, targets: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy summed over classes, averaged over the frames, where targets are known."""
    loss = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none") * known
    return loss.sum(dim=-1).mean()


class TeacherHeads(nn.Module):
    """Heads that imitate the teacher during training and are thrown away afterwards.

    Args:
        embedding_size: Width of the network's frame embedding.
        n_classes: Classes of the teacher.
        teacher_size: Width of the teacher's embedding.
    """

    def __init__(self, embedding_size: int, n_classes: int, teacher_size: int) -> None:
        super().__init__()
        self.classes = nn.Linear(2 * embedding_size, n_classes)
        self.embedding = nn.Linear(2 * embedding_size, teacher_size)
        nn.init.constant_(self.classes.bias, -4.0)

    def forward(self, embedding: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Teacher logits and embedding from frame embeddings ``(batch, embedding_size, n_output_frames)``."""
        pooled = torch.cat([embedding.mean(dim=2), embedding.amax(dim=2)], dim=1)
        return self.classes(pooled), self.embedding(pooled)


def training_losses(
    scene_logits: torch.Tensor,
    event_logits: torch.Tensor,
    taught: tuple[torch.Tensor, torch.Tensor],
    batch: Batch,
    weights: OptimisationConfig,
) -> dict[str, torch.Tensor]:
    """All losses of a batch, weighted; their sum is what the optimiser sees.

    Args:
        scene_logits: Shape ``(batch, n_output_frames, n_scenes)``.
        event_logits: Shape ``(batch, n_output_frames, n_events)``.
        taught: Outputs of `TeacherHeads`.
        batch: Targets.
        weights: Weight of each loss.
    """
    presence = pool_presence(event_logits.sigmoid()).clamp(1e-5, 1 - 1e-5)
    weak = functional.binary_cross_entropy(presence, batch.present, reduction="none") * batch.present_known
    teacher = functional.binary_cross_entropy_with_logits(taught[0], batch.teacher, reduction="none").mean(dim=1)
    embedding = (taught[1] - batch.embedding).square().mean(dim=1)
    n_taught = batch.taught.sum().clamp(min=1.0)
    return {
        "frame": weights.frame_weight * masked_binary_entropy(event_logits, batch.frames, batch.known),
        "tag": weights.tag_weight * share_entropy(pool_tags(event_logits), batch.tags),
        "weak": weights.weak_weight * weak.sum(dim=1).mean(),
        "scene": weights.scene_weight * share_entropy(scene_logits.mean(dim=1), batch.scenes),
        "teacher": weights.teacher_weight * (teacher * batch.taught).sum() / n_taught,
        "embedding": weights.embedding_weight * (embedding * batch.taught).sum() / n_taught,
    }
