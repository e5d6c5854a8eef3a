"""PyTorch eager as a peer of `kc bench --peer`: the model of frontend/examples/mnist_mlp.rs.

Reads lines `ENTRY BATCH_SIZE CALLS`, answers each with the seconds that the calls took, or with `unknown`.
"""

import argparse
import sys
import time

import torch
from torch import nn


class Classifier:
    def __init__(self):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10))
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.001)
        # What Keras keeps beside the weights: running sums of the loss and of the accuracy.
        self.totals = torch.zeros(2)
        self.count = 0

    def train_step(self, images, labels):
        self.model.train()
        self.optimizer.zero_grad()
        logits = self.model(images)
        loss = self.loss(logits, labels)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            correct = (logits.argmax(-1) == labels).sum()
            self.totals += torch.stack([loss * len(labels), correct])
            self.count += len(labels)

    def predict(self, images, labels):
        self.model.eval()
        with torch.inference_mode():
            return torch.softmax(self.model(images), -1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    print(f"torch {torch.__version__} eager", flush=True)
    for line in sys.stdin:
        entry, batch_size, calls = line.split()
        classifier = Classifier()
        step = getattr(classifier, entry, None) if entry in ("train_step", "predict") else None
        if step is None:
            print("unknown", flush=True)
            continue
        images = torch.rand(int(batch_size), 28, 28)
        labels = torch.randint(10, (int(batch_size),))
        start = time.perf_counter()
        for _ in range(int(calls)):
            step(images, labels)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
