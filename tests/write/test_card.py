import re

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from safetensors.numpy import save_file

from mergegraph.checkpoint.checkpoint import open_checkpoint
from mergegraph.checkpoint.licence import Licence, licence_of
from mergegraph.write.card import Parent, model_card

APACHE = Licence("apache-2.0", None, None)

RECIPE = "a = model('org/a')\nsave a to 'out'\n"
PARENTS = [
    Parent("org/a", "org/a", "0e9e39f"),
    Parent("./math-cot"),
    Parent("org/b", "org/b", "aaaaaaa"),
    Parent("org/a", "org/a", "0e9e39f"),
]


def front_matter(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_the_whole_card():
    assert model_card("ties", PARENTS, recipe=RECIPE, mermaid="graph TD\n  a --> b\n", licences=[APACHE] * 4) == (
        "---\n"
        "base_model:\n"
        "- org/a\n"
        "- org/b\n"
        "library_name: transformers\n"
        "license: apache-2.0\n"
        "tags:\n"
        "- merge\n"
        "- mergegraph\n"
        "base_model_relation: merge\n"
        "---\n"
        "\n"
        "# ties\n"
        "\n"
        "A merge of the models below, made with MergeGraph.\n"
        "\n"
        "## Parents\n"
        "\n"
        "| model | commit |\n"
        "|---|---|\n"
        "| org/a | 0e9e39f |\n"
        "| ./math-cot | — |\n"
        "| org/b | aaaaaaa |\n"
        "\n"
        "## Recipe\n"
        "\n"
        "```text\n"
        "a = model('org/a')\n"
        "save a to 'out'\n"
        "```\n"
        "\n"
        "## Graph\n"
        "\n"
        "```mermaid\n"
        "graph TD\n"
        "  a --> b\n"
        "```\n"
        "\n"
        "The exact inputs, versions and checksums are in `mergegraph.json`.\n"
    )


def test_the_card_of_an_adapter_names_what_it_adapts():
    card = model_card("x", PARENTS, recipe=RECIPE, mermaid="", licences=[APACHE] * 4, adapts=PARENTS[2:3])
    assert front_matter(card) == {
        "base_model": ["org/b"],
        "base_model_relation": "adapter",
        "library_name": "peft",
        "license": "apache-2.0",
        "tags": ["lora", "mergegraph"],
    }
    assert "\nA LoRA adapter for peft, made from the models below with MergeGraph.\n" in card
    assert "\n| org/a | 0e9e39f |\n| ./math-cot | — |\n| org/b | aaaaaaa |\n" in card
    assert "base_model" not in front_matter(model_card("x", PARENTS, recipe="", mermaid="", adapts=()))


def test_without_parents_on_the_hub_or_a_common_licence_neither_is_claimed():
    card = model_card("x", [Parent("./a")], recipe="", mermaid="")
    assert front_matter(card) == {"library_name": "transformers", "tags": ["merge", "mergegraph"]}


def test_a_recipe_can_not_end_its_block():
    recipe = "# ```\n# <script>alert(1)</script>\n````` \n"
    card = model_card("x", [], recipe=recipe, mermaid='graph TD\n  a["```"]')
    assert "``````text\n# ```\n# <script>alert(1)</script>\n````` \n``````\n" in card
    assert '````mermaid\ngraph TD\n  a["```"]\n````\n' in card


def test_nothing_steers_the_terminal_or_the_page():
    hostile = "a|b`c\n# <script>\u202e\x1b[31m](http://x)*"
    card = model_card(hostile, [Parent(hostile, commit=hostile)], recipe="\x1b[31m\u202e\r\tx", mermaid="a\x00")
    safe = r"a\|b\`c\\n\# \<script\>\\u202e\\x1b\[31m\]\(http\://x\)\*"
    assert f"\n# {safe}\n" in card
    assert f"\n| {safe} | {safe} |\n" in card
    assert "```text\n\\x1b[31m\\u202e\\r    x\n```\n" in card
    assert "```mermaid\na\\x00\n```\n" in card
    assert re.fullmatch(r"[\n\x20-\x7e—]*", card)


def test_ids_can_not_add_to_the_front_matter():
    hostile = "a: [b]\n---\nlicense: mit"
    card = model_card("x", [Parent("x", hostile)], recipe="", mermaid="", licences=[Licence("x\ny: z", "\n---", None)])
    assert front_matter(card)["base_model"] == ["a: [b]\\n---\\nlicense: mit"]
    assert front_matter(card)["license"] == "x\ny: z"
    assert front_matter(card)["license_name"] == "\n---"


def test_a_licence_is_stated_only_where_all_parents_agree():
    llama = Licence("other", "llama", "https://llama.com/licence")
    for licences, stated in (
        ([APACHE, APACHE], "apache-2.0"),
        ([APACHE, None], None),
        ([APACHE, Licence("mit", None, None)], None),
        ([llama, Licence("other", "gemma", None)], None),
        ([None, None], None),
        ([llama, llama], "other"),
    ):
        found = front_matter(model_card("x", PARENTS[:2], recipe="", mermaid="", licences=licences))
        assert found.get("license") == stated
        assert (found.get("license_name"), found.get("license_link")) == (
            ("llama", "https://llama.com/licence") if stated == "other" else (None, None)
        )


def test_huggingface_hub_reads_the_card():
    card = ModelCard(model_card("ties", PARENTS, recipe=RECIPE, mermaid="graph TD\n", licences=[APACHE]))
    assert (card.data.base_model, card.data.license) == (["org/a", "org/b"], "apache-2.0")
    assert card.text.startswith("\n# ties\n")


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("---\nlicense: mit\n---\n", "mit"),
        ('\ufeff---\r\ntags: [a]\r\nlicense: "llama3.1" # see below\r\n---\r\n', "llama3.1"),
        ("# no front matter\nlicense: mit\n---\n", None),
        ("---\nlicense:\n- mit\n- apache-2.0\n---\n", None),
        ("---\nlicense: !!python/object/apply:os.system [x]\n---\n", None),
        ("---\nx: {license: mit}\n---\nlicense: mit\n", None),
        ("---\nlicense: mit\n", None),
    ],
)
def test_the_licence_of_a_model_is_in_the_front_matter_of_its_card(tmp_path, text, licence):
    save_file({"a": np.zeros(1, np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "README.md").write_text(text, "utf-8", newline="")
    found = licence_of(open_checkpoint(str(tmp_path), relative_to=tmp_path))
    assert (found and found.id) == licence
