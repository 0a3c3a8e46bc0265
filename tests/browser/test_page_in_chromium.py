"""The page is used as people use it: with the pointer, with the keyboard, in light and dark."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from families import write_model
from pages import Opened, save_page
from playwright.sync_api import Locator, Page, expect

Open = Callable[..., Opened]
HOSTILE = "</script><img src=x onerror=alert(1)>"


def choose_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()
    expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true")


def open_box(page: Page, id: str) -> None:
    page.locator(f'[data-id="{id}"] .opener').click()
    expect(page.locator(f'[data-id="{id}"]')).to_have_attribute("aria-expanded", "true")


def details(page: Page) -> str:
    return page.locator("aside").inner_text()


def search(page: Page, text: str) -> list[str]:
    page.locator(".search input").fill("")
    page.locator(".canvas").focus()
    page.keyboard.press("/")
    page.keyboard.type(text)
    page.wait_for_selector("#found li")
    return page.locator("#found [role=option] span").all_inner_texts()


def test_a_node_of_the_recipe_shows_its_line_and_what_it_depends_on(open_page: Open, study: Path) -> None:
    page = open_page(study).page
    page.locator(".box", has_text="dare_ties").click()
    assert "line 14" in details(page)
    marked = page.locator("aside mark").inner_text()
    assert marked.startswith("dare_ties(math, code, base=base, weight=0.7")
    on = page.locator(".box.on .title").all_text_contents()
    assert {"math", "code", "base", "dare-ties"} <= set(on)
    assert "slerp-0.3" not in on


def test_methods_open_to_what_they_are_made_of(open_page: Open, study: Path) -> None:
    page = open_page(study).page
    call = page.locator(".box", has_text="breadcrumbs_ties").first.get_attribute("data-id")
    assert call
    open_box(page, call)
    page.locator(".box:not(.open)", has_text="elect").click()
    text = details(page)
    assert "line 12" in text
    assert "Parameters per layer" in text
    assert "weight 2" in text


def test_layers_open_to_tensors_and_tensors_to_operations(open_page: Open, study: Path) -> None:
    page = open_page(study).page
    choose_tab(page, "Graph")
    open_box(page, "o2")
    fold = page.locator('.box[data-id^="o2/"]', has_text="model.layers.0–31")
    assert fold.locator(".badge").text_content() == "×32"
    found = fold.get_attribute("data-id")
    assert found
    open_box(page, found)
    tensor = page.locator(f'.box[data-id^="{found}/"]', has_text="mlp.up_proj.weight")
    text = tensor.locator("text").all_text_contents()
    assert text[:2] == ["mlp.up_proj.weight", "float16[14336, 4096]"]
    name = tensor.get_attribute("data-id")
    assert name
    open_box(page, name)
    page.locator(f'[data-id^="{name}#"]', has_text="trim").first.click()
    text = details(page)
    for part in ("float32[14336, 4096]", "235 MB", "reduction", "density", "study.merge, line 10", "subtract"):
        assert part in text


def test_what_passes_dropped_and_shared_is_marked(open_page: Open, study: Path) -> None:
    page = open_page(study).page
    choose_tab(page, "Graph")
    search(page, "layers.0.mlp.up_proj")
    page.locator("#found [role=option]").filter(has=page.get_by_text("ties", exact=True)).click()
    chosen = page.locator(".box.chosen").get_attribute("data-id")
    assert chosen
    open_box(page, chosen)
    gone = page.locator(f'.box.gone[data-id^="{chosen}#"]')
    assert gone.locator(".note").all_text_contents() == ["identities: dropped"]
    gone.first.click()
    assert "The pass “identities” drops it" in details(page)
    choose_tab(page, "Optimized")
    search(page, "layers.0.mlp.up_proj")
    page.locator("#found [role=option]").filter(has=page.get_by_text("ties", exact=True)).click()
    chosen = page.locator(".box.chosen").get_attribute("data-id")
    assert chosen
    open_box(page, chosen)
    assert page.locator(f'.box.gone[data-id^="{chosen}#"]').count() == 0
    assert "from trim" in page.locator(f'.box.new[data-id^="{chosen}#"] .note').all_text_contents()
    shared = page.locator(f'.box[data-id^="{chosen}#"]', has_text="subtract").first
    assert shared.locator(".badge").text_content() == "10 outputs"


def test_one_output_can_be_looked_at_alone(open_page: Open, study: Path) -> None:
    page = open_page(study).page
    before = page.locator(".box").count()
    page.get_by_label("Output", exact=True).select_option("slerp-0.5")
    assert sorted(page.locator(".box .title").all_text_contents()) == ["code", "math", "slerp", "slerp-0.5"]
    page.get_by_label("Output", exact=True).select_option("all outputs")
    assert page.locator(".box").count() == before


def test_the_plan_shows_memory_over_units(open_page: Open, study: Path) -> None:
    page = open_page(study).page
    choose_tab(page, "Plan")
    text = page.locator(".plan").inner_text()
    for part in ("48.2 GB", "280 GB", "of 16 GB allowed", "% saved", "Alelcv27/Llama3.1-8B-Math-CoT", "identities"):
        assert part in text
    chart = page.get_by_role("slider", name="Memory over units")
    chart.focus()
    page.keyboard.press("Home")
    first = page.locator(".readout").inner_text()
    assert "at unit 1" in first
    assert "of what is allowed" in first
    page.keyboard.press("End")
    assert "at unit 291" in page.locator(".readout").inner_text()
    outline = chart.bounding_box()
    assert outline
    page.mouse.move(outline["x"] + outline["width"] / 2, outline["y"] + 80)
    assert "at unit 138" in page.locator(".readout").inner_text()
    assert page.locator(".timeline .budget").count() == page.locator(".timeline .bound").count() == 1


def test_one_output_shares_nothing_and_says_nothing_of_it(open_page: Open, study: Path, large: Path) -> None:
    for path, shared in ((study, 1), (large, 0)):
        page = open_page(path).page
        choose_tab(page, "Plan")
        assert page.get_by_role("heading", name="Shared work").count() == shared
        blocks = page.locator(".plan .two > section")
        assert blocks.count() == 2 + 2 * shared
        for block in blocks.all():
            assert block.locator("tbody tr, .compare").count() > 1


def test_no_box_lies_below_the_legend_and_no_line_is_cut(open_page: Open, study: Path) -> None:
    page = open_page(study).page
    for tab in ("Recipe", "Graph", "Optimized"):
        choose_tab(page, tab)
        legend = page.locator(".work > .legend").bounding_box()
        assert legend
        lowest = max(box["y"] + box["height"] for box in map(Locator.bounding_box, page.locator(".box").all()) if box)
        assert lowest < legend["y"]
        assert page.locator("aside pre").evaluate("pre => pre.scrollWidth <= pre.clientWidth")


def test_parameters_of_a_tensor_are_told_once(open_page: Open, study: Path) -> None:
    page = open_page(study).page
    for tab, told in (("Graph", ["elect: weight", "trim: density"]), ("Optimized", ["magnitude_limit: k"])):
        choose_tab(page, tab)
        search(page, "layers.0.mlp.up_proj")
        page.locator("#found [role=option]").filter(has=page.get_by_text("ties", exact=True)).click()
        names = page.locator("aside .parameter b").all_inner_texts()
        assert sorted({name.rstrip(" 12") for name in names}) == told
        assert len(names) == len(set(names))


def test_a_page_of_671_billion_parameters_is_small_and_quick(open_page: Open, large: Path) -> None:
    assert large.stat().st_size < 5_000_000
    start = time.monotonic()
    page = open_page(large).page
    assert time.monotonic() - start < 3
    choose_tab(page, "Optimized")
    names = page.locator(".box .title").all_text_contents()
    assert {"model.layers.0–2", "model.layers.3–60"} <= set(names)
    name = "model.layers.17.mlp.experts.201.gate_proj.weight"
    assert search(page, "17.*experts.201.gate") == [name]
    page.keyboard.press("Enter")
    assert page.locator("aside h2").inner_text() == name
    sliders = page.locator(".picker input")
    assert [s.get_attribute("aria-valuetext") for s in sliders.all()] == ["17", "201"]
    sliders.nth(1).focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("aside h2").inner_text() == name.replace("201", "202")
    assert "a model.layers.17.mlp.experts.202.gate_proj.weight" in details(page).replace("\n", " ")


def test_experts_are_counted_within_a_layer(open_page: Open, large: Path) -> None:
    page = open_page(large).page
    choose_tab(page, "Graph")
    page.locator('.box[aria-label^="model.layers.3–60"] .opener').click()
    assert details(page).split("What is written")[1].split()[:2] == ["layers", "58"]
    page.locator('.box[aria-label^="mlp.experts"]').click()
    text = " ".join(details(page).split())
    # Three matrices of 2048 by 7168 in bfloat16, 256 times in each of 58 layers.
    for part in ("in a layer 256", "tensors 44,544 tensors", "bytes 1.31 TB", "each 88.1 MB"):
        assert part in text


def test_parameters_are_shown_along_the_layers(open_page: Open, large: Path) -> None:
    page = open_page(large).page
    choose_tab(page, "Graph")
    search(page, "layers.3.self_attn.o_proj")
    page.keyboard.press("Enter")
    text = details(page)
    assert "lerp: t" in text
    assert "0.875 … 0.4" in text
    page.locator("details summary").first.click()
    assert "60         0.4" in page.locator("details pre").first.inner_text()


def test_everything_can_be_reached_with_the_keyboard(open_page: Open, large: Path) -> None:
    page = open_page(large).page
    page.get_by_role("tab", name="Recipe").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(":focus").inner_text() == "Graph"
    page.locator(".canvas").focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    assert page.locator(".box:focus").get_attribute("data-id") is not None
    page.locator('[data-id="o0"]').focus()
    page.keyboard.press(" ")
    assert page.locator('[data-id="o0"]').get_attribute("aria-expanded") == "false"
    page.keyboard.press(" ")
    page.keyboard.press("ArrowDown")
    focused = page.locator(".box:focus").get_attribute("data-id")
    assert focused
    assert focused.startswith("o0/")
    assert page.locator("aside h2").inner_text() != "out"
    page.keyboard.press("Escape")
    assert page.locator(".box.chosen").count() == 0


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_light_and_dark(scheme: str, dark: bool, open_page: Open, study: Path) -> None:
    page = open_page(study, scheme).page

    def is_dark() -> bool:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, colour.strip("rgb()").split(","))) < 200

    assert is_dark() is dark
    page.get_by_role("button", name="Light or dark").click()
    assert is_dark() is not dark


def test_hostile_names_are_text(open_page: Open, tmp_path: Path) -> None:
    names = [HOSTILE, "\u2028\u2029\u202e", "<b>bold</b>", "a.0.${x}.w", "a.1.${x}.w", "__proto__", "constructor"]
    write_model(tmp_path / "m", {name: torch.ones(4) * i for i, name in enumerate(names)})
    recipe = f'x = model("./m")\nsave lerp(x, scale(x, 2), 0.5) to "{HOSTILE}"\n'
    page = open_page(save_page(recipe, "hostile", tmp_path)).page
    for tab in ("Recipe", "Graph", "Optimized", "Plan"):
        choose_tab(page, tab)
        assert page.locator("img, b.bold").count() == 0
    choose_tab(page, "Graph")
    assert search(page, "onerror")[-1] == HOSTILE
    page.locator("#found [role=option]").last.click()
    assert page.locator("aside h2").inner_text() == HOSTILE
    assert page.evaluate("document.images.length") == 0
    assert search(page, "__proto__") == ["__proto__"]
