# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A server of OpenAI's chat protocol on loopback that answers as a test wants, and a tiny model of images and text."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)


class ChatServer:
    """
    Answers each request with what `answer` makes of its prompt: a text, a status with an error, or seconds to wait.

    `prompts`, `pictures` (how many) and `keys` are those of the requests so far.
    """

    def __init__(self, answer: Callable[[str], str | int | float]):
        self.answer = answer
        self.prompts: list[str] = []
        self.pictures: list[int] = []
        self.keys: list[str | None] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> "ChatServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler_of(server: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            content = request["messages"][0]["content"]
            prompt = next(part["text"] for part in content if part["type"] == "text")
            server.prompts.append(prompt)
            server.pictures.append(sum(part["type"] == "image_url" for part in content))
            server.keys.append(self.headers["Authorization"])
            said = server.answer(prompt)
            if isinstance(said, float):
                time.sleep(said)
                said = "[]"
            self._send(said) if isinstance(said, str) else self._fail(said)

        def _send(self, text: str) -> None:
            reason = "content_filter" if text == "FILTERED" else "stop"
            message = {"role": "assistant", "content": None if reason == "content_filter" else text}
            choice = {"index": 0, "finish_reason": reason, "message": message}
            body = {"id": "1", "object": "chat.completion", "created": 1, "model": "stub", "choices": [choice]}
            self._write(200, body)

        def _fail(self, status: int) -> None:
            self._write(status, {"error": {"message": f"status {status}", "type": "stub"}})

        def _write(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                pass  # The client has gone away.

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


def write_image_text_model(folder: Path) -> Path:
    """A LLaVA of random weights that speaks in single characters."""
    characters = [chr(code) for code in range(33, 127)]
    words = ["<unk>", "<s>", "</s>", "<image>", "<pad>", "▁", *characters]
    core = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Split("", "isolated")])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
    )  # fmt: skip
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**sizes, image_size=16, patch_size=8),
        text_config=LlamaConfig(**sizes, vocab_size=len(words), num_key_value_heads=2, max_position_embeddings=2048),
        image_token_id=3,
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    template = (
        "{% for message in messages %}{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
    )
    images = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    LlavaProcessor(
        images, tokenizer, patch_size=8, vision_feature_select_strategy="default", chat_template=template,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)  # fmt: skip
    return folder
