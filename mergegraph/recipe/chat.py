"""Chat templates that a recipe may name: how some families of models write a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

TEMPLATES: Mapping[str, str] = MappingProxyType(
    {
        "chatml": (
            "{% for message in messages %}"
            "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
            "{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
        ),
        "llama3": (
            "{{ bos_token }}{% for message in messages %}"
            "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
            "{{ message['content'] | trim }}{{ '<|eot_id|>' }}"
            "{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
        ),
        "mistral": (
            "{{ bos_token }}{% set first = namespace(text='') %}{% for message in messages %}"
            "{% if message['role'] == 'system' %}{% set first.text = message['content'] + '\\n\\n' %}"
            "{% elif message['role'] == 'user' %}{{ ' [INST] ' + first.text + message['content'] + ' [/INST]' }}"
            "{% set first.text = '' %}"
            "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}"
            "{% endfor %}"
        ),
        "alpaca": (
            "{{ bos_token }}{% for message in messages %}"
            "{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}"
            "{% elif message['role'] == 'user' %}{{ '### Instruction:\\n' + message['content'] + '\\n\\n' }}"
            "{% else %}{{ '### Response:\\n' + message['content'] + eos_token + '\\n\\n' }}{% endif %}"
            "{% endfor %}"
            "{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}"
        ),
        "exaone": (
            "{% for message in messages %}"
            "{% if loop.first and message['role'] != 'system' %}{{ '[|system|][|endofturn|]\\n' }}{% endif %}"
            "{{ '[|' + message['role'] + '|]' + message['content'] }}"
            "{% if message['role'] != 'user' %}{{ '[|endofturn|]' }}{% endif %}{{ '\\n' }}"
            "{% endfor %}"
            "{% if add_generation_prompt %}{{ '[|assistant|]' }}{% endif %}"
        ),
    }
)
"""The templates by name."""
