# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Language models that see pictures: behind an endpoint of OpenAI's protocol, or run by transformers."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from transformers import AutoConfig, pipeline

from ..models.checked_loading_univa import check_finite, forget_runtime_settings
from ..models.files_univa import one_line


__all__ = ["ChatError", "ChatModel", "EndpointChat", "PipelineChat", "Reply"]

# The client does not do without a key, and would take that of the environment.
_NO_KEY = "none"


class ChatError(RuntimeError):
    """There is no answer."""


@dataclass(frozen=True)
class Reply:
    """
    An answer.

    Args:
        text: what the model says.
        refused: whether a filter of the server held it back.
    """

    text: str
    refused: bool = False


class ChatModel(Protocol):
    """A model that answers a prompt about pictures."""

    name: str
    revision: str | None

    def ask(self, prompt: str, pictures: Sequence[np.ndarray]) -> Reply:
        """
        Ask, with greedy decoding.

        Args:
            prompt: what is asked.
            pictures: what is shown before it, uint8 `(height, width, 3)`, RGB.

        Raises:
            ChatError: there is no answer, after some tries where trying again may help.
        """


class EndpointChat:
    """
    A model behind any server of OpenAI's chat protocol (vLLM, TGI, llama.cpp, a provider).

    What may pass (timeouts, too many requests, a server's own errors) is tried again by OpenAI's client, with growing
    pauses.

    Args:
        url: of the endpoint, to which `/chat/completions` is added.
        model: what the server calls the model.
        key: for the server; by default none is sent, whatever the environment has.
        timeout: for an answer, in seconds.
        max_tokens: longest answer.
        retries: tries after the first.

    Raises:
        ImportError: the package openai is not installed.
    """

    revision: str | None = None

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None = None,
        timeout: float = 120.0,
        max_tokens: int = 256,
        retries: int = 3,
    ):
        try:
            import openai
        except ImportError as error:
            raise ImportError('an endpoint needs the package openai: pip install "univa[zero-shot]"') from error
        self.name, self.max_tokens = model, max_tokens
        self._client = openai.OpenAI(base_url=url, api_key=key or _NO_KEY, timeout=timeout, max_retries=retries)
        self._error = openai.OpenAIError

    def ask(self, prompt: str, pictures: Sequence[np.ndarray]) -> Reply:
        """See [`ChatModel.ask`]."""
        shown = [{"type": "image_url", "image_url": {"url": _data_url(picture)}} for picture in pictures]
        messages: Any = [{"role": "user", "content": [*shown, {"type": "text", "text": prompt}]}]
        try:
            answer = self._client.chat.completions.create(
                messages=messages, model=self.name, temperature=0.0, max_tokens=self.max_tokens
            )
        except (self._error, ValueError) as error:
            raise ChatError(one_line(error)) from error
        choices = getattr(answer, "choices", None)
        if not choices:
            raise ChatError("the server's answer has no choices")
        message = choices[0].message
        refused = choices[0].finish_reason == "content_filter" or bool(getattr(message, "refusal", None))
        return Reply(message.content or "", refused)


class PipelineChat:
    """
    A model of transformers that takes pictures and text (LLaVA, Qwen-VL, Gemma, …).

    Args:
        model: folder or Hub id.
        revision: branch, tag or commit on the Hub.
        device: where to run; a GPU where there is one by default.
        max_tokens: longest answer.

    Raises:
        ValueError: there is no such model, or it does not answer about pictures.
    """

    def __init__(self, model: str, revision: str | None = None, device: Any = None, max_tokens: int = 256):
        self.name, self.revision, self.max_tokens = model, revision, max_tokens
        try:
            config = AutoConfig.from_pretrained(model, revision=revision or "main", trust_remote_code=False)
            # Not checked against the limits of this package: language models may well be larger.
            forget_runtime_settings(config)
            self._pipeline: Any = pipeline(
                "image-text-to-text", model, config=config, revision=revision, device=device, trust_remote_code=False
            )
            check_finite(model, self._pipeline.model)
        except (OSError, ValueError, KeyError) as error:
            reason = one_line(error)
            raise ValueError(f"{model} could not be loaded as a model of images and text: {reason}") from error

    def ask(self, prompt: str, pictures: Sequence[np.ndarray]) -> Reply:
        """See [`ChatModel.ask`]."""
        from PIL import Image

        content = [{"type": "image", "image": Image.fromarray(picture)} for picture in pictures]
        messages = [{"role": "user", "content": [*content, {"type": "text", "text": prompt}]}]
        greedy = {"do_sample": False, "max_new_tokens": self.max_tokens}
        try:
            (answer,) = self._pipeline(text=messages, return_full_text=False, generate_kwargs=greedy)
        except (RuntimeError, ValueError) as error:
            raise ChatError(one_line(error)) from error
        return Reply(answer["generated_text"])


def _data_url(picture: np.ndarray) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
