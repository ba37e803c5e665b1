"""The model of the peers: transformers' encoder with peft, LoRB's adapter files and score heads."""

from collections.abc import Sequence

import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModel, AutoTokenizer, BatchEncoding

from models import Prepared
from workload import domain_name


class ScoringPeftModel:
    """Scores padded batches; each hypothesis names its adapter (peft's `adapter_names`)."""

    def __init__(self, prepared: Prepared, dtype: torch.dtype, num_adapters: int, device: str = "cpu") -> None:
        self._device = device
        self.tokenizer = AutoTokenizer.from_pretrained(prepared.base)
        encoder = AutoModel.from_pretrained(prepared.base, add_pooling_layer=False, dtype=dtype)
        folders = [prepared.version_folder(number) for number in range(num_adapters)]
        self.model = PeftModel.from_pretrained(encoder, folders[0], adapter_name=domain_name(0))
        for number, folder in enumerate(folders[1:], start=1):
            self.model.load_adapter(folder, adapter_name=domain_name(number))
        self.model.to(device, dtype).eval()
        self._active = 0
        heads = [load_file(folder / "head.safetensors") for folder in folders]
        self._head_weights = torch.stack([head["weight"] for head in heads]).to(device)  # [adapters, hidden]
        self._head_biases = torch.stack([head["bias"] for head in heads]).to(device)

    def merge(self) -> torch.nn.Module:
        """Merges the first adapter into the encoder and returns it; this object is unusable afterwards."""
        merged: torch.nn.Module = self.model.merge_and_unload(adapter_names=[domain_name(0)])
        return merged

    def head(self, domain: int) -> tuple[Tensor, Tensor]:
        """A domain's score head: weight [hidden], bias []."""
        return self._head_weights[domain], self._head_biases[domain]

    def score_list(self, texts: Sequence[str], domain: int) -> list[float]:
        """Scores a padded batch with one active adapter, which is faster than naming it. Not thread-safe."""
        if self._active != domain:
            self.model.set_adapter(domain_name(domain))
            self._active = domain
        batch = self._tokenized(texts)
        return self._score(batch["input_ids"], batch["attention_mask"], [domain] * len(texts))

    def score_texts(self, texts: Sequence[str], domains: Sequence[int]) -> list[float]:
        """Scores a padded batch of texts, each with its domain's adapter."""
        batch = self._tokenized(texts)
        return self.score_batch(batch["input_ids"], batch["attention_mask"], domains)

    def score_batch(self, token_ids: Tensor, mask: Tensor, domains: Sequence[int]) -> list[float]:
        """token_ids, mask: [rows, longest]. Returns a score for each row, from its first token."""
        return self._score(token_ids, mask, domains, adapter_names=[domain_name(domain) for domain in domains])

    def _tokenized(self, texts: Sequence[str]) -> BatchEncoding:
        return self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")

    @torch.inference_mode()
    def _score(
        self, token_ids: Tensor, mask: Tensor, domains: Sequence[int], **adapter_names: Sequence[str]
    ) -> list[float]:
        inputs = {"input_ids": token_ids.to(self._device), "attention_mask": mask.to(self._device)}
        states = self.model(**inputs, **adapter_names).last_hidden_state
        which = torch.tensor(domains, device=self._device)
        scores = (states[:, 0].float() * self._head_weights[which]).sum(1) + self._head_biases[which]
        scored: list[float] = scores.tolist()
        return scored
