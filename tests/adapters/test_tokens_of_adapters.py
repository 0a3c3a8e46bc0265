"""Adapters that enlarge the vocabulary, and adapters of embeddings in outputs with other tokens."""

import warnings
from pathlib import Path

import pytest
import torch
from merging import compilation, merged, run
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from tokenized import EMBEDDING, HEAD, OTHER_TEXT, bpe, extended, rows, settings, vocabulary, write_model
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from mergegraph.compiler import read_recipe
from mergegraph.diagnostics import MergeGraphError
from mergegraph.merge import Options, merge

BASE = 'base = model("./base")\n'
ADDED = BASE + 'save base + lora("./adapter") to "out"'
NEW = ("<|tool|>", "zebra")

KINDS = {
    "saved whole": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    "saved beside": {"target_modules": ["q_proj", "down_proj"]},
    "adapted": {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
    "adapted with dora": {"target_modules": ["embed_tokens", "lm_head"], "use_dora": True},
    "adapted through a tie": {"target_modules": ["q_proj", "embed_tokens"]},
    "adapted with dora through a tie": {"target_modules": ["embed_tokens"], "use_dora": True},
    "trained tokens": {"target_modules": ["q_proj"], "trainable_token_indices": [3, 60, 61]},
}


def write_adapter(folder: Path, name: str = "adapter", *, new=NEW, multiple=None, seed=1, tokenizer=True, **kind):
    """Write an adapter of random weights for `base` with more tokens, and return what peft makes of both."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(folder / "base")
    found = PreTrainedTokenizerFast.from_pretrained(folder / "base")
    found.add_tokens(list(new))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if multiple or len(found) != model.config.vocab_size:
            model.resize_token_embeddings(len(found), pad_to_multiple_of=multiple)
        adapted = get_peft_model(model, LoraConfig(r=2, lora_alpha=3, **(kind or KINDS["saved whole"])))
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.data += torch.randn_like(parameter) * 0.1
        adapted.save_pretrained(folder / name, save_embedding_layers=True)
        if tokenizer:
            found.save_pretrained(folder / name)
        return adapted.merge_and_unload().state_dict()


def assert_close(found, wanted):
    apart = {name: float((tensor - wanted[name]).abs().max()) for name, tensor in found.items()}
    assert max(apart.values()) <= 1e-6, apart


@pytest.mark.parametrize(
    ("kind", "tied"),
    [(kind, tied) for kind in KINDS for tied in (False, True) if "adapted" not in kind or tied == ("tie" in kind)],
)
def test_the_model_gets_the_tokens_of_the_adapter(kind, tied, tmp_path):
    write_model(tmp_path / "base", bpe(), 0, tied=tied)
    wanted = write_adapter(tmp_path, **KINDS[kind])
    assert_close(merged(tmp_path, ADDED, tmp_path / "out"), wanted)
    assert settings(tmp_path / "out")["vocab_size"] == 62
    assert vocabulary(tmp_path / "out") == vocabulary(tmp_path / "adapter")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert_close(loaded.state_dict(), wanted)
    assert AutoTokenizer.from_pretrained(tmp_path / "out").tokenize("a <|tool|>")[-1] == "<|tool|>"


@pytest.mark.parametrize("padding", [0, 3, 200])
def test_rows_beyond_the_tokens_are_the_adapters(padding, tmp_path):
    """With more padding than the adapter's rows transformers makes the matrices smaller."""
    write_model(tmp_path / "base", bpe(), 0, padding=padding)
    wanted = write_adapter(tmp_path, multiple=64)
    found = merged(tmp_path, ADDED, tmp_path / "out")
    assert len(found[EMBEDDING]) == settings(tmp_path / "out")["vocab_size"] == 64
    assert_close(found, wanted)


def test_the_adapter_in_mergekits_yaml(tmp_path):
    write_model(tmp_path / "base", bpe(), 0)
    wanted = write_adapter(tmp_path)
    (tmp_path / "merge.yml").write_text(
        "merge_method: linear\nmodels:\n  - model: ./base+./adapter\n    parameters: {weight: 1}\ndtype: float32\n"
    )
    merge(read_recipe(tmp_path / "merge.yml"), tmp_path / "out", Options())
    assert_close(load_file(tmp_path / "out" / "model.safetensors"), wanted)


def test_settings_of_the_model_and_the_template_of_the_adapter(tmp_path):
    """What an adapter's folder lacks comes from its model: everything but the tokenizer."""
    write_model(tmp_path / "base", bpe(), 0)
    (tmp_path / "base" / "generation_config.json").write_text('{"max_length": 7}')
    (tmp_path / "base" / "chat_template.jinja").write_text("of the base")
    (tmp_path / "base" / "tokenizer.model").write_bytes(b"without the new tokens")
    write_adapter(tmp_path)
    run(tmp_path, ADDED, tmp_path / "out")
    found = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert found["generation_config.json"] == b'{"max_length": 7}'
    assert found["chat_template.jinja"] == b"of the base"
    assert found["tokenizer.json"] == (tmp_path / "adapter" / "tokenizer.json").read_bytes()
    assert "tokenizer.model" not in found
    (tmp_path / "adapter" / "chat_template.jinja").write_text("of the adapter")
    run(tmp_path, ADDED, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == "of the adapter"
    assert compilation(tmp_path, ADDED).warnings() == ()


def test_tokens_in_the_padding_of_the_model(tmp_path):
    """Where the model has rows to spare nothing gets larger, and the tokenizer is the adapter's all the same."""
    write_model(tmp_path / "base", bpe(), 0, padding=4)
    torch.manual_seed(3)
    kind = {"target_modules": ["q_proj"], "trainable_token_indices": [60, 61]}
    wanted = write_adapter(tmp_path, **kind)
    assert_close(merged(tmp_path, ADDED, tmp_path / "out"), {k: v[:64] for k, v in wanted.items()})
    assert vocabulary(tmp_path / "out") == vocabulary(tmp_path / "adapter")


def test_a_model_that_is_told_to_keep_its_tokens(tmp_path):
    write_model(tmp_path / "base", bpe(), 0)
    wanted = write_adapter(tmp_path)
    text = BASE + 'save base + lora("./adapter") to "out" with tokenizer=base'
    found = merged(tmp_path, text, tmp_path / "out")
    assert_close(found, {name: x[:60] if name in (EMBEDDING, HEAD) else x for name, x in wanted.items()})
    assert vocabulary(tmp_path / "out") == vocabulary(tmp_path / "base")
    (warning,) = compilation(tmp_path, text).warnings()
    assert str(MergeGraphError(warning)) == (
        "warning[MG353]: the adapter `./adapter` brings tokens that the output does not have: "
        "2 of its tokens are not there (`<|tool|>`, `zebra`)\n"
        "  ┌─ test.merge:2:1\n"
        f"2 │ {text.splitlines()[1]}\n"
        "  │ " + "^" * 58 + " this output has others\n"
        "  = help: add them: `tokenizer=union(base, adapter)`, where `adapter = lora(…)`"
    )


def test_two_adapters_with_tokens_of_their_own(tmp_path):
    """Each row is what both adapters make of it: a task vector is added only where there is one."""
    write_model(tmp_path / "base", bpe(), 0)
    one = write_adapter(tmp_path, "one", new=("<|a|>", "shared"), seed=1)
    two = write_adapter(tmp_path, "two", new=("shared", "<|b|>"), seed=2)
    text = (
        BASE + 'one = lora("./one")\ntwo = lora("./two", scale=0.5)\n'
        'save base + one to "out" with tokenizer=union(one, two)'
    )
    merged(tmp_path, text.replace("save base + one", "save mean(base + one, base + two)"), tmp_path / "out")
    base, found = rows(tmp_path / "base"), rows(tmp_path / "out")
    ones = {token: one[EMBEDDING][number] for token, number in vocabulary(tmp_path / "one").items()}
    twos = {token: two[EMBEDDING][number] for token, number in vocabulary(tmp_path / "two").items()}
    assert found.keys() == ones.keys() | twos.keys()
    for token in base:
        wanted = (ones[token] + (base[token] + twos[token]) / 2) / 2
        assert torch.allclose(found[token], wanted, atol=1e-6), token
    assert torch.allclose(found["<|a|>"], ones["<|a|>"], atol=1e-6)
    assert torch.allclose(found["<|b|>"], twos["<|b|>"], atol=1e-6)


def refusal(folder: Path, text: str = ADDED) -> str:
    with pytest.raises(MergeGraphError) as caught:
        compilation(folder, text).warnings()
    return str(caught.value)


def test_adapters_that_enlarge_differently_are_refused_with_ways_out(tmp_path):
    write_model(tmp_path / "base", bpe(), 0)
    write_adapter(tmp_path, "one", new=("<|a|>",))
    write_adapter(tmp_path, "two", new=("<|b|>",))
    assert refusal(tmp_path, BASE + 'save base + lora("./one") + lora("./two") to "out"') == (
        "error[MG351]: the adapter `./two` brings other tokens than `./one`: 1 of its tokens is not there (`<|b|>`); "
        "1 token is missing in it (`<|a|>`)\n"
        "  ┌─ test.merge:2:29\n"
        '2 │ save base + lora("./one") + lora("./two") to "out"\n'
        "  │                             ^^^^^^^^^^^^^ this adapter\n"
        '2 │ save base + lora("./one") + lora("./two") to "out"\n'
        "  │             ^^^^^^^^^^^^^ and this one\n"
        "  = help: bind both to names, such as `one = lora(…)`, and keep the tokens of one: "
        "`save … with tokenizer=one`\n"
        "  = help: or those of all: `save … with tokenizer=union(one, other)`"
    )


def test_an_adapter_without_the_tokenizer_that_names_its_rows(tmp_path):
    write_model(tmp_path / "base", bpe(), 0)
    write_adapter(tmp_path, tokenizer=False)
    assert refusal(tmp_path) == (
        "error[MG350]: `./adapter` has 62 rows for tokens, unlike `base`, and no tokenizer that names them\n"
        "  ┌─ test.merge:2:13\n"
        '2 │ save base + lora("./adapter") to "out"\n'
        "  │             ^^^^^^^^^^^^^^^^^ this adapter\n"
        "  = help: put the `tokenizer.json` that it was trained with into its folder\n"
        "  = help: or leave out what `base` lacks: `save … with tokenizer=base`"
    )


def test_an_adapter_without_the_rows_of_a_matrix(tmp_path):
    """peft leaves out the head where the embedding alone is adapted, though both were enlarged."""
    write_model(tmp_path / "base", bpe(), 0)
    write_adapter(tmp_path, target_modules=["embed_tokens"])
    assert refusal(tmp_path) == (
        "error[MG352]: `./adapter` has 62 rows for tokens, and not in all matrices: it lacks `lm_head.weight`\n"
        "  ┌─ test.merge:2:13\n"
        '2 │ save base + lora("./adapter") to "out"\n'
        "  │             ^^^^^^^^^^^^^^^^^ this adapter\n"
        "  = help: have peft save them too: `modules_to_save=[…]`, or `save_embedding_layers=True`\n"
        "  = help: or leave out what `base` lacks: `save … with tokenizer=base`"
    )


def test_a_model_with_the_tokens_of_the_base_beside_the_adapter(tmp_path):
    write_model(tmp_path / "base", bpe(), 0)
    write_model(tmp_path / "b", bpe(), 1)
    write_adapter(tmp_path)
    text = BASE + 'b = model("./b")\nsave mean(base + lora("./adapter"), b) to "out"'
    assert refusal(tmp_path, text) == (
        "error[MG340]: the vocabulary of `b` is not that of `./adapter`: "
        "2 tokens are missing in it (`<|tool|>`, `zebra`)\n"
        "  ┌─ test.merge:2:5\n"
        '2 │ b = model("./b")\n'
        "  │     ^^^^^^^^^^^^ this model\n"
        '3 │ save mean(base + lora("./adapter"), b) to "out"\n'
        "  │ ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ is merged with others here\n"
        "  = help: keep the tokens of one model: `save … with tokenizer=adapter`\n"
        "  = help: or those of all: `save … with tokenizer=union(adapter, b)`\n"
        "  = help: where the adapter has a name: `adapter = lora(…)`"
    )


def test_an_adapter_that_is_named_and_not_added(tmp_path):
    write_model(tmp_path / "base", bpe(), 0)
    write_adapter(tmp_path)
    text = BASE + 'more = lora("./adapter")\nsave base to "out" with tokenizer=more'
    assert refusal(tmp_path, text) == (
        "error[MG280]: it is not plain which model this adapter belongs to\n"
        "  ┌─ test.merge:2:8\n"
        '2 │ more = lora("./adapter")\n'
        "  │        ^^^^^^^^^^^^^^^^^ it is added to none\n"
        "  = help: name its base: `lora(…, base=base)`"
    )


EMBEDDINGS = {
    "lora": {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
    "dora of the head": {"target_modules": ["lm_head"], "use_dora": True},
    "trained tokens": {"target_modules": ["q_proj"], "trainable_token_indices": [3, 59, 7]},
    "saved whole": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
}


@pytest.mark.parametrize("kind", EMBEDDINGS)
@pytest.mark.parametrize("order", ["base, other", "other, base"])
def test_adapters_of_embeddings_in_a_union(kind, order, tmp_path):
    """Rows that the model has are the adapted ones, wherever they go; those that it lacks are as without adapter."""
    write_model(tmp_path / "base", bpe(), 0)
    write_model(tmp_path / "other", extended(bpe(50, OTHER_TEXT, ("</s>", "<s>")), special=["<b>"]), 1)
    adapted = write_adapter(tmp_path, new=(), **EMBEDDINGS[kind])
    text = f'{BASE}other = model("./other")\nsave base + lora("./adapter") to "out" with tokenizer=union({order})'
    merged(tmp_path, text, tmp_path / "out")
    numbers = vocabulary(tmp_path / "base")
    for tensor in (EMBEDDING, HEAD):
        theirs, found = rows(tmp_path / "other", tensor), rows(tmp_path / "out", tensor)
        assert found.keys() == theirs.keys() | numbers.keys()
        for token, row in found.items():
            wanted = adapted[tensor][numbers[token]] if token in numbers else theirs[token]
            assert torch.allclose(row, wanted, rtol=0, atol=1e-6), (tensor, token)


def test_rows_that_the_recipe_takes_from_elsewhere_are_not_adapted(tmp_path):
    write_model(tmp_path / "base", bpe(), 0)
    write_model(tmp_path / "other", bpe(), 1)
    write_adapter(tmp_path, new=(), **EMBEDDINGS["saved whole"])
    text = (
        BASE + 'other = model("./other")\nsave base + lora("./adapter") to "out" with '
        'tokenizer=union(base, tokens=[token("Ġthe", other, force=true)])'
    )
    merged(tmp_path, text, tmp_path / "out")
    assert torch.equal(rows(tmp_path / "out")["Ġthe"], rows(tmp_path / "other")["Ġthe"])
    assert not torch.equal(rows(tmp_path / "out")["he"], rows(tmp_path / "base")["he"])


def test_dora_of_an_embedding_can_not_be_given_other_tokens(tmp_path):
    write_model(tmp_path / "base", bpe(), 0)
    write_model(tmp_path / "other", extended(bpe(), special=["<b>"]), 1)
    write_adapter(tmp_path, new=(), target_modules=["embed_tokens"], use_dora=True)
    text = BASE + 'other = model("./other")\nsave base + lora("./adapter") to "out" with tokenizer=union(base, other)'
    first, *_, way = refusal(tmp_path, text).splitlines()
    assert first == (
        "error[MG323]: DoRA of an embedding, whose columns have norms over all its tokens, can't be given others"
    )
    assert way == (
        '  = help: save the model with the adapter first, `save base + lora(…) to "adapted"`, and merge that'
    )
    adapted = merged(tmp_path, BASE + 'save base + lora("./adapter") to "adapted"', tmp_path / "adapted")
    text = BASE.replace("./base", "./adapted") + 'save base to "out" with tokenizer=union(base, model("./other"))'
    height = len(adapted[EMBEDDING])
    assert torch.equal(merged(tmp_path, text, tmp_path / "out")[EMBEDDING][:height], adapted[EMBEDDING])
