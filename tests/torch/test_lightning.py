"""The module within Lightning: training, checkpoints, a resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.torch.examples import has_lightning

if not has_lightning():
    pytest.skip("needs Lightning", allow_module_level=True)

import lightning
from torch.utils.data import DataLoader

import eventsnn as es
from eventsnn.torch import CountLoss, EventDataset, SpikingNetwork, collate
from tests.train.toy import toy_data, toy_network

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # on the number of workers


class Classifier(lightning.LightningModule):
    def __init__(self, network: es.Network) -> None:
        super().__init__()
        self.spiking = SpikingNetwork(network, threads=2)
        self.loss, self.losses = CountLoss(8, 1, 1), []

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        spikes, labels = batch
        loss = self.loss(self.spiking(spikes, labels), labels)
        self.losses.append(float(loss.detach()))
        return loss

    def validation_step(self, batch: Any, _: int) -> None:
        spikes, labels = batch
        right = (self.spiking(spikes).argmax(1) == labels).float().mean()
        self.log("valid_accuracy", right, batch_size=len(labels))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.02)


def make_trainer(folder: Path, epochs: int) -> Any:
    silent = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return lightning.Trainer(
        accelerator="cpu", max_epochs=epochs, default_root_dir=folder, log_every_n_steps=1, **silent
    )


@pytest.fixture
def loaders() -> tuple[DataLoader, DataLoader]:
    training, validation = (EventDataset(toy_data(24, seed), toy_network()) for seed in (0, 100))
    return DataLoader(training, 6, collate_fn=collate), DataLoader(validation, 6, collate_fn=collate)


@pytest.mark.parametrize("ahead", [False, True])
def test_learns_and_goes_on_from_a_checkpoint(tmp_path, loaders, ahead):
    training, validation = loaders

    def fit(model: Classifier, epochs: int, checkpoint: Path | None = None) -> Any:
        trainer = make_trainer(tmp_path, epochs)
        loader = model.spiking.read_ahead(training) if ahead else training
        trainer.fit(model, loader, validation, ckpt_path=checkpoint, weights_only=False)
        return trainer

    whole = Classifier(toy_network())
    found = fit(whole, 4)
    assert len(whole.losses) == 16
    assert sum(whole.losses[-4:]) < sum(whole.losses[:4])
    assert found.callback_metrics["valid_accuracy"] > 0.8

    half, rest = Classifier(toy_network()), Classifier(toy_network(seed=9))
    fit(half, 2).save_checkpoint(tmp_path / "half.ckpt")
    fit(rest, 4, tmp_path / "half.ckpt")
    assert rest.losses == whole.losses[8:]
    state = rest.state_dict()
    assert all(torch.equal(each, state[key]) for key, each in whole.state_dict().items())
    # What was trained is a network like any other.
    network = rest.spiking.to_network()
    assert es.evaluate(network, toy_data(24, 100)).accuracy == found.callback_metrics["valid_accuracy"]
