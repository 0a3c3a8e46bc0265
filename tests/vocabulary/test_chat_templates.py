"""Chat templates: taken from a model, by a name, as a text, or the one most models have; never rendered."""

import json

import pytest
from merging import compilation, run
from tokenized import bpe, settings, write_model
from transformers import AutoTokenizer

from mergegraph.diagnostics import MergeGraphError, render

HOSTILE = "{{ ''.__class__.__mro__ }}{% for m in messages %}a\r\n{{ m.content }}{% endfor %}"
PLAIN = "{% for m in messages %}b{{ m.content }}{% endfor %}"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Write four models of one vocabulary: two keep their template in a file, one in the settings, one has none."""
    folder = tmp_path_factory.mktemp("chat")
    for seed, name in enumerate("abcd"):
        write_model(folder / name, bpe(), seed, bos_token="<s>", eos_token="</s>")
    (folder / "a" / "chat_template.jinja").write_bytes(HOSTILE.encode())
    (folder / "b" / "chat_template.jinja").write_text(PLAIN)
    path = folder / "c" / "tokenizer_config.json"
    path.write_text(json.dumps(settings(folder / "c", path.name) | {"chat_template": PLAIN}))
    return folder


NAMES = "".join(f'{name} = model("./{name}")\n' for name in "abcd")


def templates(models, out, save):
    """Return what a save has for a template: the file, the value in the settings, what transformers uses."""
    run(models, NAMES + save, out, overwrite=True)
    file = out / "chat_template.jinja"
    found = settings(out, "tokenizer_config.json").get("chat_template")
    return (
        file.read_bytes().decode() if file.exists() else None,
        found,
        AutoTokenizer.from_pretrained(out).chat_template,
    )


@pytest.mark.parametrize(
    ("options", "file", "setting"),
    [
        ("tokenizer=a", HOSTILE, None),
        ("tokenizer=c", None, PLAIN),
        ('tokenizer=d, chat_template="a"', HOSTILE, None),
        ("tokenizer=a, chat_template=c", None, PLAIN),
        ("tokenizer=c, chat_template=a", HOSTILE, None),
        ('tokenizer=a, chat_template="auto"', PLAIN, None),
        ('tokenizer=c, chat_template="{{ 1 }}"', "{{ 1 }}", "{{ 1 }}"),
        ('tokenizer=d, chat_template="{{ 1 }}"', "{{ 1 }}", None),
    ],
)
def test_template(models, tmp_path, options, file, setting):
    found = templates(models, tmp_path / "out", f'save mean(a, b, c, d) to "out" with {options}')
    assert found[:2] == (file, setting)
    assert found[2] == (file or setting).replace("\r\n", "\n")


CONVERSATION = [
    {"role": "system", "content": "Be nice"},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi"},
]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "chatml",
            "<|im_start|>system\nBe nice<|im_end|>\n"
            "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nHi<|im_end|>\n",
        ),
        ("mistral", "<s> [INST] Be nice\n\nHello [/INST] Hi</s>"),
        (
            "llama3",
            "<s><|start_header_id|>system<|end_header_id|>\n\nBe nice<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nHi<|eot_id|>",
        ),
        ("alpaca", "<s>Be nice\n\n### Instruction:\nHello\n\n### Response:\nHi</s>\n\n"),
        ("exaone", "[|system|]Be nice[|endofturn|]\n[|user|]Hello\n[|assistant|]Hi[|endofturn|]\n"),
    ],
)
def test_named_template(models, tmp_path, name, text):
    run(models, NAMES + f'save a to "out" with chat_template="{name}"', tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.apply_chat_template(CONVERSATION, tokenize=False) == text


def test_check_shows_that_templates_differ(models):
    (warning,) = warnings(models, 'save mean(a, b, d) to "out"')
    assert render(warning) == (
        "warning[MG346]: `b` has another chat template than `a`, which gives the tokenizer\n"
        "  ┌─ test.merge:5:1\n"
        '5 │ save mean(a, b, d) to "out"\n'
        "  │ ^^^^^^^^^^^^^^^^^^^^^^^^^^^ this output gets that of `a`\n"
        '  = help: say which is meant: `chat_template=b`, or `chat_template="auto"`'
    )
    assert warnings(models, 'save mean(a, b) to "out" with chat_template="auto"') == []
    assert warnings(models, 'save mean(b, c) to "out"') == []


def warnings(models, save):
    """Return what is warned of, other than names that are not used."""
    return [found for found in compilation(models, NAMES + save).warnings() if found.code != "MG260"]


def test_a_model_without_a_template(models):
    with pytest.raises(MergeGraphError) as caught:
        compilation(models, NAMES + 'save a to "out" with chat_template=d').warnings()
    assert str(caught.value) == (
        "error[MG345]: `d` has no chat template\n"
        "  ┌─ test.merge:5:36\n"
        '5 │ save a to "out" with chat_template=d\n'
        "  │                                    ^\n"
        '  = help: name another model, or write the template: `chat_template="{% for message in messages %}…"`'
    )
