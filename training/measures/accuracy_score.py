"""The classification accuracy score: what a classifier that learned from samples reads of real pictures.

Ravuri and Vinyals, Classification accuracy score for conditional generative models, NeurIPS 2019.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from service.bundle import Metric
from training.data import Images
from training.images.augmentation import shifted
from training.measures.evaluation import proportion
from training.schedule import one_cycle

EPOCHS, BATCH = 10, 128


def accuracy_score(samples: Images, real: Images, test: Images) -> Metric:
    """On the test pictures, beside that of as many real ones; all are moved by up to a pixel while it learns."""
    right, rightly = (_right(rows, test) for rows in (samples, real))
    return proportion(
        "classification accuracy score",
        right,
        len(test),
        description=f"by a network trained on {len(samples):,} samples; on as many training pictures "
        f"{rightly / len(test):.4f}",
    )


def _right(rows: Images, test: Images) -> int:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = _trained(*_tensors(rows))
    pictures, labels = _tensors(test)
    with torch.no_grad():
        scores = torch.cat([network.eval()(part) for part in torch.split(pictures, 1000)])
    return int((scores.argmax(1) == labels).sum())


def _tensors(rows: Images) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(rows.pixels).float()[:, None] / 255, torch.from_numpy(rows.labels)


def _trained(pictures: Tensor, labels: Tensor) -> nn.Module:
    network = nn.Sequential(
        *(nn.Conv2d(1, 32, 5, 2), nn.ReLU(), nn.Conv2d(32, 64, 3, 2), nn.ReLU(), nn.Flatten()),
        *(nn.Dropout(0.4), nn.Linear(1600, 128), nn.ReLU(), nn.Dropout(0.4), nn.Linear(128, 10)),
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    scheduler = one_cycle(optimizer, epochs=EPOCHS, rows=len(labels), batch=BATCH)
    for _ in range(EPOCHS):
        for rows in torch.split(torch.randperm(len(labels)), BATCH):
            optimizer.zero_grad()
            seen = shifted(pictures[rows, 0], reach=1)[:, None]
            F.cross_entropy(network(seen), labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            scheduler.step()
    return network
